import type { ClientBase } from "pg";
import { StoreError } from "../errors.ts";
import { ReadOnlyServer } from "./errors.ts";

/** How far the store is. */
export interface Head {
  readonly position: number;
  readonly recordedAt: number;
  readonly revision: Revision;
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

export const isSameRevision = (a: Revision, b: Revision): boolean =>
  a.commits === b.commits && a.commitId === b.commitId;

interface HeadRow extends FromPrimary, Record<"position" | "recorded_at" | "commits", string> {
  readonly commit_id: string | null;
}

/** A row that was selected with the head, and with `is_replica`. */
export interface FromPrimary {
  readonly is_replica: boolean;
}

export const isReplica = "pg_catalog.pg_is_in_recovery() AS is_replica";

/** It also runs outside of a transaction, so it names every schema: see begin.ts. */
const selectHead = `SELECT position, recorded_at, commits, commit_id, ${isReplica}
  FROM portcullis.head WHERE id OPERATOR(pg_catalog.=) 1`;

/** The first row. Throws ReadOnlyServer where a replica answers: a pooler may lead to another server than it did when the connection was made. */
export function firstFromPrimary<Row extends FromPrimary>([row]: readonly Row[]): Row {
  if (row === undefined) throw new StoreError("corrupt", "The store has lost its head row: restore it from a backup.");
  if (row.is_replica) throw new ReadOnlyServer(true);
  return row;
}

/** Throws as `firstFromPrimary` does. */
export async function readHead(client: ClientBase, lock = ""): Promise<Head> {
  const { rows } = await client.query<HeadRow>(`${selectHead} ${lock}`);
  const row = firstFromPrimary(rows);
  const revision = { commits: Number(row.commits), commitId: row.commit_id };
  return { position: Number(row.position), recordedAt: Number(row.recorded_at), revision };
}
