import type { Message } from "@bufbuild/protobuf";
import type { Exchange, NodeExchange } from "./call/exchange.ts";
import type { Outcome, ProtocolName } from "./call/outcome.ts";
import type { HttpRefusal } from "./http/status.ts";
import type { Rpc } from "./rpc-table.ts";

/** The RPC that a request calls. */
export interface Target {
  readonly rpc: Rpc;
  /** Sets the fields that the request's path has, over those of the message. Absent: the path has none. */
  readonly bindPath?: (message: Message) => void;
}

/** What each protocol folder provides. */
export interface Codec<T = Target> {
  readonly protocol: ProtocolName;
  /**
   * Serves one call, ends the response, and resolves to its outcome. A failure of the call is answered in the protocol's own
   * form; it rejects only where no answer could be sent, because the client is gone.
   */
  serve(exchange: NodeExchange, target: T): Promise<Outcome>;
  /** Serves one unary call without Node's request and response objects. Absent: the protocol cannot. */
  serveUnary?(exchange: Exchange, target: T): Promise<Outcome>;
  /** Answers a request that reaches no call. */
  refuse(exchange: Exchange, refusal: HttpRefusal): void;
  /** The same for a request that was meant for a call: its client may read the error from elsewhere. Absent: `refuse` does. */
  refuseCall?(exchange: Exchange, refusal: HttpRefusal): void;
}
