import type { DescMethod } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { NodeExchange } from "./call/exchange.ts";
import type { Outcome, ProtocolName } from "./call/outcome.ts";
import type { Codec, Target } from "./codec.ts";
import type { DispatchSettings } from "./dispatch-options.ts";
import { methodsOf, seemsConnect } from "./framed/connect/codec.ts";
import { isGrpc } from "./framed/grpc/codec.ts";
import { isGrpcWeb } from "./framed/grpc-web/codec.ts";
import { hasAuthority, mediaType, rawPath } from "./http/request.ts";
import type { HttpRefusal } from "./http/status.ts";
import type { ListenerRequest } from "./listener/handler.ts";
import { headerProblem } from "./listener/limits.ts";
import { readMetadataHeaders } from "./rest/metadata-headers.ts";
import { bindPath } from "./rest/path-binding.ts";
import { createRouteTable, hasOneRequest, type RestTarget } from "./rest/route-table.ts";
import { flaw } from "./rest/violations.ts";
import { type Rpc, type RpcTable, readRpcPath, unknownRpcText } from "./rpc-table.ts";

/** What a request is for, and how it is served. */
export interface Found {
  readonly protocol: ProtocolName;
  /** Absent: the request reaches no RPC. */
  readonly method?: DescMethod;
  serve(exchange: NodeExchange): Outcome | Promise<Outcome>;
}

export interface Codecs {
  readonly grpc: Codec;
  readonly grpcWeb: Codec;
  readonly connect: Codec;
  readonly rest: Codec<RestTarget>;
}

/** Finds protocol and RPC of requests. */
export interface Finder {
  /** Whether a path is for an RPC, for another one of a service that is served, or for an HTTP rule. */
  hasPath(request: ListenerRequest): boolean;
  find(request: ListenerRequest): Found;
  /** How a request is refused that was meant for a call. */
  refusedCall(request: ListenerRequest, refusal: HttpRefusal): Found;
  /** How a request is refused in any state. */
  refuse(exchange: NodeExchange, refusal: HttpRefusal): void;
}

