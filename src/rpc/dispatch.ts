import { constants } from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import type { PathBinding } from "./call.ts";
import type { Codec } from "./codec.ts";
import { createConnectCodec } from "./connect/codec.ts";
import type { RpcExchange } from "./exchange.ts";
import { createGrpcCodec, isGrpc } from "./grpc/codec.ts";
import { createGrpcWebCodec, isGrpcWeb } from "./grpc-web/codec.ts";
import {
  type HttpRefusal,
  type HttpRequest,
  type HttpResponse,
  hasAuthority,
  httpStatus,
  isGone,
  mediaType,
  rawPath,
  send,
} from "./http.ts";
import type { ListenerHandler, StreamHandler } from "./listener/handler.ts";
import { headerProblem } from "./listener/limits.ts";
import { isBehind, untilRead } from "./listener/unread.ts";
import type { Observe, Outcome, ProtocolName } from "./outcome.ts";
import { type PublicStream, type PublicStreamOptions, PublicStreams } from "./public-streams.ts";
import { StreamReply } from "./reply.ts";
import { createRestCodec, type RestOptions } from "./rest/codec.ts";
import { bindPath } from "./rest/path-binding.ts";
import { createRouteTable } from "./rest/route-table.ts";
import { flaw } from "./rest/violations.ts";
import type { Rpc, RpcTable } from "./router.ts";
import { createStock } from "./stock.ts";

export interface DispatchOptions extends RestOptions {
  /**
   * Whether Connect's own handlers serve the unary calls of gRPC, gRPC-Web and Connect too, as they serve streams. Default false:
   * they take several times as long for the same answers.
   */
  readonly stockHandlers?: boolean;
  /** Which streams anybody may open, and how many of them. Default: none is bounded but by the listener. */
  readonly publicStreams?: PublicStreamOptions;
  /** Told of every request and how it ended: for metrics, traces and logs. */
  readonly observe?: Observe;
}

/** Answers one HTTP request. Never throws and never rejects. */
export interface Dispatch extends ListenerHandler {
  /**
   * Takes unary calls of gRPC, and leaves the rest: they are served faster (docs/performance.md), and without what is around
   * the dispatch. A call with an Origin is left, since CORS may have to do with it.
   */
  readonly streamHandler: StreamHandler;
}

