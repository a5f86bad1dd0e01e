/**
 * How long one contender runs before the other's turn, where both are measured several times in a round. Machine and disk change within
 * seconds, and what changes slower than this meets both.
 */
export const turnSeconds = 0.5;

/** How many turns each contender has in a round. */
export const turnsIn = (seconds: number): number => Math.max(1, Math.round(seconds / turnSeconds));
