import { LRUCache } from "lru-cache";

/** Milliseconds since any fixed moment. */
export type ThrottleClock = () => number;

export interface Limit {
  /** Attempts at once. */
  readonly capacity: number;
  /** Milliseconds until one more attempt is allowed. */
  readonly refillMs: number;
}

/** The most entries of one cache, which keeps all of them together at some 20 MB. */
export const maxKeys = 10_000;

/** A token bucket. */
export interface Bucket {
  /** Milliseconds until an attempt is allowed; 0: now. */
  waitMs(): number;
  /** Counts an attempt. */
  take(): void;
  giveBack(): void;
}

/** Buckets by key. A key always has the same limit. */
export interface Buckets {
  at(key: string, limit: Limit): Bucket;
}

/** Counts an attempt in all buckets if all of them allow it, and else in none. Returns the milliseconds until they do; 0: now. */
export function takeFromAll(buckets: readonly Bucket[]): number {
  const retryAfterMs = Math.max(...buckets.map((bucket) => bucket.waitMs()));
  if (retryAfterMs === 0) for (const bucket of buckets) bucket.take();
  return retryAfterMs;
}

/** Token buckets. Keeps the 10,000 that were used last. A clock that goes back neither gives nor takes an attempt. */
export function createBuckets(clock: ThrottleClock): Buckets {
  // Milliseconds until a bucket is full. Unlike a count of attempts it is never a fraction.
  const missing = new LRUCache<string, { readonly ms: number; readonly at: number }>({ max: maxKeys });

  function change(key: string, byMs: number): number {
    const at = clock();
    const known = missing.get(key) ?? { ms: 0, at };
    const refilled = Math.max(0, known.ms - Math.max(0, at - known.at));
    const ms = Math.max(0, refilled + byMs);
    // Even without a change: after the clock went back, the refill continues from the new time.
    if (ms > 0) missing.set(key, { ms, at });
    else missing.delete(key);
    return ms;
  }

  return {
    at: (key, { capacity, refillMs }) => ({
      waitMs: () => Math.max(0, change(key, 0) + refillMs - capacity * refillMs),
      take: () => void change(key, refillMs),
      giveBack: () => void change(key, -refillMs),
    }),
  };
}
