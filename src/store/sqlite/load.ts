import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import type { Loads } from "../shared/cached-moment.ts";
import { type StateSource, type StoredState, toRecord, toSnapshot } from "../shared/read-rows.ts";
import type { AggregateRef, RecordRef, Snapshot, StoreRecord } from "../store.ts";
import { toStoreError } from "./errors.ts";

/** Loads states, holders of keys and records over a connection, as of the transaction that it has begun. */
export class Loader implements Loads {
  readonly #source: StateSource;
  readonly #statements: Record<"newest" | "aggregate" | "holder" | "record", StatementSync>;

  constructor(db: DatabaseSync, source: StateSource) {
    this.#source = source;
    this.#statements = {
      newest: prepare(db, "SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1"),
      aggregate: prepare(db, `${selectStates} WHERE type = ? AND id = ?`),
      holder: prepare(db, "SELECT aggregate_type, aggregate_id FROM keys WHERE kind = ? AND value = ?"),
      record: prepare(db, "SELECT value, expires_at FROM records WHERE kind = ? AND id = ?"),
    };
  }

  /** The newest event. */
  newest(): { readonly position: number; readonly recordedAt: number } {
    const [position = 0, recordedAt = 0] = row<[number, number]>(this.#statements.newest) ?? [];
    return { position, recordedAt };
  }

  load(ref: AggregateRef): Snapshot {
    return this.#translated(() => {
      const found = row<StateRow>(this.#statements.aggregate, ref.type, ref.id);
      if (found === undefined) return { ref, version: 0, position: 0, state: undefined };
      return toSnapshot(toStoredState(found), this.#source);
    });
  }

  findHolder(key: UniqueKey): AggregateRef | undefined {
    return this.#translated(() => {
      const found = row<[AggregateType, string]>(this.#statements.holder, key.kind, key.value);
      return found && { type: found[0], id: found[1] };
    });
  }

  loadRecord(ref: RecordRef): StoreRecord | undefined {
    return this.#translated(() => {
      const found = row<[string, number | null]>(this.#statements.record, ref.record, ref.id);
      return found && toRecord({ kind: ref.record, value: found[0], expiresAt: found[1] }, this.#source);
    });
  }

  /** Commands read too while they are decided, and must fail with a StoreError. */
  #translated<T>(load: () => T): T {
    try {
      return load();
    } catch (error) {
      throw toStoreError(error, this.#source.name);
    }
  }
}

/**
 * A digest of an earlier version does not count where a process of an older version has written the state since. That cannot be once its
 * index is gone; then a row like that is damaged.
 */
export const selectStates = `SELECT type, id, version, state,
    CASE WHEN digest_version < version AND EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_autoindex_events_1')
      AND EXISTS (SELECT 1 FROM events AS e
        WHERE e.aggregate_type = aggregates.type AND e.aggregate_id = aggregates.id AND e.sequence = aggregates.version)
    THEN NULL ELSE digest END AS digest,
    position, position_version AS positionVersion
  FROM aggregates`;

export type StateRow = [
  type: string,
  id: string,
  version: number,
  state: string,
  digest: string | null,
  position: number | null,
  positionVersion: number | null,
];

export const toStoredState = (row: StateRow): StoredState => {
  const [type, id, version, state, digest, position, positionVersion] = row;
  return { type, id, version, state, digest, position, positionVersion };
};

export function prepare(db: DatabaseSync, sql: string): StatementSync {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}

export function row<Row extends readonly unknown[]>(
  statement: StatementSync,
  ...values: SQLInputValue[]
): Row | undefined {
  return statement.get(...values) as unknown as Row | undefined;
}
