import { createRegistry } from "@bufbuild/protobuf";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { AdminService, file_zitadel_admin } from "../gen/zitadel/admin_pb.ts";
import { file_zitadel_management, ManagementService } from "../gen/zitadel/management_pb.ts";
import { file_zitadel_message } from "../gen/zitadel/message_pb.ts";
import { createGate } from "./auth/gate.ts";
import { createIdentify } from "./auth/identify.ts";
import type { OutsideIssuerSettings } from "./auth/outside/settings.ts";
import { createPermissionTable } from "./auth/permissions.ts";
import { createLoginPolicies } from "./commands/login-policy.ts";
import { loadDocument } from "./documents.ts";
import { mapGateErrors, type ReportFailure } from "./interceptors/errors.ts";
import { createInterceptors } from "./interceptors/index.ts";
import { isIssuerPath } from "./issuer/paths.ts";
import { corsDefaults, withCors } from "./rpc/cors.ts";
import { createDispatch } from "./rpc/dispatch.ts";
import { rawPath } from "./rpc/http.ts";
import { aroundHandler, type ListenerHandler } from "./rpc/listener/handler.ts";
import { type Listener, openListener } from "./rpc/listener/listener.ts";
import { sendStatusAnswer } from "./rpc/listener/status-answer.ts";
import { openApiPaths, withOpenApi } from "./rpc/openapi/serve.ts";
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
  /** The built-in issuer; absent: off, and what it gave out before counts for nothing. */
  readonly issuer?: {
    /** The issuer identifier: an origin. Default: where the server listens. */
    readonly url?: string;
  };
  /** Issuers elsewhere whose tokens are accepted. */
  readonly oidcIssuers?: readonly OutsideIssuerSettings[];
  /** Addresses and ranges of proxies whose word about a client's address is taken. */
  readonly trustedProxies?: readonly string[];
  /** Whether Connect's own handlers serve unary calls; see `DispatchOptions`. Default false. */
  readonly stockHandlers?: boolean;
  readonly clock: Clock;
  readonly report: ReportFailure;
}

/**
 * Puts the parts together and starts to serve. The store must have been set up; it stays open when the server closes.
 * Rejects with Node's own error where it cannot listen.
 */
export async function openServer(options: ServerOptions): Promise<Listener> {
  const { store, listen, tls, corsOrigins, clock, report, oidcIssuers = [] } = options;
  const policies = createLoginPolicies(store);
  const rpcs = createRpcTable((router) => {
    router.service(ManagementService, createManagementService(policies));
    router.service(AdminService, createAdminService(policies));
  });
  const permissions = createPermissionTable([...rpcs.values()].map(({ spec }) => spec.method));
  const outside = oidcIssuers.length === 0 ? undefined : await loadOutsideIssuers(oidcIssuers, options);
  const identify = createIdentify({
    store,
    clock,
    acceptsIssued: options.issuer !== undefined,
    ...(outside && { outside }),
  });
  const dispatch = createDispatch(rpcs, {
    gate: mapGateErrors(createGate({ store, permissions, identify }), report),
    interceptors: createInterceptors(report),
    maxRequestBytes,
    ...(options.stockHandlers && { stockHandlers: true }),
    // ZITADEL does, and its clients rely on it.
    ignoreUnknown: true,
    reservedPaths: openApiPaths,
    registry: createRegistry(
      file_zitadel_management,
      file_zitadel_admin,
      file_zitadel_message,
      file_google_rpc_error_details,
    ),
    onFailure: (reason) => report({ reason }),
  });
  let listener: Listener | undefined;
  const serveIssuer = options.issuer && createIssuerLoader(options, () => options.issuer?.url ?? listener?.url ?? "");
  const serveOpen = withOpenApi(dispatch, {
    document: () => loadDocument(options.issuer === undefined ? {} : { issuer: options.issuer }),
    onFailure: (reason) => report({ reason }),
  });
  const serveApi = withCors(serveOpen, {
    ...corsDefaults,
    origins: corsOrigins,
    allowHeaders: [...corsDefaults.allowHeaders, "x-zitadel-orgid", "accept-language"],
    exposeHeaders: [...corsDefaults.exposeHeaders, "portcullis-policy"],
  });
  // Which pages may call the issuer, the applications say that are registered there.
  const handler = aroundHandler(serveApi, (request, response) =>
    serveIssuer !== undefined && isIssuerPath(rawPath(request))
      ? serveIssuer(request, response)
      : serveApi(request, response),
  );
  listener = await openListener({
    ...listen,
    ...(tls && { tls }),
    handler,
    onError: (reason) => report({ reason }),
  });
  return listener;
}

/** What checks their tokens is loaded only where there are any. */
async function loadOutsideIssuers(settings: readonly OutsideIssuerSettings[], { clock, report }: ServerOptions) {
  const { createOutsideIssuers } = await import("./auth/outside/issuers.ts");
  return createOutsideIssuers(settings, { clock, report: (reason) => report({ reason }) });
}

/** Loads the issuer with the first request for it: most processes never need it, and it would double the time to start. */
function createIssuerLoader(
  { store, clock, report, trustedProxies = [] }: ServerOptions,
  url: () => string,
): ListenerHandler {
  let loading: Promise<ListenerHandler> | undefined;
  return (request, response) => {
    loading ??= import("./issuer/handler.ts").then(({ createIssuer }) =>
      createIssuer({ store, clock, url: url(), trustedProxies, report: (reason) => report({ reason }) }),
    );
    loading.then(
      (issuer) => issuer(request, response),
      (reason: unknown) => {
        // Such as too many open files, which pass.
        loading = undefined;
        report({ reason });
        sendStatusAnswer(response, { httpStatus: 500, code: 13, message: "The server failed to handle the request." });
      },
    );
  };
}
