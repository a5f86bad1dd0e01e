import type { Clock } from "../store/store.ts";

/** Creates unique ids. */
export type IdSource = () => string;

/** Ids count from here. */
const epochMs = Date.UTC(2020, 0, 1);

/**
 * Ids of 18 decimal digits like ZITADEL's, ordered by time: the milliseconds since 2020, then six digits that start at random
 * and count up within one millisecond. The length holds until 2051. The ids of one source always increase, even if the clock
 * goes back. Two processes collide about once in 500,000 pairs of ids of the same millisecond; the store refuses an id that
 * is taken.
 */
export function createIdSource(clock: Clock, random: () => number = Math.random): IdSource {
  let last = 0n;
  return () => {
    const first = BigInt(clock() - epochMs) * 1_000_000n + BigInt(Math.floor(random() * 500_000));
    last = first > last ? first : last + 1n;
    return last.toString().padStart(18, "0");
  };
}
