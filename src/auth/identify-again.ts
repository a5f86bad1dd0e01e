import type { Caller, Identify } from "./caller.ts";

/** How long others may use what was found for one: short beside the seconds after which a long call asks again. */
const freshMs = 1_000;

/**
 * Identifies the callers of long calls again. `position` is that of an event that the caller of this function has seen: what is found is
 * not older. Rejects as `Identify` does.
 */
export type IdentifyAgain = (token: string, position: number) => Promise<Caller>;

interface Found {
  readonly at: number;
  readonly position: number;
  readonly caller: Promise<Caller>;
}

/** All calls with one token share what is read. `now` gives milliseconds since any moment. */
export function createIdentifyAgain(identify: Identify, now: () => number = () => performance.now()): IdentifyAgain {
  const found = new Map<string, Found>();
  let sweepAt = 0;

  /** Forgets the tokens of calls that are over. */
  function sweep(at: number): void {
    if (at < sweepAt) return;
    sweepAt = at + 60_000;
    for (const [token, one] of found) if (at - one.at >= freshMs) found.delete(token);
  }

  return (token, position) => {
    const at = now();
    const known = found.get(token);
    if (known !== undefined && at - known.at < freshMs && known.position >= position) return known.caller;
    sweep(at);
    const caller = identify(token).then((identified) => identified.caller);
    found.set(token, { at, position, caller });
    return caller;
  };
}
