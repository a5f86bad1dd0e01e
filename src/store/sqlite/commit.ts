import type { DatabaseSync } from "node:sqlite";
import { connectForWriting, readPragma } from "./connect.ts";
import { primaryCode, resultCodes } from "./result-codes.ts";

/** The `code` of the error of a commit that may have happened or not. */
const commitInDoubt = "COMMIT_IN_DOUBT";

export const isInDoubt = (error: unknown): boolean =>
  (error as { readonly code?: unknown } | undefined)?.code === commitInDoubt;

/** How long the proof waits for other processes that write. Whatever they commit meanwhile overwrites the failed commit too. */
const patienceMs = 5_000;

/**
 * Commits the transaction of a connection to a file. Throws the driver's error if the commit failed and can no longer happen, and an
 * error with the code `commitInDoubt` if that cannot be proved.
 *
 * When the sync of a commit fails, SQLite takes the transaction back for all who use the file now. But its pages are in the
 * write-ahead log, with the mark of a commit. If the processes end or crash, the next one recovers them from there.
 */
export function commit(db: DatabaseSync): void {
  try {
    db.exec("COMMIT");
  } catch (error) {
    // SQLite did not try, and the caller can still roll back.
    if (db.isTransaction) throw error;
    // The mark is in the last page, for which there was no room.
    if (primaryCode(error) === resultCodes.full) throw error;
    try {
      // Elsewhere there is no log that others could read.
      if (readPragma(db, "journal_mode") === "wal") overwriteFailedCommit(db.location() as string);
    } catch {
      const { message } = error as Error;
      throw Object.assign(new Error(`a commit failed, and so did writing over it: ${message}`), {
        code: commitInDoubt,
      });
    }
    throw error;
  }
}

/**
 * Makes sure that a failed commit never happens. Throws the driver's error if that fails. Some connection must have been open to the
 * file since the failure: the first one to open it would recover that commit.
 *
 * The next commit is written over the failed one, because it begins at the same place of the log. It leaves the further pages of a
 * longer one. Each page has a checksum over all before it, so recovery ends at the first page that it left
 * (https://sqlite.org/walformat.html).
 */
export function overwriteFailedCommit(path: string): void {
  // The cache of the connection that failed may be wrong.
  using db = connectForWriting(path);
  db.exec(`PRAGMA busy_timeout = ${patienceMs}; BEGIN IMMEDIATE`);
  // Writes the first page as it is: SQLite does not compare.
  db.exec(`PRAGMA user_version = ${readPragma(db, "user_version")}; COMMIT`);
}
