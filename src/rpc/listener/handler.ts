import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";

/** A request of either HTTP version; HTTP/2 ones are Node's compat objects, which connect-node's adapter takes too. */
export type ListenerRequest = IncomingMessage | Http2ServerRequest;

/** The response belonging to a `ListenerRequest`. */
export type ListenerResponse = ServerResponse | Http2ServerResponse;

/** Answers one request. It owns its promises: a rejection nobody awaits is the handler's bug, not the listener's. */
export type ListenerHandler = (req: ListenerRequest, res: ListenerResponse) => void;
