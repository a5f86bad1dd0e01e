import type { QueryConfig } from "pg";

// How transactions begin, whatever the defaults of the role or the database are. Settings of a session may be lost behind a pooler,
// where the next transaction is one of another session.

/** How long the server waits for a statement to end, and for the next one of a transaction, in milliseconds. */
export interface Limits {
  readonly statementMs: number;
  readonly idleMs: number;
}

/** For work on the whole history. A lost process must not keep others waiting for ever. */
export const longRun: Limits = { statementMs: 600_000, idleMs: 600_000 };

export const setLimits = ({ statementMs, idleMs }: Limits): string =>
  `SET LOCAL statement_timeout = ${statementMs}; SET LOCAL idle_in_transaction_session_timeout = ${idleMs}`;

/**
 * The path of a role may lead to operators, functions and types of the same names as PostgreSQL's. Statements name the schema of each
 * table. Outside of a transaction, they name the schema of operators and functions as well.
 */
const setPath = "SET LOCAL search_path = pg_catalog, pg_temp";

/** Each statement sees what was committed before it: all of it, once the head is locked. */
export const beginWrite = (limits: Limits): string =>
  `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${setPath}; ${setLimits(limits)}`;

/** All statements see one moment. */
export const beginRead = (limits: Limits): string =>
  `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${setPath}; ${setLimits(limits)}`;

/** A statement for which the driver waits as long as the server does. */
export const patient = (
  text: string,
  values: readonly unknown[] = [],
  limitMs = longRun.statementMs,
): QueryConfig & { readonly query_timeout: number } => ({ text, values: [...values], query_timeout: limitMs });
