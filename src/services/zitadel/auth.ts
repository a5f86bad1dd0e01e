import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService } from "../../../gen/zitadel/auth_pb.ts";

/** `zitadel.auth.v1.AuthService`, as far as clients ask for it before they know who they are. */
export const createAuthService = (): ServiceImpl<typeof AuthService> => ({ healthz: () => ({}) });
