import type { ContextValues } from "@connectrpc/connect";
import type { PathBinding } from "./call.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import type { Rpc } from "./router.ts";

/** One request that was found to be for an RPC. */
export interface RpcExchange {
  readonly rpc: Rpc;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly contextValues: ContextValues;
  /** Where the path says something of the message: sets it, over what the message says. */
  readonly bindPath?: PathBinding;
}
