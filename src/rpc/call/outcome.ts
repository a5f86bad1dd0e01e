import type { DescMethod } from "@bufbuild/protobuf";
import type { Code, ContextValues } from "@connectrpc/connect";
import type { RequestHead } from "../http/request.ts";

/** How a request ended: 0 is success, as on the wire of gRPC. Canceled also stands for a client that did not wait. */
export type Outcome = Code | 0;

export type ProtocolName = "grpc" | "grpc-web" | "connect" | "rest";

/** A request as its headers tell of it. */
export interface ObservedCall {
  readonly protocol: ProtocolName;
  /** Absent where the request reaches no RPC. */
  readonly method?: DescMethod;
  readonly head: RequestHead;
  /** What the request came over; absent where it is closed already. */
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined;
  /** Of the call, to leave something for its interceptors. */
  readonly contextValues: ContextValues;
}

/**
 * Told of every request for which a dispatch is asked, before its gate; what it returns is told how it ended, once. Neither
 * may throw.
 */
export type Observe = (call: ObservedCall) => (outcome: Outcome) => void;

/** Told of a failure that is a bug, and of which call: `requestIdOf` and an observer's own keys tell more. */
export type OnFailure = (reason: unknown, contextValues: ContextValues) => void;
