import { once } from "node:events";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { constants } from "node:http2";
import { untilAborted } from "../call/until-aborted.ts";
import { isGone } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import { unreadAnswer } from "../listener/unread.ts";

/** How a stream of messages is written. */
export interface Framing {
  readonly first: string;
  readonly between: string;
  message(json: string): string;
  readonly end: string;
  /** An error after the first message. Absent: the form has no place for one, so the connection breaks. */
  error?(status: string): string;
}

const framings: Readonly<Record<string, Framing>> = {
  /** A message per line; an error is a last line of its own. */
  "application/x-ndjson": {
    first: "",
    between: "",
    message: (json) => `${json}\n`,
    end: "",
    error: (status) => `{"error":${status}}\n`,
  },
  "application/json": { first: "[", between: ",", message: (json) => json, end: "]" },
  "text/event-stream": {
    first: "",
    between: "",
    message: (json) => `data: ${json}\n\n`,
    // Without this, a browser takes every end for a broken connection, and asks again.
    end: "event: end\ndata:\n\n",
    error: (status) => `event: error\ndata: ${status}\n\n`,
  },
};

/** In the order of preference. */
export const streamTypes: readonly string[] = Object.keys(framings);

/** The framing of a type of `streamTypes`. */
export const framingOf = (type: string): Framing => framings[type] as Framing;

/** Frames JSON texts as bytes: of several texts on their way over HTTP/2, Node 24 has been seen to send freed memory instead. */
export async function* frame(texts: AsyncIterable<string>, framing: () => Framing): AsyncIterable<Uint8Array> {
  let isFirst = true;
  for await (const text of texts) {
    const { first, between, message } = framing();
    yield Buffer.from((isFirst ? first : between) + message(text));
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

/** The body of an answer, while its call lasts. */
interface Outlet {
  /** False where no more should be written before it is `drained`. */
  write(bytes: Uint8Array): boolean;
  /** Resolves when more can be written, or the client is gone. */
  drained(): Promise<void>;
  /**
   * Ends a connection or stream so that no client takes what came for whole: HTTP/1.1 without the last chunk, HTTP/2 with
   * INTERNAL_ERROR. What was written goes out before, unless the reader has not taken it when the call is aborted.
   */
  breakOff(): Promise<void>;
}

function createOutlet(response: ListenerResponse, signal: AbortSignal): Outlet {
  // Both response types have these calls; TypeScript sees no signature common to the two.
  const out = response as ServerResponse;
  const unread = unreadAnswer(response);
  let unsent = 0;
  let onSent = (): void => {};
  return {
    write(bytes) {
      unsent += 1;
      const isTaken = out.write(bytes, () => {
        unsent -= 1;
        if (unsent === 0) onSent();
      });
      if (!isTaken) unread?.wait(bytes.length);
      return isTaken;
    },
    async drained() {
      const done = new AbortController();
      const until = { signal: AbortSignal.any([done.signal, signal]) };
      try {
        await Promise.race([once(out, "drain", until), once(out, "close", until)]);
      } catch {
        // An error of the connection: the next write sees that it is gone.
      } finally {
        done.abort();
        unread?.taken();
      }
    },
    async breakOff() {
      const sent = new Promise<void>((resolve) => {
        if (unsent === 0) resolve();
        else onSent = resolve;
      });
      // A reset drops what HTTP/2 has not been allowed to send yet. A connection that is lost aborts the call.
      await untilAborted(sent, signal).catch(() => {});
      if (isGone(response)) return;
      // Destroyed, a stream says NO_ERROR.
      if ("stream" in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      else if (unsent === 0 && response.socket) response.socket.destroySoon();
      else response.destroy();
    },
  };
}
