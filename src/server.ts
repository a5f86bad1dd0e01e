import { createRegistry } from "@bufbuild/protobuf";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { AdminService, file_zitadel_admin } from "../gen/zitadel/admin_pb.ts";
import { file_zitadel_management, ManagementService } from "../gen/zitadel/management_pb.ts";
import { file_zitadel_message } from "../gen/zitadel/message_pb.ts";
import { createGate } from "./auth/gate.ts";
import { createPermissionTable } from "./auth/permissions.ts";
import { createLoginPolicies } from "./commands/login-policy.ts";
import { mapGateErrors, type ReportFailure } from "./interceptors/errors.ts";
import { createInterceptors } from "./interceptors/index.ts";
import { corsDefaults, withCors } from "./rpc/cors.ts";
import { createDispatch } from "./rpc/dispatch.ts";
import { type Listener, openListener } from "./rpc/listener/listener.ts";
import { createRpcTable } from "./rpc/router.ts";
import { createAdminService } from "./services/admin.ts";
import { createManagementService } from "./services/management.ts";
import type { Clock, Store } from "./store/store.ts";

/** Requests of this API are small: the largest is a few hundred bytes. */
const maxRequestBytes = 64 * 1024;

export interface ServerOptions {
  readonly store: Store;
  readonly listen: { readonly host: string; readonly port: number };
  /** The contents of PEM files; absent: plaintext. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Origins whose pages may call; `*` for any. */
  readonly corsOrigins: readonly string[];
  readonly clock: Clock;
  readonly report: ReportFailure;
}

/**
 * Puts the parts together and starts to serve. The store must have been set up; it stays open when the server closes.
 * Rejects with Node's own error where it cannot listen.
 */
export function openServer(options: ServerOptions): Promise<Listener> {
  const { store, listen, tls, corsOrigins, clock, report } = options;
  const policies = createLoginPolicies(store);
  const rpcs = createRpcTable((router) => {
    router.service(ManagementService, createManagementService(policies));
    router.service(AdminService, createAdminService(policies));
  });
  const permissions = createPermissionTable([...rpcs.values()].map(({ spec }) => spec.method));
  const dispatch = createDispatch(rpcs, {
    gate: mapGateErrors(createGate({ store, permissions, clock }), report),
    interceptors: createInterceptors(report),
    maxRequestBytes,
    registry: createRegistry(
      file_zitadel_management,
      file_zitadel_admin,
      file_zitadel_message,
      file_google_rpc_error_details,
    ),
    onFailure: (reason) => report({ reason }),
  });
  const handler = withCors(dispatch, {
    ...corsDefaults,
    origins: corsOrigins,
    allowHeaders: [...corsDefaults.allowHeaders, "x-zitadel-orgid", "accept-language"],
    exposeHeaders: [...corsDefaults.exposeHeaders, "portcullis-policy"],
  });
  return openListener({ ...listen, ...(tls && { tls }), handler, onError: (reason) => report({ reason }) });
}
