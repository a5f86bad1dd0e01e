import { hash } from "node:crypto";
import { invalidField } from "./errors.ts";

/** Names the request that a page belongs to: the arguments that must not change from page to page. */
const digestOf = (call: readonly unknown[]): string => hash("sha256", JSON.stringify(call), "base64url").slice(0, 8);

/** A token says where the next page begins. It grants nothing, and every node knows it, after a restart too. */
export const pageToken = (call: readonly unknown[], next: string | undefined): string =>
  next === undefined ? "" : Buffer.from(JSON.stringify([digestOf(call), next])).toString("base64url");

/** Where the page begins; undefined: at the start. Throws invalid_argument for a token of another request. */
export function readPageToken(token: string, call: readonly unknown[]): string | undefined {
  if (token === "") return undefined;
  try {
    const [digest, next] = JSON.parse(Buffer.from(token, "base64url").toString()) as unknown[];
    if (digest === digestOf(call) && typeof next === "string") return next;
  } catch {
    // It is no token of ours.
  }
  const text = "it is not of an answer to this request: send it with the same fields, or leave it out";
  throw invalidField("page_token", text, "PAGE_TOKEN_INVALID");
}

/** How many items a page has. Throws invalid_argument for a negative number. */
export function readPageSize(pageSize: number): number {
  if (pageSize < 0) throw invalidField("page_size", "send 0 for the default of 50, or a number up to 500");
  return pageSize === 0 ? 50 : Math.min(pageSize, 500);
}
