import { constants } from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError, type ContextValues, createContextValues } from "@connectrpc/connect";
import type { PathBinding } from "./call/call.ts";
import { connectionKey } from "./call/caller-turns.ts";
import type { Codec } from "./call/codec.ts";
import type { RpcExchange } from "./call/exchange.ts";
import type { Observe, Outcome, ProtocolName } from "./call/outcome.ts";
import { type PublicStream, PublicStreams } from "./call/public-streams.ts";
import { setRequestId } from "./call/request-id.ts";
import { type DispatchOptions, readOptions } from "./dispatch-options.ts";
import { createConnectCodec, methodsOf, seemsConnect } from "./framed/connect/codec.ts";
import { createGrpcCodec, isGrpc } from "./framed/grpc/codec.ts";
import { createGrpcWebCodec, isGrpcWeb } from "./framed/grpc-web/codec.ts";
import { createStock } from "./framed/stream.ts";
import { StreamReply } from "./http/reply.ts";
import { hasAuthority, isBodyTaken, mediaType, type RequestHead, rawPath } from "./http/request.ts";
import { isGone, send } from "./http/response.ts";
import { type HttpRefusal, httpStatus } from "./http/status.ts";
import type { ListenerHandler, ListenerRequest, ListenerResponse, StreamHandler } from "./listener/handler.ts";
import { headerProblem } from "./listener/limits.ts";
import { nameAnswer, readRequestId } from "./listener/request-id.ts";
import { isBehind, untilRead } from "./listener/unread.ts";
import { createRestCodec } from "./rest/codec.ts";
import { readMetadataHeaders } from "./rest/metadata-headers.ts";
import { bindPath } from "./rest/path-binding.ts";
import { createRouteTable, hasOneRequest } from "./rest/route-table.ts";
import { flaw } from "./rest/violations.ts";
import { type Rpc, type RpcTable, readRpcPath, unknownRpcText } from "./rpc-table.ts";

/**
 * Answers one HTTP request. Never throws and never rejects. With `next`, a request is passed on where no RPC, no service and no HTTP
 * rule has its path: `next` is called, and nothing was read or answered.
 */
export interface Dispatch extends ListenerHandler {
  /**
   * Takes unary calls of gRPC, and leaves the rest: they are served faster (docs/performance.md), and without what is around
   * the dispatch. A call with an Origin is left, since CORS may have to do with it.
   */
  readonly streamHandler: StreamHandler;
}

/**
 * Serves every RPC of the table on all four protocols: finds the protocol, the RPC, and lets the codec serve it. Throws a
 * TypeError where an option cannot be used, and an Error for HTTP rules that cannot be served (`createRouteTable`).
 */
