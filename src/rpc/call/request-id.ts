import { type ContextValues, createContextKey } from "@connectrpc/connect";

const requestIdKey = createContextKey<string | undefined>(undefined, { description: "request id" });

/**
 * The id by which logs, traces, error texts and the header `x-request-id` of the answer name a call; "" outside of a dispatch.
 */
export const requestIdOf = (values: ContextValues): string => values.get(requestIdKey) ?? "";

/** For the dispatch, before anything else sees the call. */
export function setRequestId(values: ContextValues, id: string): void {
  values.set(requestIdKey, id);
}
