import type { DatabaseSync } from "node:sqlite";
import { type EventPart, type PartRow, toPart } from "../shared/history.ts";
import { MissingDigest, type StateWithoutDigest } from "../shared/missing-digest.ts";
import type { Projection } from "../store.ts";
import { commit } from "./commit.ts";

// The end of a migration, once no process of an older version runs. Until then, the events have an index that only those need, and that
// takes most of the time of a commit. They write neither the newest columns nor the links between events.

/** Whether nothing is left that only older versions need. */
export const isFinished = (db: DatabaseSync): boolean =>
  db.prepare("SELECT 1 FROM pragma_table_info('events') WHERE name = 'previous' AND \"notnull\"").get() !== undefined;

/**
 * Fills in what older versions left out, and removes what only they need: they can read and change records, and cannot write events any
 * more. In one transaction, so that nobody writes meanwhile. Returns whether there was anything to do. Commits as `commit` does. A new
 * store needs no projection.
 */
export function finish(db: DatabaseSync, projection?: Projection): boolean {
  db.exec("BEGIN IMMEDIATE");
  try {
    const wanted = !isFinished(db);
    if (wanted) {
      db.exec(fillPositions);
      if (projection !== undefined) fillDigests(db, projection);
      db.exec(replaceEvents);
    }
    commit(db);
    return wanted;
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** Also removes digests of earlier states, which older versions left. */
const fillPositions = `
  UPDATE aggregates SET position = e.position, position_version = aggregates.version,
      digest = CASE WHEN digest_version < aggregates.version THEN NULL ELSE digest END FROM events AS e
    WHERE position_version IS NOT aggregates.version AND e.aggregate_type = aggregates.type
      AND e.aggregate_id = aggregates.id AND e.sequence = aggregates.version`;

const digestsAtOnce = 1000;

/** Older versions keep digests elsewhere, or know none. The index on the events is still there. */
function fillDigests(db: DatabaseSync, projection: Projection): void {
  const select = db.prepare(
    `SELECT type, id, version, state FROM aggregates WHERE digest IS NULL AND (type, id) > (?, ?) ORDER BY type, id LIMIT ?`,
  );
  const selectEvents = db.prepare(
    `SELECT aggregate_type, aggregate_id, 0, position, sequence, version, recorded_at, previous, type, payload
      FROM events WHERE aggregate_type = ? AND aggregate_id = ? ORDER BY sequence`,
  );
  selectEvents.setReturnArrays(true);
  const update = db.prepare("UPDATE aggregates SET digest = ?, digest_version = version WHERE type = ? AND id = ?");
  for (let after = ["", ""]; ; ) {
    const page = select.all(...(after as [string, string]), digestsAtOnce) as unknown as StateWithoutDigest[];
    for (const stored of page) {
      const missing = new MissingDigest(stored, projection);
      for (const row of selectEvents.iterate(stored.type, stored.id))
        missing.add(toPart(row as unknown as PartRow) as EventPart);
      if (missing.digest !== undefined) update.run(missing.digest, stored.type, stored.id);
      after = [stored.type, stored.id];
    }
    if (page.length < digestsAtOnce) return;
  }
}

/**
 * A table cannot lose a UNIQUE constraint, so the events get a new one. `state_digests` stays, empty: processes of an older version read
 * it. This counts as a rebuild, so that others do not go on with what they have in memory, where the positions are missing.
 */
const replaceEvents = `
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
    previous INTEGER NOT NULL,
    append_position INTEGER,
    cause TEXT
  ) STRICT;
  INSERT INTO finished_events
    SELECT position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor,
      coalesce(previous, (
        SELECT b.position FROM events AS b
        WHERE b.aggregate_type = e.aggregate_type AND b.aggregate_id = e.aggregate_id AND b.sequence = e.sequence - 1
      ), 0), append_position, cause
    FROM events AS e ORDER BY position;
  DROP TABLE events;
  ALTER TABLE finished_events RENAME TO events;
  DELETE FROM state_digests;
  UPDATE head SET rebuilds = rebuilds + 1`;
