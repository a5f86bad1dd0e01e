import { once } from "node:events";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { constants } from "node:http2";
import type { JsonValue } from "@bufbuild/protobuf";
import { untilAborted } from "../call/until-aborted.ts";
import { isGone } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import { unreadAnswer } from "../listener/unread.ts";

/** How a stream of messages is written. */
interface Framing {
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

export interface StreamAnswer {
  readonly response: ListenerResponse;
  /** Whether only the headers are wanted: then the messages end with the first. */
  readonly isHead: boolean;
  /** Of the call: a client that does not read keeps the call no longer than its deadline. */
  readonly signal: AbortSignal;
  /** The media type; known with the first message, or the end. */
  type(): string;
  /** Called at the first message, or at the end. */
  headers(): OutgoingHttpHeaders;
  readonly messages: AsyncIterable<JsonValue>;
  /** The google.rpc.Status of an error. Called once for each stream that fails after its first message. */
  toStatus(reason: unknown): JsonValue;
}

/**
 * Writes messages as they come, each at once, and none faster than the client takes them. Headers wait for the first message:
 * rejects, with nothing sent, where it fails before. What fails after becomes an error in the stream, or breaks it off: no
 * error ever looks like a clean end. Stops reading the messages when the client is gone.
 */
export async function writeStream(answer: StreamAnswer): Promise<void> {
  const { response, isHead, headers, messages, toStatus, signal } = answer;
  const out = response as ServerResponse;
  const outlet = createOutlet(response, signal);
  // Only ever bytes: of several texts on their way over HTTP/2, Node 24 has been seen to send freed memory instead.
  const write = (text: string): boolean => outlet.write(Buffer.from(text));
  let isBegun = false;
  let framing = {} as Framing;
  const begin = (): void => {
    if (isBegun) return;
    isBegun = true;
    const type = answer.type();
    framing = framings[type] as Framing;
    out.writeHead(200, { "cache-control": "no-store", ...headers(), "content-type": type, "x-accel-buffering": "no" });
    if (framing.first !== "" && !isHead) write(framing.first);
  };
  let count = 0;
  try {
    for await (const message of messages) {
      if (isGone(response)) return;
      begin();
      if (isHead) break;
      const text = framing.message(JSON.stringify(message));
      if (!write(count++ === 0 ? text : framing.between + text)) await outlet.drained();
    }
  } catch (reason) {
    if (!isBegun || isGone(response)) throw reason;
    const status = toStatus(reason);
    if (framing.error === undefined) await outlet.breakOff();
    else out.end(Buffer.from(framing.error(JSON.stringify(status))));
    return;
  }
  begin();
  if (isHead) out.end();
  else out.end(Buffer.from(framing.end));
}

/** Raw bytes of any type, one chunk after the other. The first one says the type. */
export async function writeRawStream({
  response,
  isHead,
  chunks,
  headers,
  onFailure,
  signal,
}: {
  readonly response: ListenerResponse;
  readonly isHead: boolean;
  readonly signal: AbortSignal;
  readonly chunks: AsyncIterable<{ readonly contentType: string; readonly data: Uint8Array }>;
  headers(): OutgoingHttpHeaders;
  /** Gets the reason, where the bytes break off. */
  onFailure(reason: unknown): void;
}): Promise<void> {
  const out = response as ServerResponse;
  const outlet = createOutlet(response, signal);
  let isBegun = false;
  const begin = (contentType: string): void => {
    isBegun = true;
    out.writeHead(200, {
      "cache-control": "no-store",
      ...headers(),
      "content-type": contentType,
      "x-content-type-options": "nosniff",
    });
  };
  try {
    for await (const { contentType, data } of chunks) {
      if (isGone(response)) return;
      if (!isBegun) begin(contentType);
      if (isHead) break;
      if (!outlet.write(data)) await outlet.drained();
    }
  } catch (reason) {
    if (!isBegun || isGone(response)) throw reason;
    onFailure(reason);
    // Bytes of an unknown type have no place for an error.
    await outlet.breakOff();
    return;
  }
  if (!isBegun) begin("application/octet-stream");
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
