import type { OutgoingHttpHeaders } from "node:http";

/**
 * Headers that describe the connection or the bytes sent, which a handler cannot know. It may set them by passing on the
 * headers of another server; Node throws at some of them, and believes others.
 */
const connectionHeaders = [
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
export const transportHeaders: ReadonlySet<string> = new Set([
  ...connectionHeaders,
  "content-encoding",
  "content-type",
]);

/** Removes what describes the connection. For headers that Connect made, which describe the bytes themselves. */
export function withoutConnection(headers: Headers | undefined): Headers | undefined {
  for (const name of connectionHeaders) headers?.delete(name);
  return headers;
}

/** Headers or trailers of a handler, in the form that Node sends; undefined where there are none. */
export function toNodeHeaders(headers: Headers): OutgoingHttpHeaders | undefined {
  let node: OutgoingHttpHeaders | undefined;
  for (const [name, value] of headers) {
    if (transportHeaders.has(name)) continue;
    node ??= {};
    // The only header whose values cannot be joined.
    if (name === "set-cookie") node[name] = headers.getSetCookie();
    else node[name] = value;
  }
  return node;
}
