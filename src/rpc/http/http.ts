import type { OutgoingHttpHeaders } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";
import { wasJoinedAtStart } from "../listener/pieces.ts";
import { uncountedBytes, unreadAnswer } from "../listener/unread.ts";

export type HttpRequest = ListenerRequest;
export type HttpResponse = ListenerResponse;

/** What of a request is known before its body. */
export type RequestHead = Pick<HttpRequest, "method" | "url" | "headers">;

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

/** The last one that was valid: nearly all requests name the same, and to parse it takes longer than to compare. */
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

/** Whether somebody else has read of the body, or has it come as text: what is left of it is not what the client sent. */
export const isBodyTaken = (request: HttpRequest): boolean =>
  // Over HTTP/2 the request only hands on what the stream has.
  isTaken(request) || ("stream" in request && isTaken(request.stream));

/** Of a stream that is closed, the request has none. */
const isTaken = (source: Readable | undefined): boolean =>
  source !== undefined && ((source.readableDidRead && !wasJoinedAtStart(source)) || source.readableEncoding !== null);

/** Whether the connection or stream is no longer there to answer on. */
export function isGone(response: HttpResponse): boolean {
  if ("stream" in response) return response.stream === undefined || isClosed(response.stream);
  // The socket is the first to know; the response learns of it by an event.
  return response.destroyed || response.socket?.destroyed === true;
}

/** Whether a stream takes no answer any more. One that was reset is closed at once, and destroyed when its body was read. */
export const isClosed = (stream: ServerHttp2Stream): boolean => stream.closed || stream.destroyed;

/** Breaks off an answer: its stream over HTTP/2, otherwise its connection. */
export function reset(response: HttpResponse): void {
  if (!("stream" in response)) response.destroy();
  // Not CANCEL: Node sends that one with the next frame, and there may be none.
  else response.stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

/** Calls back when the connection or stream closes, whether the answer was complete or not. */
export function onClose(request: HttpRequest, response: HttpResponse, listener: () => void): void {
  // Over HTTP/2 the response says nothing of a stream that the client resets.
  ("stream" in request ? request.stream : response).on("close", listener);
}

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

/** A complete answer. */
export interface Answer {
  readonly status: number;
  readonly header: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  /** Only over HTTP/2. */
  readonly trailer?: OutgoingHttpHeaders;
}

/** More is not worth copying once more. */
const smallBytes = 16 * 1024;

/** Sends a complete answer. Does nothing where the client is gone or an answer has begun. */
export function send(response: HttpResponse, answer: Answer): void {
  if (response.headersSent || isGone(response)) return;
  if ("stream" in response) {
    const header = { ...answer.header };
    for (const name of response.getHeaderNames()) {
      const set = response.getHeader(name);
      const given = header[name];
      if (given === undefined) header[name] = set;
      else if (name === "vary") header[name] = `${given}, ${set}`;
    }
    if (answer.trailer !== undefined) response.addTrailers(answer.trailer);
    // Node's response object would send an answer without a body in two frames: what has a status in its headers and does not
    // end with them is no gRPC answer.
    sendOnStream(response.stream, { ...answer, header });
  } else {
    const { status, header, body } = answer;
    if (body !== undefined && body.length > uncountedBytes) unreadAnswer(response)?.wait(body.length);
    // Too much, by that.
    if (isGone(response)) return;
    response.writeHead(status, body === undefined ? header : { ...header, "content-length": body.length });
    // As a text of single bytes, Node sends a body together with the headers, in one write.
    if (body === undefined || body.length > smallBytes) response.end(body);
    else response.end(Buffer.from(body.buffer, body.byteOffset, body.length).toString("latin1"), "latin1");
  }
}

/**
 * Sends a complete answer but for its trailers, which who listens for `wantTrailers` sends. Of `defaults`, the answer's own headers
 * take the place.
 */
export function sendOnStream(
  stream: ServerHttp2Stream,
  { status, header, body, trailer }: Answer,
  defaults?: OutgoingHttpHeaders,
): void {
  const headers: OutgoingHttpHeaders = { ":status": status, ...defaults, ...header };
  // HTTP/2 has no such field, and Node warns of it.
  if (headers.connection !== undefined) delete headers.connection;
  if (body !== undefined && body.length > uncountedBytes) unreadAnswer(stream)?.wait(body.length);
  // Too much, by that.
  if (stream.closed) return;
  if (trailer !== undefined) {
    stream.respond(headers, { waitForTrailers: true });
    stream.end(body);
  } else if (body === undefined) {
    stream.respond(headers, { endStream: true });
  } else {
    headers["content-length"] = body.length;
    stream.respond(headers);
    stream.end(body);
  }
}

const httpStatuses: Readonly<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

/** The HTTP status of an error code, as google.rpc.Code documents it. */
export const httpStatus = (code: Code): number => httpStatuses[code] ?? 500;

/** A refusal made by HTTP itself rather than by an RPC: its status is not the one that the code stands for. */
export interface HttpRefusal {
  readonly error: ConnectError;
  readonly status: number;
  readonly header?: OutgoingHttpHeaders;
}
