import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";
import { createBuckets, takeFromAll } from "../rate-limits.ts";

const retryAfterMs = 5000;
const backgroundAgainAfterMs = 30_000;
const oldAfterMs = 10 * 60 * 1000;
/** Limits the requests to an issuer that invented key ids cause. A rotation of its keys needs one. */
const refreshes = { capacity: 20, refillMs: 3_000 };

/** A document that an issuer publishes. */
export interface CachedDocument<T> {
  /**
   * The cached document, or a fetched one if the cache is empty. After 10 minutes it fetches the document again in the
   * background. Rejects with an AuthError `issuer_unavailable` if the cache is empty and the issuer does not answer; it then
   * waits 5 s before it asks again.
   */
  get(): Promise<T>;
  /** Resolves to whether the attempt in progress succeeded; undefined if there is none. */
  readonly pending: Promise<boolean> | undefined;
  /**
   * Fetches the document again, or joins the attempt in progress. Resolves to whether that succeeded; a failure keeps the
   * cached document. For 5 s after a failure, and beyond 20 attempts at once and one more every 3 s, it resolves to false
   * without asking.
   */
  refresh(): Promise<boolean>;
}

/** Caches the document that `load` resolves to. Concurrent callers share one attempt. */
export function createCachedDocument<T>({
  load,
  clock,
}: {
  readonly load: () => Promise<T>;
  readonly clock: Clock;
}): CachedDocument<T> {
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
      // `load` has reported it.
    }
    last = { endedAt: clock(), succeeded };
    pending = undefined;
    return succeeded;
  };

  /** Whether the last attempt ended within this time. False after the clock was set back, so that attempts go on. */
  const isWithin = (ms: number): boolean => {
    const sinceMs = last === undefined ? -1 : clock() - last.endedAt;
    return sinceMs >= 0 && sinceMs < ms;
  };

  /** Joins the attempt in progress, or starts one unless the last ended within this time. */
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
