import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService } from "../../../gen/zitadel/auth_pb.ts";

/** `zitadel.auth.v1.AuthService`: only `healthz`, which clients call before they sign in. */
export const createAuthService = (): ServiceImpl<typeof AuthService> => ({ healthz: () => ({}) });
