import { constants } from "node:http2";
import { Code, ConnectError, type ContextValues, createContextValues } from "@connectrpc/connect";
import { connectionKey } from "./call/caller-turns.ts";
import { createExchange, type NodeExchange } from "./call/exchange.ts";
import type { Observe, Outcome } from "./call/outcome.ts";
import { type PublicStream, PublicStreams } from "./call/public-streams.ts";
import { setRequestId } from "./call/request-id.ts";
import { type DispatchOptions, readOptions } from "./dispatch-options.ts";
import { createFinder, type Found } from "./find-call.ts";
import { createConnectCodec } from "./framed/connect/codec.ts";
import { createGrpcCodec } from "./framed/grpc/codec.ts";
import { createGrpcWebCodec } from "./framed/grpc-web/codec.ts";
import { createServeStream } from "./framed/stream.ts";
import { StreamReply } from "./http/reply.ts";
import { hasAuthority, isBodyTaken } from "./http/request.ts";
import { isGone } from "./http/response.ts";
import { type HttpRefusal, httpStatus } from "./http/status.ts";
import type { ListenerHandler, ListenerRequest, ListenerResponse, StreamHandler } from "./listener/handler.ts";
import { headerProblem } from "./listener/limits.ts";
import { nameAnswer, readRequestId } from "./listener/request-id.ts";
import { isBehind, untilRead } from "./listener/unread.ts";
import { createRestCodec } from "./rest/codec.ts";
import type { RpcTable } from "./rpc-table.ts";

/**
 * Answers one HTTP request. Never throws and never rejects. With `next`, it calls that for a request whose path
 * belongs to no RPC, no service and no HTTP rule, without having read or answered anything.
 */
export interface Dispatch extends ListenerHandler {
  /**
   * Serves unary calls of gRPC faster: without Node's request and response objects, and without the handlers around the dispatch.
   * Leaves all other requests, and calls with an Origin, which CORS may concern.
   */
  readonly streamHandler: StreamHandler;
}

/**
 * Serves every RPC of the table on all four protocols: finds protocol and RPC, and lets the protocol's codec serve it. Throws a
 * TypeError where an option cannot be used, and an Error for HTTP rules that cannot be served (`createRouteTable`).
 */
export function createDispatch(rpcs: RpcTable, given: DispatchOptions = {}): Dispatch {
  const options = readOptions(rpcs, given);
  // Fields without presence are always in a JSON answer, and an unknown field is refused rather than dropped.
  const jsonOptions = { registry: options.registry, alwaysEmitImplicit: true, ignoreUnknownFields: false };
  const serveStream = createServeStream(rpcs, { ...options, jsonOptions });
  const framed = { ...options, jsonOptions, serveStream };
  const grpc = createGrpcCodec(framed);
  const grpcWeb = createGrpcWebCodec(framed);
  const connect = createConnectCodec(framed);
  const finder = createFinder(rpcs, { grpc, grpcWeb, connect, rest: createRestCodec(options) }, options);
  const publicStreams = options.publicStreams && new PublicStreams(options.publicStreams);
  const { observe, onFailure } = options;

  async function serveOne(request: ListenerRequest, response: ListenerResponse): Promise<void> {
    if (isBehind(response)) {
      await untilRead(response);
      if (isGone(response)) return;
    }
    const contextValues = createContextValues().set(connectionKey, request.socket);
    const exchange = createExchange(request, response, contextValues);
    let end: ReturnType<Observe> | undefined;
    let outcome: Outcome = Code.Internal;
    try {
      setRequestId(contextValues, nameAnswer(request, response));
      const { protocol, method, serve } = finder.find(request);
      end = observe?.({ protocol, ...(method && { method }), head: request, socket: request.socket, contextValues });
      // What is refused before it reaches an RPC needs no body.
      if (method === undefined) outcome = await serve(exchange);
      else if (isBodyTaken(request))
        outcome = await finder.refusedCall(request, bodyTaken(contextValues)).serve(exchange);
      else if (publicStreams?.counts(method)) outcome = await servePublicStream(publicStreams, serve, exchange);
      else outcome = await serve(exchange);
    } catch (reason) {
      if (isGone(response) || response.writableEnded) {
        outcome = Code.Canceled;
        return;
      }
      onFailure(reason, contextValues);
      finder.refuse(exchange, { error: new ConnectError("internal error", Code.Internal), status: 500 });
    } finally {
      end?.(outcome);
    }
  }

  /** Refuses a stream that finds no place before anything is created for it: a refusal must cost little. */
  async function servePublicStream(
    streams: PublicStreams,
    serve: Found["serve"],
    exchange: NodeExchange,
  ): Promise<Outcome> {
    const { request, response } = exchange;
    let stream: PublicStream;
    try {
      stream = streams.begin(request, response);
    } catch (reason) {
      const error = ConnectError.from(reason);
      return finder.refusedCall(request, { error, status: httpStatus(error.code) }).serve(exchange);
    }
    try {
      return await serve({ ...exchange, end: stream.signal });
    } finally {
      stream.end();
    }
  }

  let isBodyTakenReported = false;

  /** It is a mistake of the server's author, the same for each request: reported once, lest callers fill a log with it. */
  function bodyTaken(contextValues: ContextValues): HttpRefusal {
    const error = new ConnectError(
      "the body of the request was read before it came here: put the dispatch before what parses bodies",
      Code.Internal,
    );
    if (!isBodyTakenReported) onFailure(error, contextValues);
    isBodyTakenReported = true;
    return { error, status: 500 };
  }

  const streamHandler: StreamHandler = (stream, headers, rawHeaders) => {
    const { ":method": method, ":path": url, "content-type": type } = headers;
    if (grpc.serveUnary === undefined || method !== "POST" || url === undefined) return false;
    // CORS around the dispatch answers an Origin, and Node an Expect.
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
    const reply = new StreamReply(stream, requestId);
    grpc.serveUnary({ head, source: stream, reply, contextValues }, { rpc }).then(end, (reason: unknown) => {
      onFailure(reason, contextValues);
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      end?.(Code.Internal);
    });
    return true;
  };

  const serve: ListenerHandler = (request, response, next) => {
    if (next !== undefined && !finder.hasPath(request)) next();
    else void serveOne(request, response);
  };
  return Object.assign(serve, { streamHandler });
}
