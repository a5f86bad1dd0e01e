import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { constants } from "node:http2";
import { isGone } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import { unreadAnswer } from "../listener/unread.ts";
import { untilAborted } from "./until-aborted.ts";

/** The body of an answer, while its call lasts. */
export interface Outlet {
  /** False where no more should be written before it is `drained`. */
  write(bytes: Uint8Array): boolean;
  /** Resolves when more can be written, the client is gone, or the call is aborted. */
  drained(): Promise<void>;
  /**
   * Ends a connection or stream so that no client takes what came for whole: HTTP/1.1 without the last chunk, HTTP/2 with
   * INTERNAL_ERROR. What was written goes out before, unless the reader has not taken it when the call is aborted.
   */
  breakOff(): Promise<void>;
}

export function createOutlet(response: ListenerResponse, signal: AbortSignal): Outlet {
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
        const isDrained = once(out, "drain", until).then(() => unread?.taken());
        await Promise.race([isDrained, once(out, "close", until)]);
      } catch {
        // The connection failed, or the call was aborted. The bytes still wait, and count until the answer is closed.
      } finally {
        done.abort();
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
