import pg from "pg";
import { StoreError } from "../errors.ts";

/** PostgreSQL's code for an error (its manual, appendix A), or Node's for a connection. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** Whether the server answered with it: the connection was there. */
const isOfServer = (error: unknown): boolean => error instanceof pg.DatabaseError;

/** Whether the connection is lost, or was never made. What was sent over it may have happened. */
export function isLost(error: unknown): boolean {
  if (error instanceof StoreError || error instanceof ReadOnlyServer) return false;
  // 57P0x: the server starts, stops, or ends this session. 25P03, 57P05: the session was idle for too long.
  return !isOfServer(error) || /^(08...|57P0[1-5]|25P03)$/.test(codeOf(error) ?? "");
}

/** Whether no connection of the pool became free in time. The driver gives no code. */
export const isPoolFull = (error: unknown): boolean =>
  error instanceof Error && error.message === "timeout exceeded when trying to connect";

/** The server takes no writes: it is a replica, or set so. */
export class ReadOnlyServer extends Error {
  // read_only_sql_transaction, as it would say of a write
  readonly code = "25006";
  readonly isReplica: boolean;

  constructor(isReplica: boolean) {
    super("the server takes no writes");
    this.isReplica = isReplica;
  }
}

/** Whether the server takes no writes, by its own error or by ours. */
export const isReadOnly = (error: unknown): boolean => codeOf(error) === "25006" || isBeginOnReplica(error);

/** A replica has no code of its own for BEGIN … READ WRITE, and its message may be in any language: the check of that setting refuses it. */
const isBeginOnReplica = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.code === "0A000" && error.routine === "call_bool_check_hook";

/** Whether the server gave up a statement that took too long. */
export const isTimeout = (error: unknown): boolean => codeOf(error) === "57014"; // query_canceled

/** The store's error for one of the driver's, which becomes its cause. `name` is the store's, for the message. */
export function toStoreError(error: unknown, name: string): StoreError {
  if (error instanceof StoreError) return error;
  const fail = (kind: "conflict" | "unavailable" | "corrupt", sentence: string) =>
    new StoreError(kind, `The store ${name} ${sentence}`, error);
  const code = codeOf(error);
  if (isReadOnly(error)) return fail("unavailable", readOnlySentence(error));
  if (isPoolFull(error)) return fail("unavailable", "did not answer in time: other calls use all connections.");
  if (code === undefined || !isOfServer(error)) return fail("unavailable", `cannot be reached: ${reasonOf(error)}.`);
  // Of a connection that was refused, PostgreSQL or a pooler knows best why.
  if (code.startsWith("08")) return fail("unavailable", `refuses the connection: ${reasonOf(error)}.`);
  if (isLost(error)) return fail("unavailable", "is not there just now: its server ended the connection.");
  switch (code) {
    case "23505": // unique_violation
    case "40001": // serialization_failure
    case "40P01": // deadlock_detected
      return fail("conflict", "was changed by another process, each time the decision was run again.");
    case "57014": // query_canceled, by statement_timeout
      return fail("unavailable", "did not answer in time.");
    case "55P03": // lock_not_available
      return fail("unavailable", "is busy: another process, or an export or dump, holds its lock and does not let go.");
    case "42501": // insufficient_privilege
      return fail("unavailable", "does not let this user read or write it: grant the rights on the schema portcullis.");
    case "3D000": // invalid_catalog_name
      return fail("unavailable", "does not exist: create the database first.");
    case "3F000": // invalid_schema_name
    case "42P01": // undefined_table
      return fail(
        "unavailable",
        "is not there: its schema is missing. Restore it, or start again to make an empty one.",
      );
  }
  switch (code.slice(0, 2)) {
    case "22": // data_exception
      return fail("unavailable", `cannot keep a value (error ${code}): ${reasonOf(error)}.`);
    // These messages name users, databases, addresses and limits, and no passwords.
    case "28": // invalid_authorization_specification
      return fail("unavailable", `refuses the user or the password: ${reasonOf(error)}.`);
    case "53": // insufficient_resources
      return fail("unavailable", `has no room left: ${reasonOf(error)}.`);
    case "58": // system_error
      return fail("unavailable", "cannot be read or written: its server reports an error of its system.");
    default:
      return fail("corrupt", `is not as this program made it (error ${code}). Verify it, or restore it from a backup.`);
  }
}

const readOnlySentence = (error: unknown): string =>
  error instanceof ReadOnlyServer && !error.isReplica
    ? "takes no writes: default_transaction_read_only is on for its server, its database or this user."
    : "is a replica that takes no writes: name the primary as well.";

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  const message = (error instanceof Error ? error.message : String(error)).split("\n", 1).join("");
  // In the driver's words, this reads as a bug.
  if (/client password must be a/.test(message)) return "it wants a password, and the store location gives none";
  return message.replace(/\.$/, "") || (codeOf(error) ?? "unknown");
}
