import type { IncomingHttpHeaders } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import { violation } from "./violation.ts";

/** Node's timers fire at once for more than this. It is nearly 25 days. */
const longestMs = 2 ** 31 - 1;

const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** How one header writes a time. */
interface TimeHeader {
  /** In milliseconds; NaN where the text is not valid. */
  read(text: string): number;
  /** What to send, for the error text. */
  readonly form: string;
}

const timeHeaders = {
  /** gRPC's. */
  "grpc-timeout": {
    read(text) {
      const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
      return Number(digits) * (units[unit ?? ""] ?? Number.NaN);
    },
    form: "up to 8 digits and one of the units H, M, S, m, u and n, such as 5S",
  },
  /** Connect's. */
  "connect-timeout-ms": {
    read: (text) => (/^\d{1,10}$/.test(text) ? Number(text) : Number.NaN),
    form: "milliseconds in up to 10 digits, such as 5000",
  },
  /** Google's. */
  "x-server-timeout": {
    read: (text) => (/^\d{1,10}(\.\d{1,9})?$/.test(text) ? Number(text) * 1000 : Number.NaN),
    form: "seconds in up to 10 digits, with up to 9 after a point or without, such as 1.5",
  },
} as const satisfies Record<string, TimeHeader>;

export type TimeHeaderName = keyof typeof timeHeaders;

/** How long a caller waits, or why its headers are not valid. */
export interface Timeout {
  /** Absent: for ever, or longer than a timer can measure. */
  readonly timeoutMs?: number;
  /** invalid_argument; names the header, and says what to send. */
  readonly error?: ConnectError;
}

/** Reads how long the caller waits: the shortest time in these headers. */
export function readTimeout(headers: IncomingHttpHeaders, ...names: readonly TimeHeaderName[]): Timeout {
  let least: number | undefined;
  for (const name of names) {
    const text = headers[name];
    if (text === undefined) continue;
    const { read, form }: TimeHeader = timeHeaders[name];
    const ms = read(String(text).trim());
    if (Number.isNaN(ms)) {
      const message = `the header ${name} is not a valid timeout: send ${form}`;
      return { error: violation(message, { field: name, description: `send ${form}` }) };
    }
    least = Math.min(least ?? ms, ms);
  }
  return least === undefined || least > longestMs ? {} : { timeoutMs: Math.ceil(least) };
}
