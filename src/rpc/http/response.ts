import type { OutgoingHttpHeaders } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";
import { uncountedBytes, unreadAnswer } from "../listener/unread.ts";

/** Whether the connection or stream is no longer there to answer on. */
export function isGone(response: ListenerResponse): boolean {
  if ("stream" in response) return response.stream === undefined || isClosed(response.stream);
  // The socket is the first to know; the response learns of it by an event.
  return response.destroyed || response.socket?.destroyed === true;
}

/** Whether a stream takes no answer any more. One that was reset is closed at once, and destroyed when its body was read. */
export const isClosed = (stream: ServerHttp2Stream): boolean => stream.closed || stream.destroyed;

/** Breaks off an answer: its stream over HTTP/2, otherwise its connection. */
export function reset(response: ListenerResponse): void {
  if (!("stream" in response)) response.destroy();
  // Not CANCEL: Node sends that one with the next frame, and there may be none.
  else response.stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

/** Calls back when the connection or stream closes, whether the answer was complete or not. */
export function onClose(request: ListenerRequest, response: ListenerResponse, listener: () => void): void {
  // Over HTTP/2 the response says nothing of a stream that the client resets.
  ("stream" in request ? request.stream : response).on("close", listener);
}

/** A complete answer. */
export interface Answer {
  readonly status: number;
  readonly header: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  /** Only over HTTP/2. */
  readonly trailer?: OutgoingHttpHeaders;
}

/** A larger body is not worth a further copy. */
const smallBytes = 16 * 1024;

/** Sends a complete answer. Does nothing where the client is gone or an answer has begun. */
export function send(response: ListenerResponse, answer: Answer): void {
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
    // That may have been too much, and cut the answer.
    if (isGone(response)) return;
    response.writeHead(status, body === undefined ? header : { ...header, "content-length": body.length });
    // As a text of single bytes, Node sends a body together with the headers, in one write.
    if (body === undefined || body.length > smallBytes) response.end(body);
    else response.end(Buffer.from(body.buffer, body.byteOffset, body.length).toString("latin1"), "latin1");
  }
}

/**
 * Sends a complete answer but for its trailers, which a listener of `wantTrailers` sends. The answer's own headers replace
 * those of `defaults`.
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
  // That may have been too much, and cut the answer.
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
