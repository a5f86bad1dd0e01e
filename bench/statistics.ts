/** The value in the middle, or between the two there; NaN where there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const last = sorted.length - 1;
  return ((sorted[Math.floor(last / 2)] ?? Number.NaN) + (sorted[Math.ceil(last / 2)] ?? Number.NaN)) / 2;
}

/** The value that this share of all values is below, such as 0.99. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Round by round: what one has to another. */
export const ratiosOf = (values: readonly number[], base: readonly number[]): number[] =>
  values.map((value, round) => value / (base[round] ?? Number.NaN));

/** The median of each quantity. */
export function medians<Name extends string>(
  measured: readonly Readonly<Record<Name, number>>[],
): Readonly<Record<Name, number>> {
  const names = Object.keys(measured[0] ?? {}) as Name[];
  const entries = names.map((name) => [name, median(measured.map((one) => one[name]))]);
  return Object.fromEntries(entries) as Record<Name, number>;
}
