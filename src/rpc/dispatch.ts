import { constants } from "node:http2";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import type { PathBinding } from "./call.ts";
import type { Codec } from "./codec.ts";
import { createConnectCodec } from "./connect/codec.ts";
import { createGrpcCodec, isGrpc } from "./grpc/codec.ts";
import { createGrpcWebCodec, isGrpcWeb } from "./grpc-web/codec.ts";
import {
  type HttpRefusal,
  type HttpRequest,
  type HttpResponse,
  hasAuthority,
  isGone,
  mediaType,
  rawPath,
  send,
} from "./http.ts";
import type { ListenerHandler, StreamHandler } from "./listener/handler.ts";
import { headerProblem } from "./listener/limits.ts";
import { StreamReply } from "./reply.ts";
import { createRestCodec, type RestOptions } from "./rest/codec.ts";
import { bindPath } from "./rest/path-binding.ts";
import { createRouteTable } from "./rest/route-table.ts";
import { flaw } from "./rest/violations.ts";
import type { RpcTable } from "./router.ts";
import { createStock } from "./stock.ts";

export interface DispatchOptions extends RestOptions {
  /**
   * Whether Connect's own handlers serve the unary calls of gRPC, gRPC-Web and Connect too, as they serve streams. Default false:
   * they take several times as long for the same answers.
   */
  readonly stockHandlers?: boolean;
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

  function codecOf(request: HttpRequest): Pick<Codec, "refuse"> {
    if (isGrpc(request)) return grpc;
    if (isGrpcWeb(request)) return grpcWeb;
    return rpcs.has(rawPath(request)) ? connect : rest;
  }

  async function dispatch(request: HttpRequest, response: HttpResponse): Promise<void> {
    if (headerProblem(request) !== undefined) return codecOf(request).refuse(response, headersTooLarge());
    if (!hasAuthority(request)) return codecOf(request).refuse(response, badAuthority());
    if (isGrpc(request)) {
      // Without HTTP/2 there are no trailers that a gRPC client could read.
      if (request.httpVersionMajor < 2) return rest.refuse(response, grpcNeedsHttp2());
      return dispatchFramed(grpc, request, response);
    }
    if (isGrpcWeb(request)) return dispatchFramed(grpcWeb, request, response);
    const rpc = rpcs.get(rawPath(request));
    if (rpc !== undefined) return connect.serve({ rpc, request, response, contextValues: createContextValues() });
    return dispatchRest(request, response);
  }

  /** gRPC or gRPC-Web framing, on the path of an RPC or on a POST route of a HTTP rule. */
  async function dispatchFramed(codec: Codec, request: HttpRequest, response: HttpResponse): Promise<void> {
    if (!/^[a-z/-]+(\+proto|\+json)?$/.test(mediaType(request))) return codec.refuse(response, unknownSubtype());
    const contextValues = createContextValues();
    const rpc = rpcs.get(rawPath(request));
    if (rpc !== undefined && request.method === "POST") {
      return codec.serve({ rpc, request, response, contextValues });
    }
    const match = routes.match("POST", rawPath(request));
    if (match.kind !== "found" || request.method !== "POST") return codec.refuse(response, unknownRpc());
    const { route, pathValues } = match;
    const bindPathValues: PathBinding = (message) =>
      bindPath(reflect(route.rpc.spec.method.input, message), route, {
        pathValues,
        // A message in these framings is whole by itself, and its caller may not know what the path says.
        overrides: true,
        registry: options.registry,
      });
    return codec.serve({ rpc: route.rpc, request, response, contextValues, bindPath: bindPathValues });
  }

  async function dispatchRest(request: HttpRequest, response: HttpResponse): Promise<void> {
    const path = rawPath(request);
    if (request.method === "OPTIONS" && path === "*") return sendAllow(response, knownMethods);
    // Over HTTP/2 such bytes come as they are, and nobody knows of which character set. In a path, a # is data only escaped.
    if (/[^\x21-\x7e]/.test(request.url ?? "") || path.includes("#")) return rest.refuse(response, notAscii());
    if (hasDotSegment(path)) return rest.refuse(response, dotSegment());
    const match = routes.match(request.method ?? "", path);
    switch (match.kind) {
      case "found": {
        const { route, pathValues } = match;
        return rest.serve({
          route,
          rpc: route.rpc,
          pathValues,
          request,
          response,
          contextValues: createContextValues(),
        });
      }
      case "wrong_method":
        if (request.method === "OPTIONS") return sendAllow(response, match.allow);
        return rest.refuse(response, wrongMethod(match.allow));
      case "bad_escape":
        return rest.refuse(response, badEscape());
      case "not_found":
        // Here a client of Connect cannot be told from one of REST, unless it says so.
        if (request.headers["connect-protocol-version"] !== undefined) return connect.refuse(response, unknownRpc());
        return rest.refuse(response, notFound());
    }
  }

  const streamHandler: StreamHandler = (stream, headers, rawHeaders) => {
    const { ":method": method, ":path": url, "content-type": type } = headers;
    if (grpc.serveUnary === undefined || method !== "POST" || url === undefined) return false;
    // Of concern to what is around the dispatch, and to Node.
    if (headers.origin !== undefined || headers.expect !== undefined) return false;
    if (type !== "application/grpc" && type !== "application/grpc+proto" && type !== "application/grpc+json")
      return false;
    const rpc = rpcs.get(url);
    const head = { method, url, headers };
    if (rpc?.spec.kind !== "unary" || headerProblem({ url, rawHeaders }) || !hasAuthority(head)) return false;
    const exchange = {
      rpc,
      head,
      source: stream,
      reply: new StreamReply(stream),
      contextValues: createContextValues(),
    };
    grpc.serveUnary(exchange).catch((reason: unknown) => {
      options.onFailure(reason);
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
    return true;
  };

  const serve = (request: HttpRequest, response: HttpResponse): void => {
    dispatch(request, response).catch((reason: unknown) => {
      if (isGone(response) || response.writableEnded) return;
      options.onFailure(reason);
      codecOf(request).refuse(response, { error: new ConnectError("internal error", Code.Internal), status: 500 });
    });
  };
  return Object.assign(serve, { streamHandler });
}

const knownMethods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

function sendAllow(response: HttpResponse, allow: readonly string[]): void {
  send(response, { status: 204, header: { allow: allow.join(", "), "cache-control": "no-store" } });
}

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
