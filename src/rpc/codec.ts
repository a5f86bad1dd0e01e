import type { ContextValues } from "@connectrpc/connect";
import type { HttpRefusal, HttpRequest, HttpResponse } from "./http.ts";
import type { Rpc } from "./router.ts";

/** One request that was found to be for an RPC. */
export interface RpcExchange {
  readonly rpc: Rpc;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly contextValues: ContextValues;
}

/** What each protocol folder provides. */
export interface Codec {
  /**
   * Serves one call and ends the response. A failure of the call is answered in the protocol's own form; it rejects only
   * where no answer could be sent, because the client is gone.
   */
  serve(exchange: RpcExchange): Promise<void>;
  /** Answers a request that reaches no call. */
  refuse(response: HttpResponse, refusal: HttpRefusal): void;
}
