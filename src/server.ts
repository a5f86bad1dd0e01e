import { createRegistry } from "@bufbuild/protobuf";
import {
  CallerTurns,
  createDispatch,
  createHealthService,
  createOpenApiHandler,
  createReflectionServices,
  createRpcTable,
  type Dispatch,
  Health,
  type Listener,
  type ListenerHandler,
  openListener,
  type PublicStreamOptions,
  ServerReflection,
  ServerReflectionV1Alpha,
  type TlsOptions,
} from "@portcullis/rpc";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { LoginPolicyService } from "../gen/portcullis/v1/login_policy_service_pb.ts";
import { AdminService } from "../gen/zitadel/admin_pb.ts";
import { AuthService } from "../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../gen/zitadel/management_pb.ts";
import { file_zitadel_message } from "../gen/zitadel/message_pb.ts";
import { createLoginPolicies } from "./application/login-policy.ts";
import { createGate } from "./auth/gate.ts";
import { createIdentify } from "./auth/identify.ts";
import { createIdentifyAgain } from "./auth/identify-again.ts";
import type { OutsideIssuerSettings } from "./auth/outside/settings.ts";
import { anyone, createPermissionTable } from "./auth/permissions.ts";
import { mapGateErrors, type ReportFailure } from "./interceptors/errors.ts";
import { createInterceptors } from "./interceptors/index.ts";
import type { LimitedLog } from "./process/limited-log.ts";
import { createReadiness, type Readiness } from "./process/readiness.ts";
import { createLoginPolicyService } from "./services/portcullis/service.ts";
import { createAdminService } from "./services/zitadel/admin.ts";
import { createAuthService } from "./services/zitadel/auth.ts";
import { createManagementService } from "./services/zitadel/management.ts";
import type { Clock, Store } from "./store/store.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";
import { type CorsSettings, openToPages } from "./web/api-cors.ts";
import { createDebugHandler } from "./web/debug.ts";
import { createLazyHandler } from "./web/lazy-handler.ts";
import { loadDocument } from "./web/load-document.ts";
import { createWebRoutes, wholePaths, withWebRoutes } from "./web/routes.ts";

/** Requests of this API are small: the largest is a few hundred bytes. */
const maxRequestBytes = 64 * 1024;

const toolServices = [Health, ServerReflection, ServerReflectionV1Alpha];
const services = [LoginPolicyService, ManagementService, AdminService, AuthService, ...toolServices];

/** RPCs that need no token: load balancers have none, and tools read the API's description before they have one. */
const publicRpcs = [
  ...toolServices,
  ManagementService.method.healthz,
  AdminService.method.healthz,
  AuthService.method.healthz,
];

export interface ServerOptions extends CorsSettings {
  readonly store: Store;
  /** `reusePort`: see `ListenerOptions`. */
  readonly listen: { readonly host: string; readonly port: number; readonly reusePort?: boolean };
  /** Default: plaintext. */
  readonly tls?: TlsOptions;
  /** The built-in issuer. Default: off; tokens that it issued earlier are refused. */
  readonly issuer?: {
    /** The issuer identifier: an origin. Default: the URL of the listener. */
    readonly url?: string;
  };
  /** Other issuers whose tokens are accepted. */
  readonly oidcIssuers?: readonly OutsideIssuerSettings[];
  /** Addresses and ranges of proxies that are trusted to name their client; see `createClientAddress`. */
  readonly trustedProxies?: readonly string[];
  /** Serves unary calls by Connect's own handlers, for tests and benchmarks that compare both. Default false. */
  readonly stockHandlers?: boolean;
  /** How many unary calls of one user are in flight; see `CallerTurnsOptions`. */
  readonly callsPerCaller?: number;
  /** How many watches one user has open. Default 1,000. */
  readonly watchesPerCaller?: number;
  /** What health checks answer. Default: ready until the server closes. */
  readonly readiness?: Readiness;
  /** Observes every request and answers `/debug/metrics`. Default: nothing is counted. */
  readonly telemetry?: Pick<Telemetry, "metrics" | "observe" | "observeHttp">;
  /** Bounds for health watches and reflection; see `PublicStreamOptions`. */
  readonly publicStreams?: Pick<PublicStreamOptions, "mostOnConnection" | "most" | "maxAgeMs">;
  /** Milliseconds that a stop waits for requests on silent connections; see `ListenerLimits`. */
  readonly drainQuietMs?: number;
  /** An address of its own for `/debug`. Default: `listen`. */
  readonly debugListen?: { readonly host: string; readonly port: number };
  readonly clock: Clock;
  readonly report: ReportFailure;
  /** Logs why the built-in issuer refuses requests, and why tokens of outside issuers are refused. Default: not logged. */
  readonly limitedLog?: LimitedLog;
}

/**
 * Puts the parts together and starts to serve. The store must have been set up; it stays open when the server closes.
 * Rejects with Node's own error where it cannot listen.
 */
