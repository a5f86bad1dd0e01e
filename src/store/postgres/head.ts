import type { ClientBase } from "pg";
import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import type { AggregateRef } from "../store.ts";
import { ReadOnlyServer } from "./errors.ts";
import { fromText } from "./text.ts";

/** How far the store is. */
export interface Head {
  readonly position: number;
  readonly recordedAt: number;
  readonly revision: Revision;
  readonly counts: Counts;
}

/**
 * Changes with every commit. The count alone is not enough: after a failover that lost commits, or a restore, other commits reach the
 * same count. The id alone is not enough either: nodes of a version before it count, and leave it as it is.
 */
export interface Revision {
  /** Grows with each commit, also with one of records alone. */
  readonly commits: number;
  /** Of the last commit, at random; null before the first that gave one. */
  readonly commitId: string | null;
}

/** Kept by nodes that link events. A commit of an older version leaves them as they are. */
interface Counts {
  readonly commits: number;
  /** Commits of which events alone do not tell what they changed. */
  readonly recordCommits: number;
  readonly rebuilds: number;
}

export const isSameRevision = (a: Revision, b: Revision): boolean =>
  a.commits === b.commits && a.commitId === b.commitId;

/** What came between two heads. */
export interface News {
  /** The one that was known; undefined where none was. */
  readonly from: Head | undefined;
  readonly head: Head;
  /** Whether `from` is among the last commits before `head`: after a failover that lost commits, or a restore, it is not. */
  readonly isAfter: boolean;
  /** The aggregates of the first events after `from`. */
  readonly touched: readonly AggregateRef[];
}

/** What is known of a moment is not brought over more events than this. */
export const maxMissed = 1000;

interface RevisionRow extends FromPrimary {
  readonly commits: string;
  readonly commit_id: string | null;
}

interface HeadRow
  extends RevisionRow,
    Record<"position" | "recorded_at" | "counted_commits" | "record_commits" | "rebuilds", string> {
  readonly is_after?: boolean;
}

/** A row that was selected with the head, and with `is_replica`. */
export interface FromPrimary {
  readonly is_replica: boolean;
}

export const isReplica = "pg_catalog.pg_is_in_recovery() AS is_replica";

// They also run outside of a transaction, so they name every schema: see begin.ts.
const revisionColumns = `commits, commit_id, ${isReplica}`;
const columns = `position, recorded_at, counted_commits, record_commits, rebuilds, ${revisionColumns}`;
const fromHead = "FROM portcullis.head WHERE id OPERATOR(pg_catalog.=) 1";
const selectRevision = `SELECT ${revisionColumns} ${fromHead}`;
const selectHead = `SELECT ${columns} ${fromHead}`;
const selectHeadAfter = `SELECT ${columns}, $1::uuid OPERATOR(pg_catalog.=) ANY (recent_commits) AS is_after ${fromHead}`;
const selectTouched = `SELECT DISTINCT aggregate_type AS type, aggregate_id AS id FROM portcullis.events
  WHERE position > $1 AND position <= $2`;

/**
 * The first row. Throws ReadOnlyServer where a replica answers: a pooler may lead to another server than it did when the connection was
 * made.
 */
export function firstFromPrimary<Row extends FromPrimary>([row]: readonly Row[]): Row {
  if (row === undefined) throw new StoreError("corrupt", "The store has lost its head row: restore it from a backup.");
  if (row.is_replica) throw new ReadOnlyServer(true);
  return row;
}

/** Of the head, which costs less than all of it. Throws as `firstFromPrimary` does. */
export async function readRevision(client: ClientBase): Promise<Revision> {
  return toRevision(firstFromPrimary((await client.query<RevisionRow>(selectRevision)).rows));
}

const toRevision = (row: RevisionRow): Revision => ({ commits: Number(row.commits), commitId: row.commit_id });

/** Throws as `firstFromPrimary` does. */
export async function readHead(client: ClientBase, lock = ""): Promise<Head> {
  return toHead((await client.query<HeadRow>(`${selectHead} ${lock}`)).rows);
}

/** Reads the head, and what came since. Must run in a transaction: all of one moment, or with a lock. */
export async function readNews(client: ClientBase, from: Head | undefined, lock = ""): Promise<News> {
  const id = from?.revision.commitId;
  if (from === undefined || id == null) {
    return { from, head: await readHead(client, lock), isAfter: false, touched: [] };
  }
  const [heads, touched] = await Promise.all([
    client.query<HeadRow>(`${selectHeadAfter} ${lock}`, [id]),
    client.query<{ type: AggregateType; id: string }>(selectTouched, [from.position, from.position + maxMissed]),
  ]);
  return {
    from,
    head: toHead(heads.rows),
    isAfter: heads.rows[0]?.is_after === true,
    touched: touched.rows.map((row) => ({ type: row.type, id: fromText(row.id) })),
  };
}

function toHead(rows: readonly HeadRow[]): Head {
  const row = firstFromPrimary(rows);
  return {
    position: Number(row.position),
    recordedAt: Number(row.recorded_at),
    revision: toRevision(row),
    counts: {
      commits: Number(row.counted_commits),
      recordCommits: Number(row.record_commits),
      rebuilds: Number(row.rebuilds),
    },
  };
}
