/**
 * Whether tests have to be left out, for a reason, which is printed; without one they run. In CI nothing is left out: this
 * throws, which fails the file.
 */
export function isLeftOut(reason: string | undefined): boolean {
  if (reason === undefined) return false;
  if (process.env["CI"]) throw new Error(`in CI no test may be left out: ${reason}`);
  process.stderr.write(`left out: ${reason}\n`);
  return true;
}
