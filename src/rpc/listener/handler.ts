import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";

/** A request of either HTTP version; HTTP/2 ones are Node's compat objects, which connect-node's adapter takes too. */
export type ListenerRequest = IncomingMessage | Http2ServerRequest;

/** The response belonging to a `ListenerRequest`. */
export type ListenerResponse = ServerResponse | Http2ServerResponse;

/**
 * Answers one request. It owns its promises: a rejection that is not handled is the handler's bug, not the listener's. With
 * `next`, it may call that instead, where the request is not for it.
 */
export interface ListenerHandler {
  (req: ListenerRequest, res: ListenerResponse, next?: () => void): void;
  /** Called first for each request over HTTP/2. */
  readonly streamHandler?: StreamHandler;
}

/**
 * A handler around another one that keeps its stream handler: requests that the stream handler takes do not pass through
 * `handle`. A dispatch takes unary calls of gRPC this way, unless they have an Origin. To make all calls pass through, use a
 * plain function around the dispatch; those calls then take longer.
 */
export const aroundHandler = (
  { streamHandler }: ListenerHandler,
  handle: (req: ListenerRequest, res: ListenerResponse, next?: () => void) => void,
): ListenerHandler => Object.assign(handle, streamHandler && { streamHandler });

/**
 * Takes a request over HTTP/2 before Node makes its request and response objects of it, which cost more than most calls; with
 * false, it leaves the request to the ListenerHandler, untouched. Not called where a header field was sent twice.
 */
export type StreamHandler = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
) => boolean;
