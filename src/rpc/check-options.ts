import { inspect } from "node:util";

/** What an option may be. */
export interface Check {
  /** For the sentence "the option … must be …". */
  readonly wanted: string;
  fits(value: unknown): boolean;
}

export const aFunction: Check = { wanted: "a function", fits: (value) => typeof value === "function" };
export const aBoolean: Check = { wanted: "true or false", fits: (value) => typeof value === "boolean" };
export const listOf = (wanted: string, fits: Check["fits"]): Check => ({
  wanted: `an array of ${wanted}`,
  fits: (value) => Array.isArray(value) && value.every(fits),
});

/** The beginning of a wrong value is enough to find it. */
const maxShownLength = 100;

/**
 * Checks the options of a function by name. Throws a TypeError for an option that does not exist, and for a value that does not
 * fit. An option that is undefined counts as absent.
 */
export function checkOptions(caller: string, options: object, checks: Readonly<Record<string, Check>>): void {
  if (typeof options !== "object" || options === null) throw new TypeError(`${caller} takes its options as an object`);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (check === undefined) {
      throw new TypeError(`${caller} has no option ${name}: it has ${Object.keys(checks).join(", ")}`);
    }
    if (check.fits(value)) continue;
    const given = inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, maxShownLength);
    throw new TypeError(`the option ${name} of ${caller} must be ${check.wanted}, and not ${given}`);
  }
}
