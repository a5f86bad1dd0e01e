import type { Readable } from "node:stream";
import type { ContextValues } from "@connectrpc/connect";
import { type Reply, ResponseReply } from "../http/reply.ts";
import type { RequestHead } from "../http/request.ts";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";

/** One request and its answer, on the way from the dispatch through a codec to the call. */
export interface Exchange {
  /** The request as its call sees it. */
  readonly head: RequestHead;
  /** Where the request body comes from. */
  readonly source: Readable;
  readonly reply: Reply;
  readonly contextValues: ContextValues;
  /** Of a stream: aborted when the server ends it, with the error that its caller gets. */
  readonly end?: AbortSignal;
}

/** An exchange with Node's request and response objects, which streams need. */
export interface NodeExchange extends Exchange {
  readonly request: ListenerRequest;
  readonly response: ListenerResponse;
}

export const createExchange = (
  request: ListenerRequest,
  response: ListenerResponse,
  contextValues: ContextValues,
): NodeExchange => ({
  head: request,
  // Over HTTP/2 the request only hands on what the stream has.
  source: "stream" in request ? request.stream : request,
  reply: new ResponseReply(request, response),
  contextValues,
  request,
  response,
});
