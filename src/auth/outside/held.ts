import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";
import { createBuckets, takeFromAll } from "../rate-limits.ts";

const retryAfterMs = 5000;
const backgroundAgainAfterMs = 30_000;
const oldAfterMs = 10 * 60 * 1000;
/** What strangers can make us ask an issuer. One that rotates its keys needs one request; the rest is for a flood of invented ones. */
const refreshes = { capacity: 20, refillMs: 3_000 };

/** Something an issuer publishes. */
export interface Held<T> {
  /**
   * What is held, fetched where nothing is yet. What is older than 10 minutes is returned as well, and fetched again in the
   * background. Rejects with an AuthError `issuer_unavailable` where nothing is held and none could be fetched; for 5 s after
   * that it does so without asking.
   */
  get(): Promise<T>;
  /** The attempt that is on its way, which resolves to whether it succeeded; undefined where there is none. */
  readonly pending: Promise<boolean> | undefined;
  /**
   * Fetches again, or joins the attempt that is on its way. Resolves to whether that succeeded; if not, what was held still is.
   * It resolves to false without asking for 5 s after a failure, and beyond 20 times at once and once more every 3 s.
   */
  refresh(): Promise<boolean>;
}

/** Holds what `load` resolves to. Concurrent callers share one attempt. */
export function createHeld<T>({ load, clock }: { readonly load: () => Promise<T>; readonly clock: Clock }): Held<T> {
  const budget = createBuckets(clock).at("refresh", refreshes);
  let held: { readonly value: T; readonly loadedAt: number } | undefined;
  let last: { readonly endedAt: number; readonly succeeded: boolean } | undefined;
  let pending: Promise<boolean> | undefined;

  const attempt = async (): Promise<boolean> => {
    let succeeded = false;
    try {
      held = { value: await load(), loadedAt: clock() };
      succeeded = true;
    } catch {
      // The loader has reported it.
    }
    last = { endedAt: clock(), succeeded };
    pending = undefined;
    return succeeded;
  };

  /** Whether the last attempt is less long ago. A clock that was set back must not keep attempts away for as long. */
  const isWithin = (ms: number): boolean => {
    const sinceMs = last === undefined ? -1 : clock() - last.endedAt;
    return sinceMs >= 0 && sinceMs < ms;
  };

  /** Joins the attempt in progress, or starts one where the last is long enough ago. */
  const attemptAfter = async (waitMs: number): Promise<void> => {
    if (pending === undefined && !isWithin(waitMs)) pending = attempt();
    await pending;
  };

  return {
    async get() {
      if (held === undefined) await attemptAfter(retryAfterMs);
      else if (clock() - held.loadedAt >= oldAfterMs) void attemptAfter(backgroundAgainAfterMs);
      if (held === undefined) throw new AuthError("issuer_unavailable");
      return held.value;
    },
    get pending() {
      return pending;
    },
    async refresh() {
      const isFailing = last?.succeeded === false && isWithin(retryAfterMs);
      if (pending === undefined && !isFailing && takeFromAll([budget]) === 0) pending = attempt();
      return (await pending) ?? false;
    },
  };
}
