import type { QueryConfig } from "pg";

// How transactions begin: whatever a role or a database has for a default. What was set for a session as it began may be lost
// behind a pooler, where the next transaction is one of another session.

/** How long the server waits: for a statement to end, and for the next one of a transaction. In milliseconds. */
export interface Limits {
  readonly statementMs: number;
  readonly idleMs: number;
}

/** Of what goes through the whole store. A process that was lost in the middle of it may not keep others waiting for good. */
export const longRun: Limits = { statementMs: 600_000, idleMs: 600_000 };

export const setLimits = ({ statementMs, idleMs }: Limits): string =>
  `SET LOCAL statement_timeout = ${statementMs}; SET LOCAL idle_in_transaction_session_timeout = ${idleMs}`;

/** Each statement sees what was committed before it, so after the lock of the head, which holds the others off. */
export const beginWrite = (limits: Limits): string =>
  `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${setLimits(limits)}`;

/** All statements see one moment. */
export const beginRead = (limits: Limits): string =>
  `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${setLimits(limits)}`;

/** A statement for which the driver waits as long as the server, where it would give up earlier. */
export const patient = (
  text: string,
  values: readonly unknown[] = [],
  limitMs = longRun.statementMs,
): QueryConfig & { readonly query_timeout: number } => ({ text, values: [...values], query_timeout: limitMs });
