import type { ClientBase } from "pg";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import { StoreError } from "../errors.ts";
import { CachedMoment, Damaged, type Loaded } from "../shared/cached-moment.ts";
import { type StateSource, type StoredState, toRecord, toSnapshot } from "../shared/stored-rows.ts";
import { isRecordRef, isUniqueKey, nameOfRecord, nameOfRef, nameOfUniqueKey } from "../shared/view.ts";
import type { AggregateRef, Read } from "../store.ts";
import { type Head, isSameRevision, type Revision } from "./head.ts";
import { fromText, toText } from "./text.ts";

/** What was fetched of one moment, over connections that see that moment. Nothing else can be loaded of it. */
export class FetchedMoment extends CachedMoment {
  /** Undefined where nothing is known of it. */
  revision: Revision | undefined;
  readonly #source: StateSource;

  constructor(source: StateSource) {
    super({ load: notFetched, findHolder: notFetched, loadRecord: notFetched });
    this.#source = source;
  }

  /** Moves to the moment of this head, and forgets what was fetched where that is another one. */
  moveTo({ revision, ...head }: Head): void {
    if (this.revision !== undefined && isSameRevision(this.revision, revision)) return;
    this.revision = revision;
    this.startOver(head);
  }

  /** Fetches what is not in memory yet. What is damaged fails those who load it, and not this. */
  async fetch(client: ClientBase, reads: readonly Read[]): Promise<void> {
    const wanted = reads.filter((read) => !this.holds(read));
    if (wanted.length > 0) this.add(await select(client, wanted, this.#source));
  }
}

function notFetched(): never {
  throw new Error("this was not fetched");
}

/** A digest of an earlier version does not count: a node that knows no digests has written the state since. */
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

/** Sends one query for each sort of read, all at once. */
async function select(client: ClientBase, wanted: readonly Read[], source: StateSource): Promise<Loaded> {
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
      orDamaged(() => toRecord({ ...row, expiresAt: row.expires_at === null ? null : Number(row.expires_at) }, source)),
    ]),
  );
  return {
    aggregates: [...found, ...absent],
    holders: keys.map((key) => ({ key, holder: holderOf.get(nameOfUniqueKey(key)) })),
    records: recordRefs.map((ref) => ({ ref, record: recordOf.get(nameOfRecord(ref)) })),
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