/** Serves every RPC of the table on all four protocols: finds the protocol, the RPC, and lets the codec serve it. */
export function createDispatch(rpcs: RpcTable, options: DispatchOptions): Dispatch {
  // Fields without presence are always in a JSON answer, and a field nobody knows is refused rather than dropped.
  const jsonOptions = { registry: options.registry, alwaysEmitImplicit: true, ignoreUnknownFields: false };
  const serveStock = createStock(rpcs, { ...options, jsonOptions });
  const codecOptions = { serveStock, ...(!options.stockHandlers && { unary: { ...options, jsonOptions } }) };
  const routes = createRouteTable(rpcs, options.reservedPaths);
  const grpc = createGrpcCodec(codecOptions);
  const grpcWeb = createGrpcWebCodec(codecOptions);
  const connect = createConnectCodec(codecOptions);
  const rest = createRestCodec(options);

  function codecOf(request: HttpRequest): Pick<Codec, "protocol" | "refuse" | "refuseStream"> {
    if (isGrpc(request)) return grpc;
    if (isGrpcWeb(request)) return grpcWeb;
    return rpcs.has(rawPath(request)) ? connect : rest;
  }

  function find(request: HttpRequest): Served {
    if (headerProblem(request) !== undefined) return refused(codecOf(request), headersTooLarge());
    if (!hasAuthority(request)) return refused(codecOf(request), badAuthority());
    if (isGrpc(request)) {
      // Without HTTP/2 there are no trailers that a gRPC client could read.
      return request.httpVersionMajor < 2 ? refused(rest, grpcNeedsHttp2()) : findFramed(grpc, request);
    }
    if (isGrpcWeb(request)) return findFramed(grpcWeb, request);
    const rpc = rpcs.get(rawPath(request));
    return rpc === undefined ? findRest(request) : called(connect, rpc);
  }

  /** gRPC or gRPC-Web framing, on the path of an RPC or on a POST route of a HTTP rule. */
  function findFramed(codec: Codec, request: HttpRequest): Served {
    if (!/^[a-z/-]+(\+proto|\+json)?$/.test(mediaType(request))) return refused(codec, unknownSubtype());
    const rpc = rpcs.get(rawPath(request));
    if (rpc !== undefined && request.method === "POST") return called(codec, rpc);
    const match = routes.match("POST", rawPath(request));
    if (match.kind !== "found" || request.method !== "POST") return refused(codec, unknownRpc());
    const { route, pathValues } = match;
    const bindPathValues: PathBinding = (message) =>
      bindPath(reflect(route.rpc.spec.method.input, message), route, {
        pathValues,
        // A message in these framings is whole by itself, and its caller may not know what the path says.
        overrides: true,
        registry: options.registry,
      });
    return called(codec, route.rpc, bindPathValues);
  }

  function findRest(request: HttpRequest): Served {
    const path = rawPath(request);
    if (request.method === "OPTIONS" && path === "*") return allowed(knownMethods);
    // Over HTTP/2 such bytes come as they are, and nobody knows of which character set. In a path, a # is data only escaped.
    if (/[^\x21-\x7e]/.test(request.url ?? "") || path.includes("#")) return refused(rest, notAscii());
    if (hasDotSegment(path)) return refused(rest, dotSegment());
    const match = routes.match(request.method ?? "", path);
    switch (match.kind) {
      case "found": {
        const { route, pathValues } = match;
        const { rpc } = route;
        const serve: Served["serve"] = (exchange) => rest.serve({ ...exchange, rpc, route, pathValues });
        return { protocol: "rest", method: rpc.spec.method, serve };
      }
      case "wrong_method":
        return request.method === "OPTIONS" ? allowed(match.allow) : refused(rest, wrongMethod(match.allow));
      case "bad_escape":
        return refused(rest, badEscape());
      case "not_found":
        // Here a client of Connect cannot be told from one of REST, unless it says so.
        return request.headers["connect-protocol-version"] === undefined
          ? refused(rest, notFound())
          : refused(connect, unknownRpc());
    }
  }

  const { observe } = options;
  const publicStreams = options.publicStreams && new PublicStreams(options.publicStreams);

  /** Refused before anything is made of it: what is refused must cost little. */
  async function servePublicStream(
    streams: PublicStreams,
    { serve, exchange }: Pick<Served, "serve"> & { readonly exchange: Parameters<Served["serve"]>[0] },
  ): Promise<Outcome> {
    const { request, response } = exchange;
    let stream: PublicStream;
    try {
      stream = streams.begin(request, response);
    } catch (reason) {
      const error = ConnectError.from(reason);
      const codec = codecOf(request);
      if (codec.refuseStream) codec.refuseStream(exchange, error);
      else codec.refuse(response, { error, status: httpStatus(error.code) });
      return error.code;
    }
    try {
      return await serve({ ...exchange, end: stream.signal });
    } finally {
      stream.end();
    }
  }

  async function serveOne(request: HttpRequest, response: HttpResponse): Promise<void> {
    if (isBehind(response)) {
      await untilRead(response);
      if (isGone(response)) return;
    }
    let end: ReturnType<Observe> | undefined;
    let outcome: Outcome = Code.Internal;
    try {
      const { protocol, method, serve } = find(request);
      const contextValues = createContextValues();
      end = observe?.({ protocol, ...(method && { method }), head: request, socket: request.socket, contextValues });
      const exchange = { request, response, contextValues };
      outcome =
        method !== undefined && publicStreams?.counts(method)
          ? await servePublicStream(publicStreams, { serve, exchange })
          : await serve(exchange);
    } catch (reason) {
      if (isGone(response) || response.writableEnded) {
        outcome = Code.Canceled;
        return;
      }
      options.onFailure(reason);
      codecOf(request).refuse(response, { error: new ConnectError("internal error", Code.Internal), status: 500 });
    } finally {
      end?.(outcome);
    }
  }

  const streamHandler: StreamHandler = (stream, headers, rawHeaders) => {
    const { ":method": method, ":path": url, "content-type": type } = headers;
    if (grpc.serveUnary === undefined || method !== "POST" || url === undefined) return false;
    // Of concern to what is around the dispatch, and to Node.
    if (headers.origin !== undefined || headers.expect !== undefined) return false;
    if (isBehind(stream)) return false;
    if (type !== "application/grpc" && type !== "application/grpc+proto" && type !== "application/grpc+json")
      return false;
    const rpc = rpcs.get(url);
    const head = { method, url, headers };
    if (rpc?.spec.kind !== "unary" || headerProblem({ url, rawHeaders }) || !hasAuthority(head)) return false;
    const contextValues = createContextValues();
    const { socket } = stream.session ?? {};
    const end = observe?.({ protocol: "grpc", method: rpc.spec.method, head, socket, contextValues });
    grpc
      .serveUnary({ rpc, head, source: stream, reply: new StreamReply(stream), contextValues })
      .then(end, (reason: unknown) => {
        options.onFailure(reason);
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        end?.(Code.Internal);
      });
    return true;
  };

  const serve = (request: HttpRequest, response: HttpResponse): void => void serveOne(request, response);
  return Object.assign(serve, { streamHandler });
}

