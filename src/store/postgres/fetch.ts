import type { ClientBase } from "pg";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import { StoreError } from "../errors.ts";
import { CachedMoment, Damaged, type Loaded } from "../shared/cached-moment.ts";
import { parseJson } from "../shared/json.ts";
import { type StateSource, type StoredState, toSnapshot } from "../shared/stored-state.ts";
import { isRecordRef, isUniqueKey, nameOfRecord, nameOfRef, nameOfUniqueKey } from "../shared/view.ts";
import type { AggregateRef, Read, RecordRef, StoreRecord } from "../store.ts";
import { ReadOnlyServer } from "./errors.ts";
import { fromText, toText } from "./text.ts";

/** How far the store is. */
export interface Head {
  readonly position: number;
  readonly recordedAt: number;
  readonly revision: Revision;
}

/**
 * Tells a moment of the store from all others. The count alone does not: after a failover that lost commits, or a restore, other
 * commits make the same count again. Neither does the id: nodes of a version before it count, and leave it as it is.
 */
export interface Revision {
  /** Grows with each commit, also with one of records alone. */
  readonly commits: number;
  /** Of the last commit, at random; null before the first that gave one. */
  readonly commitId: string | null;
}

type HeadRow = Record<"position" | "recorded_at" | "commits", string> & {
  readonly commit_id: string | null;
  readonly is_replica: boolean;
};

const selectHead = `SELECT position, recorded_at, commits, commit_id, pg_is_in_recovery() AS is_replica
  FROM portcullis.head WHERE id = 1`;

/** Throws ReadOnlyServer where a replica answers: behind a pooler, it may be another server than the connection was made to. */
export async function readHead(client: ClientBase, lock = ""): Promise<Head> {
  const { rows } = await client.query<HeadRow>(`${selectHead} ${lock}`);
  if (rows[0]?.is_replica === true) throw new ReadOnlyServer(true);
  return toHead(rows[0]);
}

function toHead(row: HeadRow | undefined): Head {
  if (row === undefined) throw new StoreError("corrupt", "The store has lost its head row: restore it from a backup.");
  const revision = { commits: Number(row.commits), commitId: row.commit_id };
  return { position: Number(row.position), recordedAt: Number(row.recorded_at), revision };
}

/** Thrown where a decision or a view needs what was not fetched yet. */
class NotFetched extends Error {}

/**
 * What was fetched of one moment. A query takes a way to the server and back, and decisions do not wait: what they miss is
 * noted, fetched, and they are made again.
 */
export class FetchedMoment extends CachedMoment {
  /** Undefined where nothing is known of it. */
  revision: Revision | undefined;
  readonly #source: StateSource;
  readonly #missing: Read[];

  constructor(source: StateSource) {
    const missing: Read[] = [];
    const miss = (read: Read): never => {
      missing.push(read);
      throw new NotFetched("not fetched");
    };
    super({ load: miss, findHolder: miss, loadRecord: miss });
    this.#source = source;
    this.#missing = missing;
  }

  /** Makes what is fetched that of another moment, where it is another. */
  moveTo(head: Head): void {
    const { commits, commitId } = head.revision;
    if (commits === this.revision?.commits && commitId === this.revision.commitId) return;
    this.revision = head.revision;
    this.startOver(head);
  }