/** Throws an Error for HTTP rules that cannot be served (`createRouteTable`). */
export function createFinder(rpcs: RpcTable, codecs: Codecs, options: DispatchSettings): Finder {
  const { grpc, grpcWeb, connect, rest } = codecs;
  const { registry, reservedPaths, grpcMetadataHeaders } = options;
  const routes = createRouteTable(rpcs, reservedPaths);
  const services = new Set([...rpcs.values()].map(({ spec }) => spec.method.parent.typeName));

  function codecOf(request: ListenerRequest): Refuser {
    if (isGrpc(request)) return grpc;
    if (isGrpcWeb(request)) return grpcWeb;
    return rpcs.has(rawPath(request)) ? connect : rest;
  }

  function find(request: ListenerRequest): Found {
    if (headerProblem(request) !== undefined) return refused(codecOf(request), headersTooLarge());
    if (!hasAuthority(request)) return refused(codecOf(request), badAuthority());
    if (isGrpc(request)) {
      // Without HTTP/2 there are no trailers that a gRPC client could read.
      return request.httpVersionMajor < 2 ? refused(rest, grpcNeedsHttp2()) : findFramed(grpc, request);
    }
    if (isGrpcWeb(request)) return findFramed(grpcWeb, request);
    const rpc = rpcs.get(rawPath(request));
    if (rpc === undefined) return findRest(request);
    return request.method === "OPTIONS" ? allowed(methodsOf(rpc)) : called(connect, { rpc });
  }

  /** gRPC or gRPC-Web framing, on the path of an RPC or on a POST route of an HTTP rule. */
  function findFramed(codec: Codec, request: ListenerRequest): Found {
    if (!/^[a-z/-]+(\+proto|\+json)?$/.test(mediaType(request))) return refused(codec, unknownSubtype());
    const rpc = rpcs.get(rawPath(request));
    if (rpc !== undefined) return request.method === "POST" ? called(codec, { rpc }) : refused(codec, wantsPost(rpc));
    const match = routes.match("POST", rawPath(request));
    if (match.kind !== "found" || request.method !== "POST") return refused(codec, unknownRpc(request));
    const { route, pathValues } = match;
    return called(codec, {
      rpc: route.rpc,
      // A message in these framings is complete, and its caller may not know which fields the path sets.
      bindPath: (message) =>
        bindPath(reflect(route.rpc.spec.method.input, message), route, { pathValues, overrides: true, registry }),
    });
  }

  function findRest(request: ListenerRequest): Found {
    const path = rawPath(request);
    if (request.method === "OPTIONS" && path === "*") return allowed(knownMethods);
    // Over HTTP/2 such bytes arrive unescaped, in an unknown character set. In a path, # is data only as an escape.
    if (/[^\x21-\x7e]/.test(request.url ?? "") || path.includes("#")) return refused(rest, notAscii());
    if (hasDotSegment(path)) return refused(rest, dotSegment());
    const match = routes.match(request.method ?? "", path);
    switch (match.kind) {
      case "found":
        return hasOneRequest(match.route.rpc)
          ? calledByRest(request, match)
          : refused(rest, requestStream(match.route.rpc));
      case "wrong_method":
        return request.method === "OPTIONS" ? allowed(match.allow) : refused(rest, wrongMethod(match.allow));
      case "bad_escape":
        return refused(rest, badEscape());
      case "not_found":
        return seemsConnect(request) ? refusedCall(connect, unknownRpc(request)) : refused(rest, notFound());
    }
  }

  function calledByRest(request: ListenerRequest, target: RestTarget): Found {
    const { method, url, headers: sent } = request;
    const read = grpcMetadataHeaders ? readMetadataHeaders(sent) : { headers: sent };
    if ("refusal" in read) return refused(rest, read.refusal);
    const { headers } = read;
    // The socket tells whether the request came over TLS.
    const head = headers === sent ? request : { method, url, headers, socket: request.socket };
    return {
      protocol: "rest",
      method: target.route.rpc.spec.method,
      serve: (exchange) => rest.serve(head === request ? exchange : { ...exchange, head }, target),
    };
  }

  function unknownRpc(request: ListenerRequest): HttpRefusal {
    return { error: new ConnectError(unknownRpcText(rawPath(request), services), Code.Unimplemented), status: 404 };
  }

  return {
    find,
    hasPath(request) {
      const path = rawPath(request);
      if (rpcs.has(path) || services.has(readRpcPath(path)?.service ?? "")) return true;
      return routes.match(request.method ?? "", path).kind !== "not_found";
    },
    refusedCall: (request, refusal) => refusedCall(codecOf(request), refusal),
    refuse: (exchange, refusal) => codecOf(exchange.request).refuse(exchange, refusal),
  };
}

const called = (codec: Codec, target: Target): Found => ({
  protocol: codec.protocol,
  method: target.rpc.spec.method,
  serve: (exchange) => codec.serve(exchange, target),
});

type Refuser = Pick<Codec, "protocol" | "refuse" | "refuseCall">;

const refused = (codec: Refuser, refusal: HttpRefusal): Found => ({
  protocol: codec.protocol,
  serve(exchange) {
    codec.refuse(exchange, refusal);
    return refusal.error.code;
  },
});

/** For a request that is valid HTTP, and meant for a call. */
const refusedCall = (codec: Refuser, refusal: HttpRefusal): Found => ({
  protocol: codec.protocol,
  serve(exchange) {
    if (codec.refuseCall) codec.refuseCall(exchange, refusal);
    else codec.refuse(exchange, refusal);
    return refusal.error.code;
  },
});

const allowed = (methods: readonly string[]): Found => ({
  protocol: "rest",
  serve({ reply }) {
    reply.send({ status: 204, header: { allow: methods.join(", "), "cache-control": "no-store" } });
    return 0;
  },
});

const knownMethods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/** `.` and `..`, however they are spelled. Half of the programs on the way resolve them, so no client may rely on them. */
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
