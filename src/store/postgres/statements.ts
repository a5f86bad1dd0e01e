import { isBesideEvents, type Rows } from "../shared/written-rows.ts";
import type { Head, Revision } from "./head.ts";
import { toText } from "./text.ts";

interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** A commit. */
interface Commit {
  /** The head before it. */
  readonly from: Head;
  readonly to: Head;
  /** The process that commits, and which of its commits this is. */
  readonly writer: { readonly id: string; readonly number: number };
}

/** With each record that is put, a few expired ones are removed, so that they never pile up. */
const removedPerPut = 2;

/** More than nearly every commit has. It bounds the statements of a rebuild. */
const rowsPerStatement = 2000;

/** So many ids of commits are kept. A node that is further behind starts over. */
const recentCommits = 16;

/** A lost commit is looked for within seconds. A day leaves room for clocks that differ. */
const writerKeptMs = 24 * 60 * 60 * 1000;

/** What a commit does to the head. */
interface HeadChange {
  readonly last: { readonly position: number; readonly recordedAt: number } | undefined;
  readonly isBesideEvents: boolean;
}

export const changeBy = (rows: Rows): HeadChange => {
  const last = rows.events.at(-1);
  return {
    last: last && { position: last[0], recordedAt: last[7] },
    isBesideEvents: isBesideEvents(rows),
  };
};

/** The head after a commit, which has an id of its own. */
export function headAfter(head: Head, { last, isBesideEvents }: HeadChange, commitId: string): Head {
  const { revision, counts } = head;
  return {
    position: last?.position ?? head.position,
    recordedAt: last?.recordedAt ?? head.recordedAt,
    revision: { commits: revision.commits + 1, commitId },
    counts: {
      commits: counts.commits + 1,
      recordCommits: counts.recordCommits + (isBesideEvents ? 1 : 0),
      rebuilds: counts.rebuilds,
    },
  };
}

/**
 * Moves the head, and says in `writers` that the commit is made: one row, or none where the head is not the one before it. It has no
 * parameters, so that it can be sent as one with the statements before it. First of a transaction, it keeps other writers out.
 */
export function moveHead({ from, to, writer }: Commit, now: number): string {
  const { revision } = to;
  const recordCommits = to.counts.recordCommits - from.counts.recordCommits;
  return `WITH moved AS (
      UPDATE portcullis.head SET position = ${to.position}, recorded_at = ${to.recordedAt}, commits = ${revision.commits},
        commit_id = ${uuid(revision)}, recent_commits = (array_prepend(${uuid(revision)}, recent_commits))[1:${recentCommits}],
        counted_commits = counted_commits + 1, record_commits = record_commits + ${recordCommits}
      WHERE id = 1 AND commits = ${from.revision.commits} AND commit_id IS NOT DISTINCT FROM ${uuid(from.revision)}
      RETURNING id
    )
    INSERT INTO portcullis.writers SELECT '${writer.id}'::uuid, ${writer.number}, ${Math.floor(now)} FROM moved
      ON CONFLICT (id) DO UPDATE SET last_commit = excluded.last_commit, committed_at = excluded.committed_at`;
}

/** Whether the head was moved to that of the commit whose id is the first parameter, or there is none. */
const isMoved = "($1::uuid IS NULL OR EXISTS (SELECT FROM portcullis.head WHERE commit_id = $1))";

const uuid = ({ commitId }: Revision): string => (commitId === null ? "NULL::uuid" : `'${commitId}'::uuid`);

/** With the first commit of a process, those of processes that are long gone are removed. */
export const removeOldWriters = (now: number): Statement => ({
  text: "DELETE FROM portcullis.writers WHERE committed_at < $1",
  values: [Math.floor(now) - writerKeptMs],
});

/**
 * The statements that write rows, in order. Rows go as arrays, one for each column. Given the id of a commit, they write nothing unless the
 * head was moved to it.
 */
export function toRowStatements(rows: Rows, commitId: string | null = null): Statement[] {
  const statements: Statement[] = [];
  const add = (text: string, table: readonly (readonly unknown[])[]) => {
    for (let from = 0; from < table.length; from += rowsPerStatement) {
      const values = [commitId, ...toColumns(table.slice(from, from + rowsPerStatement))];
      statements.push({ text, values });
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
        previous, append_position, cause)
      SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::integer[], $8::text[],
        $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::text[]) WHERE ${isMoved}`,
    rows.events.map(([position, type, id, sequence, event, version, payload, recordedAt, actor, ...links]) => [
      position,
      type,
      toText(id),
      sequence,
      event,
      version,
      payload,
      recordedAt,
      toText(actor),
      ...links,
    ]),
  );
  add(
    `INSERT INTO portcullis.aggregates (type, id, version, state, digest, digest_version, position, position_version)
      SELECT type, id, version, state, digest, version, position, version
      FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[])
        AS new (type, id, version, state, digest, position)
      WHERE ${isMoved}
      ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, state = excluded.state,
        digest = excluded.digest, digest_version = excluded.digest_version,
        position = excluded.position, position_version = excluded.position_version`,
    rows.aggregates.map(([type, id, ...columns]) => [type, toText(id), ...columns]),
  );
  add(
    `DELETE FROM portcullis.keys WHERE (kind, value, aggregate_type, aggregate_id) IN
      (SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])) AND ${isMoved}`,
    rows.freedKeys.map(([kind, value, type, id]) => [kind, toText(value), type, toText(id)]),
  );
  add(
    `INSERT INTO portcullis.keys SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WHERE ${isMoved}`,
    rows.takenKeys.map(([kind, value, type, id]) => [kind, toText(value), type, toText(id)]),
  );
  add(
    `DELETE FROM portcullis.records WHERE (kind, id) IN (SELECT * FROM unnest($2::text[], $3::text[])) AND ${isMoved}`,
    rows.removedRecords.map(([kind, id]) => [kind, toText(id)]),
  );
  add(
    `INSERT INTO portcullis.records SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) WHERE ${isMoved}
      ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
    rows.putRecords.map(([kind, id, value, expiresAt]) => [kind, toText(id), value, expiresAt]),
  );
  if (rows.putRecords.length > 0) {
    statements.push({
      text: `DELETE FROM portcullis.records WHERE (kind, id) IN
        (SELECT kind, id FROM portcullis.records WHERE expires_at <= $2 ORDER BY expires_at LIMIT $3) AND ${isMoved}`,
      values: [commitId, rows.now, removedPerPut * rows.putRecords.length],
    });
  }
  return statements;
}

/** Rows as one array for each column. */
const toColumns = (table: readonly (readonly unknown[])[]): unknown[][] =>
  (table[0] ?? []).map((_, index) => table.map((row) => row[index]));
