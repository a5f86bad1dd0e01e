import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { createOutlet } from "../call/outlet.ts";
import { isGone } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";

/** One message of a stream. */
export interface StreamedMessage {
  readonly json: string;
  /** Only events have a place for one. */
  readonly eventId: string | undefined;
}

/** How a stream of messages is written. */
export interface Framing {
  readonly first: string;
  readonly between: string;
  message(message: StreamedMessage): string;
  readonly end: string;
  /** An error after the first message. Absent: the form has no place for one, so the connection breaks. */
  error?(status: string): string;
}

const framings: Readonly<Record<string, Framing>> = {
  /** A message per line; an error is a last line of its own. */
  "application/x-ndjson": {
    first: "",
    between: "",
    message: ({ json }) => `${json}\n`,
    end: "",
    error: (status) => `{"error":${status}}\n`,
  },
  "application/json": { first: "[", between: ",", message: ({ json }) => json, end: "]" },
  "text/event-stream": {
    first: "",
    between: "",
    message: ({ json, eventId }) => `${eventId === undefined ? "" : idLine(eventId)}data: ${json}\n\n`,
    // Without this, a browser takes every end for a broken connection, and asks again.
    end: "event: end\ndata:\n\n",
    error: (status) => `event: error\ndata: ${status}\n\n`,
  },
};

/** A line break would end the line, and with NUL in it clients ignore the id. */
function idLine(id: string): string {
  if (/[\r\n\0]/.test(id)) throw new Error("the id of an event holds a line break or NUL");
  return `id: ${id}\n`;
}

/** In the order of preference. */
export const streamTypes: readonly string[] = Object.keys(framings);

/** The framing of a type of `streamTypes`. */
export const framingOf = (type: string): Framing => framings[type] as Framing;

/** Frames messages as bytes: of several texts on their way over HTTP/2, Node 24 has been seen to send freed memory instead. */
export async function* frame(
  messages: AsyncIterable<StreamedMessage>,
  framing: () => Framing,
): AsyncIterable<Uint8Array> {
  let isFirst = true;
  for await (const one of messages) {
    const { first, between, message } = framing();
    yield Buffer.from((isFirst ? first : between) + message(one));
    isFirst = false;
  }
  const { first, end } = framing();
  const last = isFirst ? first + end : end;
  if (last !== "") yield Buffer.from(last);
}

export interface StreamAnswer {
  readonly response: ListenerResponse;
  /** Whether only the headers are wanted: then the body ends with its first piece. */
  readonly isHead: boolean;
  /** Of the call: a client that does not read keeps the call no longer than its deadline. */
  readonly signal: AbortSignal;
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Called at the first piece, or at the end. */
  headers(): OutgoingHttpHeaders;
  /** The piece for an error after the first piece, called once. Undefined: the body breaks off. */
  errorPiece(reason: unknown): Uint8Array | undefined;
}

/**
 * Writes pieces as they come, each at once, and none faster than the client takes them. Headers wait for the first piece:
 * rejects, with nothing sent, where it fails before. What fails after becomes an error in the stream, or breaks it off: no
 * error ever looks like a clean end. Stops reading the pieces when the client is gone.
 */
export async function writeStream(answer: StreamAnswer): Promise<void> {
  const { response, isHead, pieces, headers, errorPiece, signal } = answer;
  const out = response as ServerResponse;
  const outlet = createOutlet(response, signal);
  let isBegun = false;
  const begin = (): void => {
    if (!isBegun) out.writeHead(200, { "cache-control": "no-store", ...headers() });
    isBegun = true;
  };
  try {
    for await (const piece of pieces) {
      if (isGone(response)) return;
      begin();
      if (isHead) break;
      if (!outlet.write(piece)) await outlet.drained();
    }
  } catch (reason) {
    if (!isBegun || isGone(response)) throw reason;
    const piece = errorPiece(reason);
    if (piece === undefined) await outlet.breakOff();
    else out.end(piece);
    return;
  }
  begin();
  out.end();
}
