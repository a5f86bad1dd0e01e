import { inspect } from "node:util";

/** The default for failures: none must be lost in silence. */
export function toStandardError(reason: unknown): void {
  process.stderr.write(`${inspect(reason)}\n`);
}
