import type { Readable } from "node:stream";
import type { ContextValues } from "@connectrpc/connect";
import { type Reply, ResponseReply } from "../http/reply.ts";
import type { RequestHead } from "../http/request.ts";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";
import type { Rpc } from "../rpc-table.ts";
import type { PathBinding } from "./call.ts";

/** One request that was found to be for an RPC. */
export interface RpcExchange {
  readonly rpc: Rpc;
  readonly request: ListenerRequest;
  readonly response: ListenerResponse;
  readonly contextValues: ContextValues;
  /** Of a stream: aborted where the server ends it, with the error that its caller is told. */
  readonly end?: AbortSignal;
  /** Where the path says something of the message: sets it, over what the message says. */
  readonly bindPath?: PathBinding;
}

/** One request for a unary RPC, as it came over either version of HTTP. */
export interface UnaryExchange extends Pick<RpcExchange, "rpc" | "contextValues" | "bindPath"> {
  readonly head: RequestHead;
  /** Where the body comes from. */
  readonly source: Readable;
  readonly reply: Reply;
}

export const toUnaryExchange = ({ request, response, ...rest }: RpcExchange): UnaryExchange => ({
  ...rest,
  head: request,
  // Over HTTP/2 the request only hands on what the stream has.
  source: "stream" in request ? request.stream : request,
  reply: new ResponseReply(request, response),
});
