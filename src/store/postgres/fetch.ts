import type { ClientBase } from "pg";
import type { AggregateType } from "../../policy/events.ts";
import type { Key } from "../../policy/states.ts";
import { CachedMoment, type Loaded } from "../cached-moment.ts";
import { StoreError } from "../errors.ts";
import type { AggregateRef, Read, RecordRef, Snapshot } from "../store.ts";
import { isKey, isRecordRef, nameOfKey, nameOfRecord, nameOfRef } from "../view.ts";
import { ReadOnlyServer } from "./errors.ts";
import { fromText, toText } from "./text.ts";

/** How far the store is. */
export interface Head {
  readonly position: number;
  readonly recordedAt: number;
  readonly moment: MomentId;
}

/**
 * Tells a moment of the store from all others. The count alone does not: after a failover that lost commits, or a restore, other
 * commits make the same count again. Neither does the id: nodes of a version before it count, and leave it as it is.
 */
export interface MomentId {
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
  const moment = { commits: Number(row.commits), commitId: row.commit_id };
  return { position: Number(row.position), recordedAt: Number(row.recorded_at), moment };
}

/** Thrown where a decision or a view needs what was not fetched yet. */
class NotFetched extends Error {}

/**
 * What was fetched of one moment. A query takes a way to the server and back, and decisions do not wait: what they miss is
 * noted, fetched, and they are made again.
 */
export class FetchedMoment extends CachedMoment {
  /** Undefined where nothing is known of it. */
  moment: MomentId | undefined;
  readonly #missing: Read[];

  constructor() {
    const missing: Read[] = [];
    const miss = (read: Read): never => {
      missing.push(read);
      throw new NotFetched("not fetched");
    };
    super({ load: miss, findHolder: miss, loadRecord: miss });
    this.#missing = missing;
  }

  /** Makes what is fetched that of another moment, where it is another. */
  moveTo(head: Head): void {
    const { commits, commitId } = head.moment;
    if (commits === this.moment?.commits && commitId === this.moment.commitId) return;
    this.moment = head.moment;
    this.startOver(head);
  }

  /**
   * What `make` comes to, its failure included, once everything that it asks for is fetched, over a connection that sees this
   * very moment. `reads` is what is known of that before. Rejects where something cannot be fetched.
   */
  async complete<T>(client: ClientBase, reads: readonly Read[], make: () => T): Promise<Made<T>> {
    let wanted = reads.filter((read) => !this.holds(read));
    for (;;) {
      if (wanted.length > 0) this.add(await fetch(client, wanted));
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

const aggregateColumns = "a.type, a.id, a.version, a.state";
const selectAggregates = `SELECT ${aggregateColumns} FROM unnest($1::text[], $2::text[]) AS wanted (type, id)
  JOIN portcullis.aggregates a ON a.type = wanted.type AND a.id = wanted.id`;
const selectHolders = `SELECT k.kind, k.value, ${aggregateColumns} FROM unnest($1::text[], $2::text[]) AS wanted (kind, value)
  JOIN portcullis.keys k ON k.kind = wanted.kind AND k.value = wanted.value
  JOIN portcullis.aggregates a ON a.type = k.aggregate_type AND a.id = k.aggregate_id`;
const selectRecords = `SELECT r.kind, r.id, r.value, r.expires_at FROM unnest($1::text[], $2::text[]) AS wanted (kind, id)
  JOIN portcullis.records r ON r.kind = wanted.kind AND r.id = wanted.id`;

interface AggregateRow {
  readonly type: string;
  readonly id: string;
  readonly version: string;
  readonly state: string;
}

async function fetch(client: ClientBase, wanted: readonly Read[]): Promise<Loaded> {
  const refs = unique(
    wanted.filter((read): read is AggregateRef => !isKey(read) && !isRecordRef(read)),
    nameOfRef,
  );
  const keys = unique(wanted.filter(isKey), nameOfKey);
  const recordRefs = unique(wanted.filter(isRecordRef), nameOfRecord);
  const [aggregates, holders, records] = await Promise.all([
    query<AggregateRow>(
      client,
      selectAggregates,
      refs.map(({ type, id }) => [type, id]),
    ),
    query<AggregateRow & Key>(
      client,
      selectHolders,
      keys.map(({ kind, value }) => [kind, value]),
    ),
    query<Record<"kind" | "id" | "value", string> & { readonly expires_at: string | null }>(
      client,
      selectRecords,
      recordRefs.map(({ record, id }) => [record, id]),
    ),
  ]);
  const snapshots = new Map(
    [...aggregates, ...holders].map((row) => toSnapshot(row)).map((one) => [nameOfRef(one.ref), one]),
  );
  const holderOf = new Map(holders.map((row) => [`${row.kind}:${fromText(row.value)}`, toRef(row)]));
  const found = new Map(
    records.map(({ kind, id, value, expires_at: end }) => {
      const record = {
        value: parse(value, `A record of kind ${kind}`),
        ...(end !== null && { expiresAt: Number(end) }),
      };
      return [nameOfRecord({ record: kind, id: fromText(id) }), record];
    }),
  );
  for (const ref of refs) {
    const name = nameOfRef(ref);
    if (!snapshots.has(name)) snapshots.set(name, { ref, version: 0, state: undefined });
  }
  return {
    aggregates: [...snapshots.values()],
    holders: keys.map((key) => ({ key, holder: holderOf.get(nameOfKey(key)) })),
    records: recordRefs.map((ref: RecordRef) => ({ ref, record: found.get(nameOfRecord(ref)) })),
  };
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

const toRef = ({ type, id }: Pick<AggregateRow, "type" | "id">): AggregateRef => ({
  type: type as AggregateType,
  id: fromText(id),
});

export function toSnapshot(row: AggregateRow): Snapshot {
  const ref = toRef(row);
  const state = parse(row.state, `The state of ${ref.type} ${ref.id}`) as Snapshot["state"];
  return { ref, version: Number(row.version), state };
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new StoreError(
      "corrupt",
      `${what} is damaged. Rebuild the projection, or restore the store from a backup.`,
      error,
    );
  }
}
