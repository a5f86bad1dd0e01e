import { createRegistry } from "@bufbuild/protobuf";
import {
  aroundHandler,
  CallerTurns,
  corsDefaults,
  createDispatch,
  createHealthService,
  createReflectionServices,
  createRpcTable,
  type Dispatch,
  Health,
  type Listener,
  type ListenerHandler,
  nameAnswer,
  openApiPaths,
  openListener,
  type PublicStreamOptions,
  rawPath,
  requestIdHeader,
  ServerReflection,
  ServerReflectionV1Alpha,
  sendStatusAnswer,
  type TlsOptions,
  withCors,
  withOpenApi,
} from "@portcullis/rpc";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { AdminService } from "../gen/zitadel/admin_pb.ts";
import { AuthService } from "../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../gen/zitadel/management_pb.ts";
import { file_zitadel_message } from "../gen/zitadel/message_pb.ts";
import { createLoginPolicies } from "./application/login-policy.ts";
import { createGate } from "./auth/gate.ts";
import { createIdentify } from "./auth/identify.ts";
import { issuerRoute } from "./auth/issuer/paths.ts";
import type { OutsideIssuerSettings } from "./auth/outside/settings.ts";
import { anyone, createPermissionTable } from "./auth/permissions.ts";
import { mapGateErrors, type ReportFailure } from "./interceptors/errors.ts";
import { createInterceptors } from "./interceptors/index.ts";
import type { LimitedLog } from "./process/limited-log.ts";
import { createReadiness, type Readiness } from "./process/readiness.ts";
import { createAdminService } from "./services/zitadel/admin.ts";
import { createAuthService } from "./services/zitadel/auth.ts";
import { createManagementService } from "./services/zitadel/management.ts";
import type { Clock, Store } from "./store/store.ts";
import type { Telemetry } from "./telemetry/index.ts";
import { createDebugHandler, debugPaths, isDebugPath } from "./web/debug.ts";
import { loadDocument } from "./web/documents.ts";

/** Requests of this API are small: the largest is a few hundred bytes. */
const maxRequestBytes = 64 * 1024;

const toolServices = [Health, ServerReflection, ServerReflectionV1Alpha];
const services = [ManagementService, AdminService, AuthService, ...toolServices];

/** What needs no token: load balancers have none, and the documents of the API are for everybody too. */
const publicRpcs = [
  ...toolServices,
  ManagementService.method.healthz,
  AdminService.method.healthz,
  AuthService.method.healthz,
];

export interface ServerOptions {
  readonly store: Store;
  readonly listen: { readonly host: string; readonly port: number };
  /** Absent: plaintext. */
  readonly tls?: TlsOptions;
  /** Origins whose pages may call; `*` for any. */
  readonly corsOrigins: readonly string[];
  /** What those pages may send besides what clients of the API do: names of headers, or beginnings of them and a `*`. Default: none. */
  readonly corsHeaders?: readonly string[];
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
  /** How many unary calls of one user are in flight; see `CallerTurnsOptions`. */
  readonly callsPerCaller?: number;
  /** What health checks are answered with. Default: always ready, until the server closes. */
  readonly readiness?: Readiness;
  /** Told of every request, and shown at `/debug/metrics`. Default: nothing is counted. */
  readonly telemetry?: Pick<Telemetry, "metrics" | "observe" | "observeHttp">;
  /** Bounds for health watches and reflection; see `PublicStreamOptions`. */
  readonly publicStreams?: Pick<PublicStreamOptions, "mostOnConnection" | "most" | "maxAgeMs">;
  /** How long a stop waits for requests on connections that are silent; see `ListenerLimits`. */
  readonly drainQuietMs?: number;
  /** Where `/debug` is served. Default: where the rest is. */
  readonly debugListen?: { readonly host: string; readonly port: number };
  readonly clock: Clock;
  readonly report: ReportFailure;
  /** Gets why the built-in issuer refuses requests, and why tokens of outside issuers are refused. Default: nobody is told. */
  readonly limitedLog?: LimitedLog;
}

/**
 * Puts the parts together and starts to serve. The store must have been set up; it stays open when the server closes.
 * Rejects with Node's own error where it cannot listen.
 */
export async function openServer(options: ServerOptions): Promise<Listener> {
  const { listen, tls, debugListen, drainQuietMs, report, telemetry, readiness = createReadiness() } = options;
  const onError = (reason: unknown) => report({ reason });
  const closing = new AbortController();
  let listener: Listener | undefined;
  const dispatch = await createApi(options, { readiness, closing: closing.signal });
  const serveApi = openToPages(withDocument(dispatch, options), options);
  const serveIssuer = options.issuer && createIssuerLoader(options, () => options.issuer?.url ?? listener?.url ?? "");
  const debug = createDebugHandler({
    readiness,
    ...(telemetry && { metrics: telemetry.metrics }),
    onFailure: onError,
  });
  const serveDebug = openToPages(debug, options);
  const handler = aroundHandler(serveApi, (request, response) => {
    // Also of what is no RPC, so that who asks can name the answer.
    nameAnswer(request, response);
    const path = rawPath(request);
    if (debugListen === undefined && isDebugPath(path)) return serveDebug(request, response);
    const issuer = serveIssuer && issuerRoute(path);
    const route = issuer ?? (openApiPaths.includes(path) ? path : undefined);
    if (route !== undefined) telemetry?.observeHttp(request, response, route);
    // Which pages may call the issuer, the applications say that are registered there.
    if (serveIssuer !== undefined && issuer !== undefined) return serveIssuer(request, response);
    serveApi(request, response);
  });
  const limits = drainQuietMs === undefined ? {} : { drainQuietMs };
  listener = await openListener({ ...listen, ...(tls && { tls }), handler, limits, onError });
  const { close } = listener;
  if (telemetry) showUsage(listener, telemetry.metrics);
  let debugListener: Listener | undefined;
  try {
    debugListener = debugListen && (await openListener({ ...debugListen, handler: serveDebug, onError }));
  } catch (error) {
    await close({ graceMs: 0 });
    throw Object.assign(error as Error, { isOfDebug: true });
  }
  return {
    ...listener,
    async close(closeOptions) {
      await close({ ...closeOptions, onDrain: () => closing.abort() });
      // To the end, it tells that the server is not ready.
      await debugListener?.close({ graceMs: 0 });
    },
  };
}

