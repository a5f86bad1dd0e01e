import { setTimeout as sleep } from "node:timers/promises";

const busy = 5;

/** Whether SQLite refused because another connection holds a lock. */
export function isBusy(error: unknown): boolean {
  return primaryCode(error) === busy;
}

/** SQLite's result code without the extension in its upper bytes; undefined for an error from elsewhere. */
export function primaryCode(error: unknown): number | undefined {
  const code = (error as { readonly errcode?: unknown } | undefined)?.errcode;
  return typeof code === "number" ? code & 0xff : undefined;
}

/** No wait between two attempts is longer; the writer thread's pauses build on it. */
export const longestWaitMs = 5;

/**
 * Tries until the lock is free, and rejects with the last busy error after `limitMs`. The waits grow, and are random so
 * that two that wait do not keep meeting.
 */
export async function retryWhileBusy<T>(attempt: () => T, { limitMs }: { readonly limitMs: number }): Promise<T> {
  const started = performance.now();
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || performance.now() - started >= limitMs) throw error;
    }
    await sleep(1 + Math.random() * (waitMs - 1));
  }
}
