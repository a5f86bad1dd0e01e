import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";

const firstRetryAfterMs = 5000;
const refreshAgainAfterMs = 30_000;
const oldAfterMs = 10 * 60 * 1000;

/** Something an issuer publishes. */
export interface Held<T> {
  /**
   * What is held, fetched where nothing is yet. What is older than 10 minutes is returned as well, and fetched again in the
   * background. Rejects with an AuthError `issuer_unavailable` where nothing is held and none could be fetched; for 5 s after
   * that it does so without asking.
   */
  get(): Promise<T>;
  /**
   * Fetches again, unless that was tried less than 30 s ago. Resolves to whether the last attempt succeeded; if not, what
   * was held still is.
   */
  refresh(): Promise<boolean>;
}

/** Holds what `load` resolves to. Concurrent callers share one attempt. */
export function createHeld<T>({ load, clock }: { readonly load: () => Promise<T>; readonly clock: Clock }): Held<T> {
  let held: { readonly value: T; readonly loadedAt: number } | undefined;
  let lastAttempt: { readonly endedAt: number; readonly succeeded: boolean } | undefined;
  let pending: Promise<void> | undefined;

  const attempt = async (): Promise<void> => {
    let succeeded = false;
    try {
      held = { value: await load(), loadedAt: clock() };
      succeeded = true;
    } catch {
      // The loader has reported it.
    }
    lastAttempt = { endedAt: clock(), succeeded };
    pending = undefined;
  };

  /** Joins the attempt in progress, or starts one where the last is long enough ago. */
  const attemptAfter = async (waitMs: number): Promise<void> => {
    const sinceMs = lastAttempt === undefined ? undefined : clock() - lastAttempt.endedAt;
    // A clock that was set back must not keep attempts away for as long.
    const isTooSoon = sinceMs !== undefined && sinceMs >= 0 && sinceMs < waitMs;
    if (pending === undefined && !isTooSoon) pending = attempt();
    await pending;
  };

  return {
    async get() {
      if (held === undefined) await attemptAfter(firstRetryAfterMs);
      else if (clock() - held.loadedAt >= oldAfterMs) void attemptAfter(refreshAgainAfterMs);
      if (held === undefined) throw new AuthError("issuer_unavailable");
      return held.value;
    },
    async refresh() {
      await attemptAfter(refreshAgainAfterMs);
      return lastAttempt?.succeeded === true;
    },
  };
}
