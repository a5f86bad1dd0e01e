import { Code, ConnectError } from "@connectrpc/connect";

/** Node's timers fire at once for more than this. It is nearly 25 days. */
const longestMs = 2 ** 31 - 1;

const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

const readers: Readonly<Record<string, (text: string) => number>> = {
  /** gRPC's: at most 8 digits and a unit. */
  "grpc-timeout": (text) => {
    const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
    return Number(digits) * (units[unit ?? ""] ?? Number.NaN);
  },
  /** Connect's: at most 10 digits, in milliseconds. */
  "connect-timeout-ms": (text) => (/^\d{1,10}$/.test(text) ? Number(text) : Number.NaN),
  /** Google's: seconds, which may have a fraction. */
  "x-server-timeout": (text) => (/^\d{1,10}(\.\d{1,9})?$/.test(text) ? Number(text) * 1000 : Number.NaN),
};

/** A time that a caller waits, or why the headers that say it cannot be read. */
export interface Timeout {
  /** Absent: for ever, or longer than a timer can measure. */
  readonly timeoutMs?: number;
  /** invalid_argument; names the header. */
  readonly error?: ConnectError;
}

/** How long the caller waits, in milliseconds: the least that the headers say. */
export function readTimeout(headers: Headers): Timeout {
  let least: number | undefined;
  for (const [name, read] of Object.entries(readers)) {
    const text = headers.get(name);
    if (text === null) continue;
    const ms = read(text.trim());
    if (Number.isNaN(ms)) {
      return { error: new ConnectError(`the header ${name} says no time that can be waited`, Code.InvalidArgument) };
    }
    least = Math.min(least ?? ms, ms);
  }
  return least === undefined || least > longestMs ? {} : { timeoutMs: Math.ceil(least) };
}
