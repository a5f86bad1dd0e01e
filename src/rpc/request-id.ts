import { randomUUID } from "node:crypto";
import { type ContextValues, createContextKey } from "@connectrpc/connect";

const requestIdKey = createContextKey<string | undefined>(undefined, { description: "request id" });

/**
 * The id by which logs and error texts name a call: that of the header `x-request-id`, which a proxy before us may have set, or
 * else a new one. It is made when somebody asks, and then stays.
 */
export function requestIdOf(values: ContextValues, headers: Pick<Headers, "get">): string {
  const known = values.get(requestIdKey);
  if (known !== undefined) return known;
  const given = headers.get("x-request-id") ?? "";
  // A token that was sent there by mistake must not end up in logs.
  const id = /^(?!portcullis_|eyJ)[\w.:/+=@-]{1,128}$/.test(given) ? given : randomUUID();
  values.set(requestIdKey, id);
  return id;
}
