import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { View } from "../store/store.ts";

/** The caller and the organization of a call, which the request gate has checked. */
export interface Principal {
  readonly userId: string;
  /** The organization in the organization header, or the caller's home organization. */
  readonly organizationId: string;
  /** What the request gate read of the store, for `ReadOptions.seen`. */
  readonly seen: View;
}

export const principalKey = createContextKey<Principal | undefined>(undefined, { description: "principal" });

/** The principal of a call. Throws an Error for a public RPC. */
export function principalOf(context: HandlerContext): Principal {
  const principal = context.values.get(principalKey);
  if (principal === undefined) throw new Error(`${context.method.name} is called without a principal`);
  return principal;
}
