import { inspect } from "node:util";

/** Where failures go that nobody asked to be told of: one must not be lost without a word. */
export function toStandardError(reason: unknown): void {
  process.stderr.write(`${inspect(reason)}\n`);
}
