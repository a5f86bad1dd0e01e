import type { Readable } from "node:stream";
import type { ListenerRequest } from "../listener/handler.ts";
import { wasJoinedAtStart } from "../listener/pieces.ts";

/** What is known of a request before its body. */
export type RequestHead = Pick<ListenerRequest, "method" | "url" | "headers">;

/** The path of the raw request target, without its query; still percent-encoded, exactly as it came over the socket. */
export function rawPath(request: RequestHead): string {
  // A server must take the absolute form as well, which names the host once more (RFC 9112, 3.2.2).
  const target = (request.url ?? "").replace(/^https?:\/\/[^/?#]*/i, "");
  const query = target.indexOf("?");
  // The absolute form may have no path at all, which is the root's.
  return (query === -1 ? target : target.slice(0, query)) || "/";
}

/** The query of the raw request target, without its question mark; empty where there is none. */
export function rawQuery(request: RequestHead): string {
  const target = (request.url ?? "").split("#", 1)[0] ?? "";
  const query = target.indexOf("?");
  return query === -1 ? "" : target.slice(query + 1);
}

/** Whether the request names a valid host. Connect's handlers cannot do without one. */
export function hasAuthority(request: RequestHead): boolean {
  const authority = request.headers[":authority"] ?? request.headers.host;
  if (typeof authority !== "string") return false;
  if (authority === lastAuthority) return true;
  const isValid = !/[/?#@\\]/.test(authority) && URL.canParse(`http://${authority}`);
  if (isValid) lastAuthority = authority;
  return isValid;
}

/** The last valid one: nearly all requests name the same, and comparing is faster than parsing. */
let lastAuthority: string | undefined;

/** The media type of the request in lower case, without parameters; empty where none was sent. */
export function mediaType(request: RequestHead): string {
  const value = request.headers["content-type"] ?? "";
  const parameters = value.indexOf(";");
  return (parameters === -1 ? value : value.slice(0, parameters)).trim().toLowerCase();
}

/** Whether the content type asks for another character set than UTF-8, the only one there is in proto JSON. */
export function hasForeignCharset(request: RequestHead): boolean {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(request.headers["content-type"] ?? "")?.[1];
  return charset !== undefined && charset.toLowerCase() !== "utf-8";
}

/** Whether other code has read of the body, or has it come as text: what is left of it is not what the client sent. */
export const isBodyTaken = (request: ListenerRequest): boolean =>
  // Over HTTP/2 the request only hands on what the stream has.
  isTaken(request) || ("stream" in request && isTaken(request.stream));

/** A request on a closed stream has no source. */
const isTaken = (source: Readable | undefined): boolean =>
  source !== undefined && ((source.readableDidRead && !wasJoinedAtStart(source)) || source.readableEncoding !== null);
