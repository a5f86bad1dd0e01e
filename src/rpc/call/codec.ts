import type { ServeStock } from "../framed/stream.ts";
import type { UnaryOptions } from "../framed/unary.ts";
import type { HttpRefusal } from "../http/status.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import type { RpcExchange } from "./exchange.ts";
import type { Outcome, ProtocolName } from "./outcome.ts";

/** What a codec of gRPC, gRPC-Web or Connect serves calls with. */
export interface CodecOptions {
  readonly serveStock: ServeStock;
  /** Absent: unary calls too are served by Connect's own handlers. */
  readonly unary?: UnaryOptions;
}

/** What each protocol folder provides. */
export interface Codec {
  readonly protocol: ProtocolName;
  /**
   * Serves one call, ends the response, and resolves to what that says. A failure of the call is answered in the protocol's
   * own form; it rejects only where no answer could be sent, because the client is gone.
   */
  serve(exchange: RpcExchange): Promise<Outcome>;
  /** Answers a request that reaches no call. */
  refuse(response: ListenerResponse, refusal: HttpRefusal): void;
  /** The same for a request that was meant for a call: its client may read the error from elsewhere. Absent: `refuse` does. */
  refuseCall?(exchange: Pick<RpcExchange, "request" | "response">, refusal: HttpRefusal): void;
}
