import { isBesideEvents, type Rows } from "../shared/written-rows.ts";
import type { Head } from "./head.ts";
import { toText } from "./text.ts";

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** The process that commits, and which of its commits this is. */
export interface Writer {
  readonly id: string;
  readonly number: number;
  /** Of this commit alone. */
  readonly commitId: string;
}

/** With each record that is put, a few expired ones are removed, so that they never pile up. */
const removedPerPut = 2;

/** More than nearly every commit has. It bounds the statements of a rebuild. */
const rowsPerStatement = 2000;

/** A lost commit is looked for within seconds. A day leaves room for clocks that differ. */
const writerKeptMs = 24 * 60 * 60 * 1000;

/** The statements of one transaction, in order, and what ends it: the head's new place, and the writer's row. */
export function toStatements(
  rows: Rows,
  { head, writer }: { readonly head: Head; readonly writer: Writer },
): Statement[] {
  const last = rows.events.at(-1);
  const [position, recordedAt] = last === undefined ? [head.position, head.recordedAt] : [last[0], last[7]];
  const statements = toRowStatements(rows);
  statements.push({
    text: `UPDATE portcullis.head SET position = $1, recorded_at = $2, commits = commits + 1, commit_id = $3,
      counted_commits = counted_commits + 1, record_commits = record_commits + $4 WHERE id = 1`,
    values: [position, recordedAt, writer.commitId, isBesideEvents(rows) ? 1 : 0],
  });
  statements.push({
    text: `INSERT INTO portcullis.writers VALUES ($1, $2, $3)
      ON CONFLICT (id) DO UPDATE SET last_commit = excluded.last_commit, committed_at = excluded.committed_at`,
    values: [writer.id, writer.number, Math.floor(rows.now)],
  });
  // With the first commit of a process, those of processes that are long gone are removed.
  if (writer.number === 1) {
    statements.push({
      text: "DELETE FROM portcullis.writers WHERE committed_at < $1",
      values: [Math.floor(rows.now) - writerKeptMs],
    });
  }
  return statements;
}

/** The statements that write rows, in order. Rows go as arrays, one for each column. */
export function toRowStatements(rows: Rows): Statement[] {
  const statements: Statement[] = [];
  const add = (text: string, table: readonly (readonly unknown[])[]) => {
    for (let from = 0; from < table.length; from += rowsPerStatement) {
      statements.push({ text, values: toColumns(table.slice(from, from + rowsPerStatement)) });
    }
  };
  if (rows.replacesProjection) {
    statements.push({ text: "DELETE FROM portcullis.keys", values: [] });
    statements.push({ text: "DELETE FROM portcullis.aggregates", values: [] });
    // Caches that advance over events start over.
    const text = "UPDATE portcullis.head SET record_commits = record_commits + 1, rebuilds = rebuilds + 1 WHERE id = 1";
    statements.push({ text, values: [] });
  }
  if (rows.removesRecords) statements.push({ text: "DELETE FROM portcullis.records", values: [] });
  add(
    `INSERT INTO portcullis.events (position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor,
        previous)
      SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::integer[], $7::text[],
        $8::bigint[], $9::text[], $10::bigint[])`,
    rows.events.map(([position, type, id, sequence, event, version, payload, recordedAt, actor, previous]) => [
      position,
      type,
      toText(id),
      sequence,
      event,
      version,
      payload,
      recordedAt,
      toText(actor),
      previous,
    ]),
  );
  add(
    `INSERT INTO portcullis.aggregates (type, id, version, state, digest, digest_version, position, position_version)
      SELECT type, id, version, state, digest, version, position, version
      FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
        AS new (type, id, version, state, digest, position)
      ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, state = excluded.state,
        digest = excluded.digest, digest_version = excluded.digest_version,
        position = excluded.position, position_version = excluded.position_version`,
    rows.aggregates.map(([type, id, ...columns]) => [type, toText(id), ...columns]),
  );
  add(
    `DELETE FROM portcullis.keys WHERE (kind, value, aggregate_type, aggregate_id) IN
      (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]))`,
    rows.freedKeys.map(([kind, value, type, id]) => [kind, toText(value), type, toText(id)]),
  );
  add(
    "INSERT INTO portcullis.keys SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])",
    rows.takenKeys.map(([kind, value, type, id]) => [kind, toText(value), type, toText(id)]),
  );
  add(
    "DELETE FROM portcullis.records WHERE (kind, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
    rows.removedRecords.map(([kind, id]) => [kind, toText(id)]),
  );
  add(
    `INSERT INTO portcullis.records SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
      ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
    rows.putRecords.map(([kind, id, value, expiresAt]) => [kind, toText(id), value, expiresAt]),
  );
  if (rows.putRecords.length > 0) {
    statements.push({
      text: `DELETE FROM portcullis.records WHERE (kind, id) IN
        (SELECT kind, id FROM portcullis.records WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
      values: [rows.now, removedPerPut * rows.putRecords.length],
    });
  }
  return statements;
}

/** Rows as one array for each column. */
const toColumns = (table: readonly (readonly unknown[])[]): unknown[][] =>
  (table[0] ?? []).map((_, index) => table.map((row) => row[index]));
