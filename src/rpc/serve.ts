import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { createContextValues } from "@connectrpc/connect";
import { aBoolean, aFunction, type Check, checkOptions } from "./check-options.ts";
import { anObject, checkParts } from "./check-serve-options.ts";
import { createDispatch } from "./dispatch.ts";
import { type DispatchOptions, dispatchChecks } from "./dispatch-options.ts";
import { file_google_rpc_error_details } from "./gen/google/rpc/error_details_pb.ts";
import { Health } from "./gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "./gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionV1Alpha } from "./gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type CorsPolicy, withCors } from "./http/cors.ts";
import type { ListenerHandler } from "./listener/handler.ts";
import type { ListenerLimits } from "./listener/limits.ts";
import { type Listener, openListener, type TlsOptions } from "./listener/listener.ts";
import { createOpenApi, type OpenApiOptions } from "./openapi/document.ts";
import { openApiPaths, withOpenApi } from "./openapi/serve.ts";
import { createRouteTable } from "./rest/route-table.ts";
import { createRpcTable, type Router, type RpcTable } from "./rpc-table.ts";
import { createHealthService, type Readiness } from "./services/health.ts";
import { createReflectionServices } from "./services/reflection.ts";

/** What to serve, and where. The options of `createDispatch` belong to it. */
export interface ServeOptions extends DispatchOptions {
  /** Registers the services: `(router) => router.service(LibraryService, { … })`. */
  readonly services: (router: Router) => void;
  /** The port to bind. Default 0: a free one, which `url` names, because any fixed number is taken on some machine. */
  readonly port?: number;
  /** The address to bind, or a name that resolves to it. Default 127.0.0.1: only this machine reaches the server. */
  readonly host?: string;
  /** Whether several processes may serve `port`, each with this option; see `ListenerOptions`. Default false. */
  readonly reusePort?: boolean;
  /** Default: plaintext. */
  readonly tls?: TlsOptions;
  /** Default: `defaultLimits`. */
  readonly limits?: Partial<ListenerLimits>;
  /** The origins whose pages may call, and with which headers. Default: only pages of the server's own origin. */
  readonly cors?: Pick<CorsPolicy, "origins"> & Partial<CorsPolicy>;
  /**
   * What the OpenAPI document says beside the routes; false: none is served. Default: the services' names as its title, and "1" as
   * its version.
   */
  readonly openapi?: false | Partial<OpenApiOptions>;
  /** Whether the server is ready, for `grpc.health.v1`; false: it is not served. Default: ready until the server closes. */
  readonly health?: false | Readiness;
  /** False: `grpc.reflection` v1 and v1alpha are not served. */
  readonly reflection?: boolean;
}

/**
 * Serves Connect services on gRPC, gRPC-Web, Connect and REST JSON on one port, with health checks, reflection and
 * `/openapi.json`. These three need no credentials: neither the gate nor the document's security counts for them.
 *
 * Signals stay with the program: `process.once("SIGTERM", () => server.close())` ends it without failing a call. Throws a
 * TypeError for an option that does not exist or does not fit, and an Error for a service that is registered twice or HTTP rules
 * that cannot be served. Rejects with Node's own error if it cannot listen.
 *
 * @example
 * const server = await serve({ services: (router) => router.service(LibraryService, { … }), port: 8081 });
 * console.log(server.url);
 */
export async function serve(options: ServeOptions): Promise<Listener> {
  checkOptions("serve", options, serveChecks);
  checkParts(options);
  const {
    services,
    port = 0,
    host = "127.0.0.1",
    reusePort,
    tls,
    limits,
    cors,
    openapi = {},
    health,
    reflection,
    ...rest
  } = options;
  if (services === undefined) throw new TypeError("serve needs the option services, a function that registers them");
  const closing = new AbortController();
  const { rpcs, tools, names } = createTable(options, closing.signal);
  const isTool = (method: DescMethod) => tools.includes(method.parent);
  const { gate, publicStreams, onFailure, reservedPaths = [] } = rest;
  const onError = onFailure && ((reason: unknown) => onFailure(reason, createContextValues()));

  let handler: ListenerHandler = createDispatch(rpcs, {
    ...rest,
    ...(gate && { gate: (context) => (isTool(context.method) ? undefined : gate(context)) }),
    publicStreams: {
      ...publicStreams,
      isPublic: (method) => isTool(method) || publicStreams?.isPublic(method) === true,
    },
    reservedPaths: openapi === false ? reservedPaths : [...reservedPaths, ...openApiPaths],
  });
  if (openapi !== false) {
    const info = { title: names.join(", "), version: "1" };
    handler = withOpenApi(handler, {
      document: () => createOpenApi(createRouteTable(rpcs).routes, { info, ...openapi }),
      ...(onError && { onFailure: onError }),
    });
  }
  if (cors !== undefined) handler = withCors(handler, cors);
  const listener = await openListener({ host, port, reusePort, tls, limits, handler, onError });
  return {
    ...listener,
    close: (how = {}) =>
      listener.close({
        ...how,
        onDrain() {
          closing.abort();
          how.onDrain?.();
        },
      }),
  };
}

/** The services with those for tools: the RPCs of all, the descriptors of the tools', and the names of the others. */
function createTable({ services, health, reflection }: ServeOptions, closing: AbortSignal) {
  const served: DescService[] = [];
  const tools = [
    ...(health === false ? [] : [Health]),
    ...(reflection === false ? [] : [ServerReflection, ServerReflectionV1Alpha]),
  ];
  const rpcs: RpcTable = createRpcTable((router) => {
    services({
      service(service, implementation) {
        router.service(service, implementation);
        served.push(service);
      },
    });
    if (served.length === 0) {
      throw new Error("the option services of serve registered no service: call router.service before it returns");
    }
    const all = [...served, ...tools];
    if (health !== false) {
      const serviceNames = all.map(({ typeName }) => typeName);
      router.service(Health, createHealthService({ readiness: health ?? alwaysReady, serviceNames, closing }));
    }
    if (reflection !== false) {
      const { v1, v1alpha } = createReflectionServices({ services: all, moreFiles, closing });
      router.service(ServerReflection, v1);
      router.service(ServerReflectionV1Alpha, v1alpha);
    }
  });
  return { rpcs, tools: tools as readonly DescService[], names: served.map(({ name }) => name) };
}

/** So that tools can show the details of errors. */
const moreFiles = [file_google_rpc_error_details];

const alwaysReady: Readiness = { isReady: true, onChange: () => () => {} };

const falseOr = ({ wanted, fits }: Check): Check => ({
  wanted: `${wanted}, or false`,
  fits: (value) => value === false || fits(value),
});

const serveChecks: { readonly [Name in keyof ServeOptions]-?: Check } = {
  services: aFunction,
  port: {
    wanted: "a whole number from 0 to 65535",
    fits: (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65_535,
  },
  host: { wanted: "a string that is not empty", fits: (value) => typeof value === "string" && value !== "" },
  reusePort: aBoolean,
  tls: anObject,
  limits: anObject,
  cors: {
    wanted: "an object with an array of origins",
    fits: (value) => Array.isArray((value as Partial<CorsPolicy> | null)?.origins),
  },
  openapi: falseOr(anObject),
  health: falseOr({
    wanted: "an object with isReady and onChange",
    fits: (value) => typeof (value as Partial<Readiness> | null)?.onChange === "function",
  }),
  reflection: aBoolean,
  ...dispatchChecks,
};