function showUsage({ usage }: Listener, metrics: Telemetry["metrics"]): void {
  metrics.addGauge({
    name: "portcullis_connections_open",
    help: "Open TCP connections.",
    read: () => usage().connections,
  });
  metrics.addGauge({
    name: "portcullis_http2_streams_open",
    help: "Open streams of HTTP/2.",
    read: () => usage().streams,
  });
  metrics.addCounter({
    name: "portcullis_network_bytes_total",
    help: "Bytes over TCP, those of TLS and HTTP included.",
    label: "direction",
    read() {
      const { bytesReceived, bytesSent } = usage();
      return { received: bytesReceived, sent: bytesSent };
    },
  });
  metrics.addCounter({
    name: "portcullis_connections_cut_total",
    help: "Connections, and single streams of HTTP/2, that the server ended because of a limit or could not read.",
    label: "reason",
    read: () => ({ ...usage().cuts }),
  });
}

/** The RPCs, with who may call them. */
async function createApi(
  options: ServerOptions,
  { readiness, closing }: { readonly readiness: Readiness; readonly closing: AbortSignal },
): Promise<Dispatch> {
  const { store, clock, report, oidcIssuers = [], telemetry } = options;
  const policies = createLoginPolicies(store);
  const serviceNames = services.map(({ typeName }) => typeName);
  // Tools look up what is in the details of an error.
  const moreFiles = [file_zitadel_message, file_google_rpc_error_details];
  const reflection = createReflectionServices({ services, moreFiles, closing });
  const rpcs = createRpcTable((router) => {
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
  const outside = oidcIssuers.length === 0 ? undefined : await loadOutsideIssuers(oidcIssuers, options);
  const identify = createIdentify({
    store,
    clock,
    acceptsIssued: options.issuer !== undefined,
    ...(outside && { outside }),
  });
  return createDispatch(rpcs, {
    gate: mapGateErrors(createGate({ store, permissions, identify }), report),
    interceptors: createInterceptors(report),
    maxRequestBytes,
    turns: new CallerTurns(options.callsPerCaller === undefined ? {} : { maxInFlight: options.callsPerCaller }),
    ...(options.stockHandlers && { stockHandlers: true }),
    ...(telemetry && { observe: telemetry.observe }),
    // Both as ZITADEL does, and its clients rely on them.
    ignoreUnknown: true,
    publicStreams: { isPublic: (method) => permissions.get(method) === anyone, ...options.publicStreams },
    grpcMetadataHeaders: true,
    reservedPaths: [...openApiPaths, ...debugPaths],
    // In the details of errors, and in no file of a service.
    registry: createRegistry(file_zitadel_message),
    onFailure: (reason, contextValues) => report({ reason, contextValues }),
  });
}

/**
 * What pages may say beside what their clients need: for whom, in which language, and as part of which trace. OpenTelemetry's
 * instrumentation of fetch adds the trace by itself, and one header that is not allowed keeps a page from calling at all. Pages
 * written for a grpc-gateway put its prefix before any of them.
 */
const pageHeaders = [
  "x-zitadel-orgid",
  "accept-language",
  "x-request-id",
  "traceparent",
  "tracestate",
  "grpc-metadata-*",
];

/** The document of the API beside its RPCs. */
const withDocument = (dispatch: Dispatch, { issuer, report }: ServerOptions): ListenerHandler =>
  withOpenApi(dispatch, {
    document: () => loadDocument(issuer === undefined ? {} : { issuer }),
    onFailure: (reason) => report({ reason }),
  });

/** Lets pages of other origins call a handler. */
const openToPages = (
  handler: ListenerHandler,
  { corsOrigins, corsHeaders = [] }: Pick<ServerOptions, "corsOrigins" | "corsHeaders">,
): ListenerHandler =>
  withCors(handler, {
    origins: corsOrigins,
    allowHeaders: [...corsDefaults.allowHeaders, ...pageHeaders, ...corsHeaders],
    exposeHeaders: [...corsDefaults.exposeHeaders, "portcullis-policy", requestIdHeader],
  });

/** What checks their tokens is loaded only where there are any. */
async function loadOutsideIssuers(
  settings: readonly OutsideIssuerSettings[],
  { clock, report, limitedLog = () => {} }: ServerOptions,
) {
  const { createOutsideIssuers } = await import("./auth/outside/issuers.ts");
  return createOutsideIssuers(settings, { clock, limitedLog, report: (reason) => report({ reason }) });
}

/** Loads the issuer with the first request for it: most processes never need it, and it would double the time to start. */
function createIssuerLoader(
  { store, clock, report, limitedLog = () => {}, trustedProxies = [] }: ServerOptions,
  url: () => string,
): ListenerHandler {
  let loading: Promise<ListenerHandler> | undefined;
  return (request, response) => {
    loading ??= import("./auth/issuer/handler.ts").then(({ createIssuer }) =>
      createIssuer({
        store,
        clock,
        url: url(),
        trustedProxies,
        limitedLog,
        report: (reason, requestId) => report({ reason, requestId }),
      }),
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
