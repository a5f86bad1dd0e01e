import { ConfigError } from "../config.ts";
import { type Columns, formatInstant, printList } from "./output.ts";

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * The end of a span such as `30d` from now on, as options: a whole number of seconds, minutes, hours or days, at most 100
 * years. Empty without a span. Throws a ConfigError for any other text.
 */
export function expiryAfter(text: string | undefined): { readonly expiresAt?: number } {
  if (text === undefined) return {};
  const [, count, unit] = /^([1-9]\d{0,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (unitMs[unit ?? ""] ?? Number.NaN);
  if (!(ms <= 36_525 * 86_400_000)) {
    throw new ConfigError(`--expires must be a span such as 90m, 12h or 30d, at most 100 years, not "${text}"`);
  }
  return { expiresAt: Date.now() + ms };
}

/** A key or a token, as lists show it. */
interface Expiring {
  readonly id: string;
  readonly userName: string;
  readonly createdAt: number;
  readonly expiresAt?: number;
}

export const toExpiringRow = ({ id, userName, createdAt, expiresAt }: Expiring) => ({
  id,
  user: userName,
  created: formatInstant(createdAt),
  expires: expiresAt === undefined ? null : formatInstant(expiresAt),
});

/** The columns of such a list after the first, which has the ids. */
export const expiringColumns: Columns<ReturnType<typeof toExpiringRow>> = {
  USER: ({ user }) => user,
  CREATED: ({ created }) => created,
  EXPIRES: ({ expires }) => expires ?? "never",
};

/** Prints a list of keys or tokens. */
export function printExpiring(options: { readonly json?: boolean }, all: readonly Expiring[]): void {
  printList(options, all.map(toExpiringRow), { ID: ({ id }) => id, ...expiringColumns });
}
