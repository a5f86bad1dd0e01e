import type { DatabaseSync } from "node:sqlite";
import { commit } from "./commit.ts";
import { retryWhileBusy } from "./retry.ts";
import { WriteConnection } from "./write-connection.ts";

/** How to write much at once: over a connection of its own, so that its size is no bound and readers see it only once it is whole. */
export interface Rewriting {
  readonly open: () => DatabaseSync;
  readonly busyTimeoutMs: number;
}

/** Does work in one transaction, which keeps other writers out, and commits it. If the work rejects, nothing was written. */
export async function rewrite<T>(
  { open, busyTimeoutMs }: Rewriting,
  work: (db: DatabaseSync, connection: WriteConnection) => Promise<T>,
): Promise<T> {
  const limit = { limitMs: busyTimeoutMs };
  const db = await retryWhileBusy(open, limit);
  try {
    // In kilobytes. Keys come in no order, and each goes to a page of its own: with few in memory, most have to be read and written again.
    db.exec("PRAGMA cache_size = -65536");
    const connection = new WriteConnection(db);
    await retryWhileBusy(() => connection.begin(), limit);
    const done = await work(db, connection);
    end(db);
    return done;
  } finally {
    // With whatever was not committed.
    db.close();
  }
}

/** Commits. Readers notice it as a commit of another connection. */
function end(db: DatabaseSync): void {
  commit(db);
  try {
    // The write-ahead log is as long as what was written. It does no harm where it stays, as on a full disk.
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch {}
}