export function createDispatch(rpcs: RpcTable, given: DispatchOptions = {}): Dispatch {
  const options = readOptions(rpcs, given);
  // Fields without presence are always in a JSON answer, and a field nobody knows is refused rather than dropped.
  const jsonOptions = { registry: options.registry, alwaysEmitImplicit: true, ignoreUnknownFields: false };
  const serveStock = createStock(rpcs, { ...options, jsonOptions });
  const codecOptions = { serveStock, ...(!options.stockHandlers && { unary: { ...options, jsonOptions } }) };
  const routes = createRouteTable(rpcs, options.reservedPaths);
  const grpc = createGrpcCodec(codecOptions);
  const grpcWeb = createGrpcWebCodec(codecOptions);
  const connect = createConnectCodec(codecOptions);
  const rest = createRestCodec(options);
  const services = new Set([...rpcs.values()].map(({ spec }) => spec.method.parent.typeName));

  /** Whether a path is for an RPC, for another one of a service that is served, or for a HTTP rule. */
  function hasPath(request: ListenerRequest): boolean {
    const path = rawPath(request);
    if (rpcs.has(path) || services.has(readRpcPath(path)?.service ?? "")) return true;
    return routes.match(request.method ?? "", path).kind !== "not_found";
  }

  function codecOf(request: ListenerRequest): Pick<Codec, "protocol" | "refuse" | "refuseCall"> {
    if (isGrpc(request)) return grpc;
    if (isGrpcWeb(request)) return grpcWeb;
    return rpcs.has(rawPath(request)) ? connect : rest;
  }

  function find(request: ListenerRequest): Served {
    if (headerProblem(request) !== undefined) return refused(codecOf(request), headersTooLarge());
    if (!hasAuthority(request)) return refused(codecOf(request), badAuthority());
    if (isGrpc(request)) {
      // Without HTTP/2 there are no trailers that a gRPC client could read.
      return request.httpVersionMajor < 2 ? refused(rest, grpcNeedsHttp2()) : findFramed(grpc, request);
    }
    if (isGrpcWeb(request)) return findFramed(grpcWeb, request);
    const rpc = rpcs.get(rawPath(request));
    if (rpc === undefined) return findRest(request);
    return request.method === "OPTIONS" ? allowed(methodsOf(rpc)) : called(connect, rpc);
  }

  /** gRPC or gRPC-Web framing, on the path of an RPC or on a POST route of a HTTP rule. */
  function findFramed(codec: Codec, request: ListenerRequest): Served {
    if (!/^[a-z/-]+(\+proto|\+json)?$/.test(mediaType(request))) return refused(codec, unknownSubtype());
    const rpc = rpcs.get(rawPath(request));
    if (rpc !== undefined) return request.method === "POST" ? called(codec, rpc) : refused(codec, wantsPost(rpc));
    const match = routes.match("POST", rawPath(request));
    if (match.kind !== "found" || request.method !== "POST") return refused(codec, unknownRpc(request));
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

  function findRest(request: ListenerRequest): Served {
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
        if (!hasOneRequest(rpc)) return refused(rest, requestStream(rpc));
        const told = tellHeaders(request);
        if ("refusal" in told) return refused(rest, told.refusal);
        const serve: Served["serve"] = (exchange) => rest.serve({ ...exchange, ...told, rpc, route, pathValues });
        return { protocol: "rest", method: rpc.spec.method, serve };
      }
      case "wrong_method":
        return request.method === "OPTIONS" ? allowed(match.allow) : refused(rest, wrongMethod(match.allow));
      case "bad_escape":
        return refused(rest, badEscape());
      case "not_found":
        return seemsConnect(request) ? refusedCall(connect, unknownRpc(request)) : refused(rest, notFound());
    }
  }

  let isBodyTakenTold = false;

  /** It is a mistake of the server's author, the same for each request: told once, lest callers fill a log with it. */
  function bodyTaken(contextValues: ContextValues): HttpRefusal {
    const error = new ConnectError(
      "the body of the request was read before it came here: put the dispatch before what parses bodies",
      Code.Internal,
    );
    if (!isBodyTakenTold) options.onFailure(error, contextValues);
    isBodyTakenTold = true;
    return { error, status: 500 };
  }

  function unknownRpc(request: ListenerRequest): HttpRefusal {
    return { error: new ConnectError(unknownRpcText(rawPath(request), services), Code.Unimplemented), status: 404 };
  }

  /** The request as its call is told of it. */
  function tellHeaders(request: ListenerRequest): { readonly head: RequestHead } | { readonly refusal: HttpRefusal } {
    if (!options.grpcMetadataHeaders) return { head: request };
    const read = readMetadataHeaders(request.headers);
    if ("refusal" in read) return read;
    if (read.headers === request.headers) return { head: request };
    const { method, url, socket } = request;
    const head = { method, url, socket, headers: read.headers };
    return { head };
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
      return refusedCall(codecOf(request), { error, status: httpStatus(error.code) }).serve(exchange);
    }
    try {
      return await serve({ ...exchange, end: stream.signal });
    } finally {
      stream.end();
    }
  }

  async function serveOne(request: ListenerRequest, response: ListenerResponse): Promise<void> {
    if (isBehind(response)) {
      await untilRead(response);
      if (isGone(response)) return;
    }
    const contextValues = createContextValues().set(connectionKey, request.socket);
    let end: ReturnType<Observe> | undefined;
    let outcome: Outcome = Code.Internal;
    try {
      setRequestId(contextValues, nameAnswer(request, response));
      const found = find(request);
      const { protocol, method } = found;
      // What is refused before it reaches an RPC needs no body.
      const isLost = method !== undefined && isBodyTaken(request);
      const { serve } = isLost ? refusedCall(codecOf(request), bodyTaken(contextValues)) : found;
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
      options.onFailure(reason, contextValues);
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
    const { socket } = stream.session ?? {};
    const contextValues = createContextValues().set(connectionKey, socket);
    const requestId = readRequestId(headers);
    setRequestId(contextValues, requestId);
    const end = observe?.({ protocol: "grpc", method: rpc.spec.method, head, socket, contextValues });
    grpc
      .serveUnary({ rpc, head, source: stream, reply: new StreamReply(stream, requestId), contextValues })
      .then(end, (reason: unknown) => {
        options.onFailure(reason, contextValues);
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        end?.(Code.Internal);
      });
    return true;
  };

  const serve: ListenerHandler = (request, response, next) => {
    if (next !== undefined && !hasPath(request)) next();
    else void serveOne(request, response);
  };
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

/** What HTTP has nothing against, and no call begins with. */
const refusedCall = (
  codec: Pick<Codec, "protocol" | "refuse" | "refuseCall">,
  refusal: HttpRefusal,
): Pick<Served, "protocol" | "serve"> => ({
  protocol: codec.protocol,
  serve(exchange) {
    if (codec.refuseCall) codec.refuseCall(exchange, refusal);
    else codec.refuse(exchange.response, refusal);
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
const wantsPost = (rpc: Rpc): HttpRefusal => ({
  error: new ConnectError(`${rpc.path} is called with POST`, Code.Unimplemented),
  status: 405,
});
const requestStream = ({ spec }: Rpc): HttpRefusal => ({
  error: new ConnectError(
    `${spec.method.name} takes a stream of requests, which JSON over HTTP cannot send: call it by gRPC or Connect`,
    Code.Unimplemented,
  ),
  status: 501,
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