export async function openServer(options: ServerOptions): Promise<Listener> {
  const { listen, tls, debugListen, drainQuietMs, report, telemetry, readiness = createReadiness() } = options;
  const onFailure = (reason: unknown) => report({ reason });
  const closing = new AbortController();
  let listener: Listener | undefined;
  const debug = createDebugHandler({ readiness, ...(telemetry && { metrics: telemetry.metrics }), onFailure });
  const routes = createWebRoutes({
    openApi: createOpenApiHandler({
      document: () => loadDocument(options.issuer ? { issuer: options.issuer } : {}),
      onFailure,
    }),
    ...(debugListen === undefined && { debug }),
    ...(options.issuer && {
      issuer: createLazyHandler(() => loadIssuer(options, options.issuer?.url ?? listener?.url ?? ""), onFailure),
    }),
  });
  const dispatch = await createApi(options, { readiness, reservedPaths: wholePaths(routes), closing: closing.signal });
  const handler = withWebRoutes(openToPages(dispatch, options), routes, {
    openToPages: (handler) => openToPages(handler, options),
    ...(telemetry && { observe: telemetry.observeHttp }),
  });
  const limits = drainQuietMs === undefined ? {} : { drainQuietMs };
  listener = await openListener({ ...listen, ...(tls && { tls }), handler, limits, onError: onFailure });
  const { close } = listener;
  telemetry?.metrics.watchListener(listener.usage);
  let debugListener: Listener | undefined;
  try {
    const handler = openToPages(debug, options);
    debugListener = debugListen && (await openListener({ ...debugListen, handler, onError: onFailure }));
  } catch (error) {
    await close({ graceMs: 0 });
    throw Object.assign(error as Error, { isOfDebug: true });
  }
  return {
    ...listener,
    async close(closeOptions) {
      await close({ ...closeOptions, onDrain: () => closing.abort() });
      // Until then it answers that the server is not ready.
      await debugListener?.close({ graceMs: 0 });
    },
  };
}

/** The RPCs and who may call them. */
async function createApi(
  options: ServerOptions,
  more: { readonly readiness: Readiness; readonly reservedPaths: readonly string[]; readonly closing: AbortSignal },
): Promise<Dispatch> {
  const { store, clock, report, oidcIssuers = [], telemetry } = options;
  const { readiness, reservedPaths, closing } = more;
  const policies = createLoginPolicies(store);
  const serviceNames = services.map(({ typeName }) => typeName);
  // Tools look up the messages in the details of an error.
  const moreFiles = [file_zitadel_message, file_google_rpc_error_details];
  const reflection = createReflectionServices({ services, moreFiles, closing });
  const outside = oidcIssuers.length === 0 ? undefined : await loadOutsideIssuers(oidcIssuers, options);
  const identify = createIdentify({
    store,
    clock,
    acceptsIssued: options.issuer !== undefined,
    ...(outside && { outside }),
  });
  const rpcs = createRpcTable((router) => {
    router.service(
      LoginPolicyService,
      createLoginPolicyService({
        clock,
        store,
        identifyAgain: createIdentifyAgain(identify),
        ...(options.watchesPerCaller !== undefined && { watchesPerCaller: options.watchesPerCaller }),
        closing,
      }),
    );
    router.service(ManagementService, createManagementService(policies));
    router.service(AdminService, createAdminService(policies));
    router.service(AuthService, createAuthService());
    router.service(Health, createHealthService({ readiness, serviceNames, closing }));
    router.service(ServerReflection, reflection.v1);
    router.service(ServerReflectionV1Alpha, reflection.v1alpha);
  });
  const permissions = createPermissionTable(
    [...rpcs.values()].map(({ spec }) => spec.method),
    publicRpcs,
  );
  return createDispatch(rpcs, {
    gate: mapGateErrors(createGate({ store, permissions, identify }), report),
    interceptors: createInterceptors({ store, permissions, report }),
    maxRequestBytes,
    turns: new CallerTurns(options.callsPerCaller === undefined ? {} : { maxInFlight: options.callsPerCaller }),
    ...(options.stockHandlers && { stockHandlers: true }),
    ...(telemetry && { observe: telemetry.observe }),
    // As in ZITADEL: its clients rely on this, and on `grpcMetadataHeaders`. In our own API, a misspelt setting must not be lost.
    ignoreUnknown: ({ parent }) => parent !== LoginPolicyService,
    publicStreams: { isPublic: (method) => permissions.get(method) === anyone, ...options.publicStreams },
    grpcMetadataHeaders: true,
    reservedPaths,
    // Details of errors use it, and no file of a service imports it.
    registry: createRegistry(file_zitadel_message),
    onFailure: (reason, contextValues) => report({ reason, contextValues }),
  });
}

/** Loads the code that checks tokens of outside issuers, only when there are any. */
async function loadOutsideIssuers(
  settings: readonly OutsideIssuerSettings[],
  { clock, report, limitedLog = () => {} }: ServerOptions,
) {
  const { createOutsideIssuers } = await import("./auth/outside/issuers.ts");
  return createOutsideIssuers(settings, { clock, limitedLog, report: (reason) => report({ reason }) });
}

/** Loads the built-in issuer, which takes as long as loading all the rest. */
async function loadIssuer(
  { store, clock, report, limitedLog = () => {}, trustedProxies = [] }: ServerOptions,
  url: string,
): Promise<ListenerHandler> {
  const { createIssuer } = await import("./auth/issuer/handler.ts");
  return createIssuer({
    store,
    clock,
    url,
    trustedProxies,
    limitedLog,
    report: (reason, requestId) => report({ reason, requestId }),
  });
}
