import { setTimeout as sleep } from "node:timers/promises";
import { primaryCode, resultCodes } from "./result-codes.ts";

/** Whether SQLite refused because another connection holds a lock. */
export function isBusy(error: unknown): boolean {
  return primaryCode(error) === resultCodes.busy;
}

/** The longest wait between two attempts. The pauses of the writer's thread build on it. */
export const longestWaitMs = 5;

/**
 * Tries until the lock is free, and rejects with the last busy error after `limitMs`. The waits grow, and are random so that two
 * processes do not keep meeting.
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
