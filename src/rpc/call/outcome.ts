import { inspect } from "node:util";
import type { DescMethod } from "@bufbuild/protobuf";
import type { Code, ContextValues } from "@connectrpc/connect";
import type { RequestHead } from "../http/request.ts";
import { requestIdOf } from "./request-id.ts";

/** How a request ended: 0 is success, as on the wire of gRPC. Canceled also stands for a client that did not wait. */
export type Outcome = Code | 0;

export type ProtocolName = "grpc" | "grpc-web" | "connect" | "rest";

/** What is known of a request from its headers. */
export interface ObservedCall {
  readonly protocol: ProtocolName;
  /** Absent where the request reaches no RPC. */
  readonly method?: DescMethod;
  readonly head: RequestHead;
  /** What the request came over; absent where it is closed already. */
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined;
  /** Of the call: an observer may set values for its interceptors. */
  readonly contextValues: ContextValues;
}

/**
 * Called for every request of a dispatch, before its gate. The function that it returns is called once, with the outcome. Neither
 * may throw.
 */
export type Observe = (call: ObservedCall) => (outcome: Outcome) => void;

/** Gets a failure that is a bug, and the values of its call: `requestIdOf` and an observer's own keys say more of it. */
export type OnFailure = (reason: unknown, contextValues: ContextValues) => void;

/** The default of `OnFailure`: none must be lost in silence. The answer carries the same id. */
export function toStandardError(reason: unknown, contextValues?: ContextValues): void {
  const id = contextValues && requestIdOf(contextValues);
  process.stderr.write(`${id ? `request ${id}: ` : ""}${inspect(reason)}\n`);
}
