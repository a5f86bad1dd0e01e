import { LRUCache } from "lru-cache";

/** Milliseconds since some fixed moment. */
export type ThrottleClock = () => number;

export interface Limit {
  /** How many attempts may come at once. */
  readonly capacity: number;
  /** How long it takes until one more is allowed. */
  readonly refillMs: number;
}

/** Of each kind of bucket, and of what is familiar: some twenty megabytes in all, whatever the load. */
export const maxKeys = 10_000;

/** A count of attempts that heals with time. */
export interface Bucket {
  /** Milliseconds until it has an attempt; 0 where it has one. */
  waitMs(): number;
  /** Counts an attempt, where it has one. */
  take(): void;
  giveBack(): void;
}

/** Buckets by key; one key always has the same limit. */
export interface Buckets {
  at(key: string, limit: Limit): Bucket;
}

/**
 * Counts an attempt in all buckets, or in none where one of them has none left. Returns 0, or the milliseconds until all of them
 * have one.
 */
export function takeFromAll(buckets: readonly Bucket[]): number {
  const retryAfterMs = Math.max(...buckets.map((bucket) => bucket.waitMs()));
  if (retryAfterMs === 0) for (const bucket of buckets) bucket.take();
  return retryAfterMs;
}

/** Token buckets. Only those that are not full are kept, and of these the 10 000 used last. */
export function createBuckets(clock: ThrottleClock): Buckets {
  // The time that a bucket needs until it is full, as of a moment. Unlike a count of tokens it is never a fraction.
  const missing = new LRUCache<string, { readonly ms: number; readonly at: number }>({ max: maxKeys });

  /** Brings a bucket up to date, then changes what it misses. */
  function change(key: string, byMs: number): number {
    const at = clock();
    const known = missing.get(key) ?? { ms: 0, at };
    const healed = Math.max(0, known.ms - Math.max(0, at - known.at));
    const ms = Math.max(0, healed + byMs);
    // Also where nothing changed: after the clock went back, the refill goes on from there and not only from the old time.
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
