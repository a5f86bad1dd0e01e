import type { DatabaseSync } from "node:sqlite";
import { commit } from "./commit.ts";

// The end of a migration, once no process of an older version runs. Until then, tables have what only those need: an index that takes
// most of the time of a commit, and a table of digests. They write neither the newest columns nor the links between events.

/** Whether nothing is left that only older versions need. */
export const isFinished = (db: DatabaseSync): boolean =>
  db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'state_digests'").get() === undefined;

/**
 * Fills in the links that older versions left out, and removes what only they need: they cannot write any more. In one transaction; does
 * nothing where it was done. The projection must have been rebuilt before. Commits as `commit` does.
 */
export function finish(db: DatabaseSync): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    if (!isFinished(db)) db.exec(statements);
    commit(db);
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** A table cannot lose a UNIQUE constraint, so the events get a new one. */
const statements = `
  CREATE TABLE finished_events (
    position INTEGER PRIMARY KEY,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    previous INTEGER NOT NULL
  ) STRICT;
  INSERT INTO finished_events
    SELECT position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor,
      coalesce(previous, (
        SELECT b.position FROM events AS b
        WHERE b.aggregate_type = e.aggregate_type AND b.aggregate_id = e.aggregate_id AND b.sequence = e.sequence - 1
      ), 0)
    FROM events AS e ORDER BY position;
  DROP TABLE events;
  ALTER TABLE finished_events RENAME TO events;
  DROP TABLE state_digests`;
