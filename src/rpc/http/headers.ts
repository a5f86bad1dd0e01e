import type { OutgoingHttpHeaders } from "node:http";

/**
 * Headers that describe the connection or the bytes sent, which a handler cannot know. It may set them by passing on the
 * headers of another server; Node throws at some of them, and believes others.
 */
export const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
export const transportHeaders: ReadonlySet<string> = new Set([
  ...connectionHeaders,
  "content-encoding",
  "content-type",
]);

/** Headers or trailers in the form that Node sends, without those in `leftOut`; undefined where none remain. */
export function toNodeHeaders(
  headers: Headers,
  leftOut: ReadonlySet<string> = transportHeaders,
): OutgoingHttpHeaders | undefined {
  let node: OutgoingHttpHeaders | undefined;
  for (const [name, value] of headers) {
    if (leftOut.has(name)) continue;
    node ??= {};
    // The only header whose values cannot be joined.
    if (name === "set-cookie") node[name] = headers.getSetCookie();
    else node[name] = value;
  }
  return node;
}
