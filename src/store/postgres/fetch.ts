import type { ClientBase } from "pg";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import { NotHeld } from "../shared/batch.ts";
import { CachedMoment, orDamaged } from "../shared/cached-moment.ts";
import { type StateSource, type StoredState, toRecord, toSnapshot } from "../shared/read-rows.ts";
import { isRecordRef, isUniqueKey } from "../shared/view.ts";
import type { AggregateRef, Read, RecordRef } from "../store.ts";
import { sequenceIndex } from "./migrations.ts";
import { fromText, toText } from "./text.ts";

/** What was fetched of one moment, over connections that see that moment. Nothing else can be loaded of it. */
export class FetchedMoment extends CachedMoment {
  readonly #source: StateSource;

  constructor(source: StateSource) {
    super({ load: notHeld, findHolder: notHeld, loadRecord: notHeld });
    this.#source = source;
  }

  /** Fetches what is not in memory yet, with one query for each sort of read. What is damaged fails those who load it, and not this. */
  async fetch(client: ClientBase, reads: readonly Read[]): Promise<void> {
    const wanted = reads.filter((read) => !this.holds(read));
    const refs = wanted.filter((read): read is AggregateRef => !isUniqueKey(read) && !isRecordRef(read));
    const keys = wanted.filter(isUniqueKey);
    const recordRefs = wanted.filter(isRecordRef);
    const [states, holders, records] = await Promise.all([
      query<StateRow, AggregateRef>(client, selectAggregates, refs, ({ type, id }) => [type, id]),
      query<StateRow & UniqueKey, UniqueKey>(client, selectHolders, keys, ({ kind, value }) => [kind, value]),
      query<RecordRow, RecordRef>(client, selectRecords, recordRefs, ({ record, id }) => [record, id]),
    ]);
    // What has no row is not there.
    for (const ref of refs) this.putAggregate(ref, { ref, version: 0, position: 0, state: undefined });
    for (const key of keys) this.putHolder(key, undefined);
    for (const ref of recordRefs) this.putRecord(ref, undefined);
    for (const row of [...states, ...holders]) {
      this.putAggregate(
        toRef(row),
        orDamaged(() => toSnapshot(toStoredState(row), this.#source)),
      );
    }
    for (const row of holders) this.putHolder({ kind: row.kind, value: fromText(row.value) }, toRef(row));
    for (const { kind, id, value, expires_at: end } of records) {
      const stored = { kind, value, expiresAt: end === null ? null : Number(end) };
      this.putRecord(
        { record: kind, id: fromText(id) },
        orDamaged(() => toRecord(stored, this.#source)),
      );
    }
  }
}

function notHeld(read: Read): never {
  throw new NotHeld([read]);
}

/**
 * A digest of an earlier version does not count where a node of an older version has written the state since. That cannot be once its
 * index is gone; then a row like that is damaged. Pages are read outside of a transaction too, so it names every schema.
 */
export const stateColumns = `a.type, a.id, a.version, a.state,
  CASE WHEN a.digest_version OPERATOR(pg_catalog.<) a.version
    AND pg_catalog.to_regclass('portcullis.${sequenceIndex}') IS NOT NULL
    AND EXISTS (SELECT 1 FROM portcullis.events AS e WHERE e.aggregate_type OPERATOR(pg_catalog.=) a.type
      AND e.aggregate_id OPERATOR(pg_catalog.=) a.id AND e.sequence OPERATOR(pg_catalog.=) a.version)
  THEN NULL ELSE a.digest END AS digest,
  a.position, a.position_version AS "positionVersion"`;
const selectAggregates = `SELECT ${stateColumns} FROM unnest($1::text[], $2::text[]) AS wanted (type, id)
  JOIN portcullis.aggregates a ON a.type = wanted.type AND a.id = wanted.id`;
const selectHolders = `SELECT k.kind, k.value, ${stateColumns} FROM unnest($1::text[], $2::text[]) AS wanted (kind, value)
  JOIN portcullis.keys k ON k.kind = wanted.kind AND k.value = wanted.value
  JOIN portcullis.aggregates a ON a.type = k.aggregate_type AND a.id = k.aggregate_id`;
const selectRecords = `SELECT r.kind, r.id, r.value, r.expires_at FROM unnest($1::text[], $2::text[]) AS wanted (kind, id)
  JOIN portcullis.records r ON r.kind = wanted.kind AND r.id = wanted.id`;

/** A row of `stateColumns`, as the driver gives it. */
export type StateRow = Pick<StoredState, "type" | "id" | "state" | "digest"> & { readonly version: string } & Readonly<
    Record<"position" | "positionVersion", string | null>
  >;
type RecordRow = Record<"kind" | "id" | "value", string> & { readonly expires_at: string | null };

export const toStoredState = (row: StateRow): StoredState => ({
  ...row,
  id: fromText(row.id),
  version: Number(row.version),
  position: toNumber(row.position),
  positionVersion: toNumber(row.positionVersion),
});

/** The driver gives whole numbers as text. */
export const toNumber = (value: string | null): number | null => (value === null ? null : Number(value));

const toRef = ({ type, id }: StateRow): AggregateRef => ({ type: type as AggregateType, id: fromText(id) });

async function query<Row extends object, R>(
  client: ClientBase,
  sql: string,
  reads: readonly R[],
  toPair: (read: R) => readonly [kind: string, name: string],
): Promise<readonly Row[]> {
  if (reads.length === 0) return [];
  // Many commands read the same.
  const pairs = [...new Map(reads.map(toPair).map((pair) => [pair.join(":"), pair])).values()];
  const columns = [pairs.map(([kind]) => kind), pairs.map(([, name]) => toText(name))];
  return (await client.query<Row>(sql, columns)).rows;
}
