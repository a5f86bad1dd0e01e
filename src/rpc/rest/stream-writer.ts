import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { JsonValue } from "@bufbuild/protobuf";
import { createOutlet } from "../http/outlet.ts";
import { isGone } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";

/** How a stream of messages is written. */
interface Framing {
  readonly first: string;
  readonly between: string;
  message(json: string): string;
  readonly end: string;
  /** How an error after the first message is told; absent: the form has no place for one, so the connection breaks. */
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
    // A browser that is not told so takes every end for a broken connection, and asks again.
    end: "event: end\ndata:\n\n",
    error: (status) => `event: error\ndata: ${status}\n\n`,
  },
};

/** In the order of preference. */
export const streamTypes: readonly string[] = Object.keys(framings);

export interface StreamAnswer {
  readonly response: ListenerResponse;
  /** Whether nothing but the headers is wanted: then the messages end with the first. */
  readonly isHead: boolean;
  /** Of the call: a client that reads nothing keeps it no longer than its deadline. */
  readonly signal: AbortSignal;
  /** The media type; known with the first message, or the end. */
  type(): string;
  /** Asked when the first message, or the end, is there. */
  headers(): OutgoingHttpHeaders;
  readonly messages: AsyncIterable<JsonValue>;
  /** The google.rpc.Status that an error is told as. Called once for each stream that fails after its first message. */
  toStatus(reason: unknown): JsonValue;
}

/**
 * Writes messages as they come, each at once, and none faster than the client takes them. Headers wait for the first
 * message: rejects, with nothing sent, where it fails before. What fails after is told in the stream, or breaks it off: no
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
  /** Told why, where the bytes break off. */
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
