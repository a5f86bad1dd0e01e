import type { Clock } from "../../store/store.ts";

/**
 * Something that may be done `capacity` times at once, and once more every `refillMs`. `take` says whether it may be done now,
 * and counts it. A clock that is set back gives nothing.
 */
export function createBudget(options: {
  readonly capacity: number;
  readonly refillMs: number;
  readonly clock: Clock;
}): {
  take(): boolean;
} {
  const { capacity, refillMs, clock } = options;
  let left = capacity;
  let countedAt = clock();
  return {
    take() {
      const now = clock();
      left = Math.min(capacity, left + Math.max(0, now - countedAt) / refillMs);
      countedAt = now;
      if (left < 1) return false;
      left -= 1;
      return true;
    },
  };
}
