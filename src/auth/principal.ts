import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { View } from "../store/store.ts";

/** Who calls, and for which organization. The request gate has checked both before a handler can ask. */
export interface Principal {
  readonly userId: string;
  /** The organization that the call is about: the one named in `x-zitadel-orgid`, else the caller's home organization. */
  readonly organizationId: string;
  /** What the request gate read of the store, for `ReadOptions.seen`. */
  readonly seen: View;
}

export const principalKey = createContextKey<Principal | undefined>(undefined, { description: "principal" });

/** The principal of a call. Throws an Error where no request gate has run. */
export function principalOf(context: HandlerContext): Principal {
  const principal = context.values.get(principalKey);
  if (principal === undefined) throw new Error(`${context.method.name} is called without a principal`);
  return principal;
}