  /**
   * What `make` comes to, its failure included, once everything that it asks for is fetched, over a connection that sees this
   * very moment. `reads` is what is known of that before. Rejects where something cannot be fetched.
   */
  async complete<T>(client: ClientBase, reads: readonly Read[], make: () => T): Promise<Made<T>> {
    let wanted = reads.filter((read) => !this.holds(read));
    for (;;) {
      if (wanted.length > 0) this.add(await fetch(client, wanted, this.#source));
      this.#missing.length = 0;
      const made = attempt(make);
      if (this.#missing.length === 0) return made;
      wanted = this.#missing.splice(0);
    }
  }
}

type Made<T> = { readonly value: T } | { readonly failure: unknown };

function attempt<T>(make: () => T): Made<T> {
  try {
    return { value: make() };
  } catch (failure) {
    return { failure };
  }
}

/** A digest of an earlier version does not count where a node that knows no digests has written the state since. */
export const stateColumns = `a.type, a.id, a.version, a.state,
  CASE WHEN a.digest_version < a.version AND EXISTS (SELECT 1 FROM portcullis.events AS e
    WHERE e.aggregate_type = a.type AND e.aggregate_id = a.id AND e.sequence = a.version)
  THEN NULL ELSE a.digest END AS digest`;
const selectAggregates = `SELECT ${stateColumns} FROM unnest($1::text[], $2::text[]) AS wanted (type, id)
  JOIN portcullis.aggregates a ON a.type = wanted.type AND a.id = wanted.id`;
const selectHolders = `SELECT k.kind, k.value, ${stateColumns} FROM unnest($1::text[], $2::text[]) AS wanted (kind, value)
  JOIN portcullis.keys k ON k.kind = wanted.kind AND k.value = wanted.value
  JOIN portcullis.aggregates a ON a.type = k.aggregate_type AND a.id = k.aggregate_id`;
const selectRecords = `SELECT r.kind, r.id, r.value, r.expires_at FROM unnest($1::text[], $2::text[]) AS wanted (kind, id)
  JOIN portcullis.records r ON r.kind = wanted.kind AND r.id = wanted.id`;

/** A row of `stateColumns`, as the driver gives it. */
export type StateRow = Omit<StoredState, "version"> & { readonly version: string };

export const toStoredState = (row: StateRow): StoredState => ({
  ...row,
  id: fromText(row.id),
  version: Number(row.version),
});

async function fetch(client: ClientBase, wanted: readonly Read[], source: StateSource): Promise<Loaded> {
  const refs = unique(
    wanted.filter((read): read is AggregateRef => !isUniqueKey(read) && !isRecordRef(read)),
    nameOfRef,
  );
  const keys = unique(wanted.filter(isUniqueKey), nameOfUniqueKey);
  const recordRefs = unique(wanted.filter(isRecordRef), nameOfRecord);
  const [aggregates, holders, records] = await Promise.all([
    query<StateRow>(
      client,
      selectAggregates,
      refs.map(({ type, id }) => [type, id]),
    ),
    query<StateRow & UniqueKey>(
      client,
      selectHolders,
      keys.map(({ kind, value }) => [kind, value]),
    ),
    query<RecordRow>(
      client,
      selectRecords,
      recordRefs.map(({ record, id }) => [record, id]),
    ),
  ]);
  const found = [...aggregates, ...holders].map((row) => {
    const stored = toStoredState(row);
    return { ref: toRef(stored), snapshot: orDamaged(() => toSnapshot(stored, source)) };
  });
  const names = new Set(found.map(({ ref }) => nameOfRef(ref)));
  const absent = refs
    .filter((ref) => !names.has(nameOfRef(ref)))
    .map((ref) => ({ ref, snapshot: { ref, version: 0, state: undefined } }));
  const holderOf = new Map(holders.map((row) => [`${row.kind}:${fromText(row.value)}`, toRef(toStoredState(row))]));
  const recordOf = new Map(
    records.map((row) => [
      nameOfRecord({ record: row.kind, id: fromText(row.id) }),
      orDamaged(() => toRecord(row, source.name)),
    ]),
  );
  return {
    aggregates: [...found, ...absent],
    holders: keys.map((key) => ({ key, holder: holderOf.get(nameOfUniqueKey(key)) })),
    records: recordRefs.map((ref: RecordRef) => ({ ref, record: recordOf.get(nameOfRecord(ref)) })),
  };
}

function orDamaged<T>(make: () => T): T | Damaged {
  try {
    return make();
  } catch (error) {
    if (error instanceof StoreError) return new Damaged(error);
    throw error;
  }
}

async function query<Row extends object>(
  client: ClientBase,
  sql: string,
  pairs: readonly (readonly [string, string])[],
): Promise<readonly Row[]> {
  if (pairs.length === 0) return [];
  const columns = [pairs.map(([kind]) => kind), pairs.map(([, name]) => toText(name))];
  return (await client.query<Row>(sql, columns)).rows;
}

function unique<T>(all: readonly T[], nameOf: (one: T) => string): readonly T[] {
  return [...new Map(all.map((one) => [nameOf(one), one])).values()];
}

const toRef = ({ type, id }: StoredState): AggregateRef => ({ type: type as AggregateType, id });

type RecordRow = Record<"kind" | "id" | "value", string> & { readonly expires_at: string | null };

function toRecord({ kind, value, expires_at: end }: RecordRow, name: string): StoreRecord {
  try {
    return { value: parseJson(value), ...(end !== null && { expiresAt: Number(end) }) };
  } catch (error) {
    const problem = `A record of kind ${kind} in the store ${name} is damaged`;
    throw new StoreError("corrupt", `${problem}. Remove it, or restore the store from a backup.`, error);
  }
}
