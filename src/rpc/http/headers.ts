import type { OutgoingHttpHeaders } from "node:http";

/**
 * Headers that describe the connection or the bytes sent, of which a handler knows nothing. They come with the headers of
 * another server that a handler passes on, and Node throws at some and takes others at their word.
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

/** Takes away what describes the connection: for headers that Connect has made, and said itself what the bytes are. */
export function withoutConnection(headers: Headers | undefined): Headers | undefined {
  for (const name of connectionHeaders) headers?.delete(name);
  return headers;
}

/** What a handler said in headers or trailers, in the form that Node sends; undefined where it said nothing. */
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
