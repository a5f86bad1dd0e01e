import type { Clock } from "../store/store.ts";

/** Makes ids that nothing else has. */
export type IdSource = () => string;

/** The first moment of which ids know: 2020-01-01 UTC. */
const epochMs = Date.UTC(2020, 0, 1);

/**
 * Ids of 18 decimal digits, ordered by time, as ZITADEL's look: the milliseconds since 2020, then six digits that start at
 * random and count up within one millisecond. They keep their length until 2051. Within one source they only increase, also
 * when the clock goes back; two processes collide about once in 500,000 pairs of ids made in the same millisecond, and the store refuses
 * an id that is taken.
 */
export function createIdSource(clock: Clock, random: () => number = Math.random): IdSource {
  let last = 0n;
  return () => {
    const first = BigInt(clock() - epochMs) * 1_000_000n + BigInt(Math.floor(random() * 500_000));
    last = first > last ? first : last + 1n;
    return last.toString().padStart(18, "0");
  };
}