/** What a request is for, and how it is served. */
interface Served {
  readonly protocol: ProtocolName;
  readonly method?: DescMethod;
  serve(exchange: Pick<RpcExchange, "request" | "response" | "contextValues" | "end">): Outcome | Promise<Outcome>;
}

const called = (codec: Codec, rpc: Rpc, bindPath?: PathBinding): Served => ({
  protocol: codec.protocol,
  method: rpc.spec.method,
  serve: (exchange) => codec.serve({ ...exchange, rpc, ...(bindPath && { bindPath }) }),
});

const refused = (codec: Pick<Codec, "protocol" | "refuse">, refusal: HttpRefusal): Served => ({
  protocol: codec.protocol,
  serve({ response }) {
    codec.refuse(response, refusal);
    return refusal.error.code;
  },
});

const allowed = (methods: readonly string[]): Served => ({
  protocol: "rest",
  serve({ response }) {
    send(response, { status: 204, header: { allow: methods.join(", "), "cache-control": "no-store" } });
    return 0;
  },
});

const knownMethods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/** `.` and `..`, however they are spelled. Half of the programs on the way resolve them, so nobody may rely on them. */
const hasDotSegment = (path: string): boolean => /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i.test(path);

const headersTooLarge = (): HttpRefusal => ({
  error: new ConnectError("the request headers are too large", Code.ResourceExhausted),
  status: 431,
});
const badAuthority = (): HttpRefusal => ({
  error: new ConnectError("the Host header is missing or names no host", Code.InvalidArgument),
  status: 400,
});
const grpcNeedsHttp2 = (): HttpRefusal => ({
  error: new ConnectError("gRPC needs HTTP/2; over HTTP/1.1 use gRPC-Web, Connect or JSON", Code.Unimplemented),
  status: 505,
  header: { connection: "close" },
});
const unknownSubtype = (): HttpRefusal => ({
  error: new ConnectError("messages are sent as +proto or +json", Code.Unimplemented),
  status: 415,
});
const unknownRpc = (): HttpRefusal => ({
  error: new ConnectError("no RPC is served at this path", Code.Unimplemented),
  status: 404,
});
const wrongMethod = (allow: readonly string[]): HttpRefusal => ({
  error: new ConnectError("Method Not Allowed", Code.Unimplemented),
  status: 405,
  header: { allow: allow.join(", ") },
});
const badEscape = (): HttpRefusal => ({
  error: flaw("url", "the path holds a percent sign that starts no valid UTF-8 escape: write a percent sign as %25"),
  status: 400,
});
const notAscii = (): HttpRefusal => ({
  error: flaw("url", "the request target holds bytes that must be percent-encoded: escape them as UTF-8"),
  status: 400,
});
const dotSegment = (): HttpRefusal => ({
  error: flaw("url", "the path holds a segment of dots: resolve it before you send it"),
  status: 400,
});
const notFound = (): HttpRefusal => ({ error: new ConnectError("Not Found", Code.NotFound), status: 404 });
