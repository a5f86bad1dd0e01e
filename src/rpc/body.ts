import { Code, ConnectError } from "@connectrpc/connect";
import type { HttpRequest } from "./http.ts";

/** As much of the start of a body as `readBody` shows before the rest is there. */
export const shownBytes = 5;

/**
 * Reads the request body to its end. Each time that more has come, `check` is told how much, and is shown the start: at least
 * `shownBytes` of it, as soon as they are there. What it throws ends the reading. Rejects with that, and with `canceled`
 * where the client ends the request early.
 */
export function readBody(request: HttpRequest, check: (length: number, start: Buffer) => void): Promise<Buffer> {
  // Over HTTP/2 the request only hands on what the stream has.
  const source = "stream" in request ? request.stream : request;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let start: Buffer = Buffer.alloc(0);
    let length = 0;
    const stop = (reason: unknown): void => {
      source.off("data", onData).off("end", onEnd).off("error", onEarlyEnd).off("close", onEarlyEnd);
      reject(reason);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      length += chunk.length;
      if (start.length < shownBytes) start = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      try {
        check(length, start);
      } catch (reason) {
        stop(reason);
      }
    };
    const onEarlyEnd = (): void => {
      stop(new ConnectError("the request body ended early", Code.Canceled));
      // An error that comes later is of nobody's interest, and would end the process.
      source.on("error", () => {});
    };
    const onEnd = (): void => {
      // A stream that is reset ends too.
      if ("stream" in request ? request.stream.aborted : !request.complete) onEarlyEnd();
      else resolve(chunks.length === 1 ? start : Buffer.concat(chunks, length));
    };
    if (source.readableEnded) onEnd();
    else if (source.destroyed) onEarlyEnd();
    else source.on("data", onData).on("end", onEnd).on("error", onEarlyEnd).on("close", onEarlyEnd);
  });
}
