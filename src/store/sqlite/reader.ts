import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import { CachedMoment } from "../shared/cached-moment.ts";
import { type StateSource, type StoredState, toRecord, toSnapshot } from "../shared/read-rows.ts";
import { collectView } from "../shared/view.ts";
import type { AggregateRef, Read, ReadOptions, RecordRef, Snapshot, StoreRecord, View } from "../store.ts";
import { toStoreError } from "./errors.ts";

/**
 * Reads what is committed. Everything read stays in memory until any connection commits. SQLite counts commits, those of other
 * processes included, and the count costs some microseconds to read.
 */
export class Reader {
  readonly #db: DatabaseSync;
  readonly #source: StateSource;
  readonly #cached: CachedMoment;
  #seenCommits: number | undefined;
  #isCurrent = false;
  readonly #statements: Record<
    "begin" | "commit" | "newest" | "commits" | "aggregate" | "holder" | "record" | "list",
    StatementSync
  >;

  constructor(db: DatabaseSync, source: StateSource) {
    this.#db = db;
    this.#source = source;
    this.#statements = {
      begin: prepare(db, "BEGIN"),
      commit: prepare(db, "COMMIT"),
      commits: prepare(db, "PRAGMA data_version"),
      newest: prepare(db, "SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1"),
      aggregate: prepare(db, `${selectStates} WHERE type = ? AND id = ?`),
      holder: prepare(db, "SELECT aggregate_type, aggregate_id FROM keys WHERE kind = ? AND value = ?"),
      record: prepare(db, "SELECT value, expires_at FROM records WHERE kind = ? AND id = ?"),
      list: prepare(db, `${selectStates} WHERE type = ? ORDER BY id`),
    };
    this.#cached = new CachedMoment(this);
  }

  /** Checks whether what is in memory is still what is committed. */
  look(): void {
    this.#isCurrent = this.#seenCommits !== undefined && this.#commits() === this.#seenCommits;
  }

  /** As of the last look, or later. */
  read(reads: readonly Read[], follow?: ReadOptions["follow"]): View {
    const known = this.#isCurrent ? this.#cached.view(reads, follow) : undefined;
    if (known !== undefined) return known;
    this.#cached.trim();
    this.#statements.begin.run();
    try {
      const commits = this.#commits();
      if (commits !== this.#seenCommits) this.#cached.startOver(this.newest());
      this.#seenCommits = commits;
      this.#isCurrent = true;
      return collectView(reads, this.#cached, follow);
    } finally {
      // Where reading failed, SQLite may have ended the transaction already.
      if (this.#db.isTransaction) this.#statements.commit.run();
    }
  }

  /** Where the store is now: a cache starts from this. */
  newest(): { readonly position: number; readonly recordedAt: number } {
    const [position = 0, recordedAt = 0] = row<[number, number]>(this.#statements.newest) ?? [];
    return { position, recordedAt };
  }

  load(ref: AggregateRef): Snapshot {
    return this.#translated(() => {
      const found = row<StateRow>(this.#statements.aggregate, ref.type, ref.id);
      return found
        ? toSnapshot(toStoredState(found), this.#source)
        : { ref, version: 0, position: 0, state: undefined };
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

  list<T extends AggregateType>(type: T): Snapshot<T>[] {
    const rows = this.#statements.list.all(type) as unknown as StateRow[];
    return rows.map((found) => toSnapshot(toStoredState(found), this.#source) as Snapshot<T>);
  }

  /** Forgets what was read, after a write on this very connection, which SQLite does not count. */
  forget(): void {
    this.#seenCommits = undefined;
    this.#isCurrent = false;
  }

  close(): void {
    this.#db.close();
  }

  #commits(): number {
    return row<[number]>(this.#statements.commits)?.[0] as number;
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

type StateRow = [
  type: string,
  id: string,
  version: number,
  state: string,
  digest: string | null,
  position: number | null,
  positionVersion: number | null,
];

const toStoredState = (row: StateRow): StoredState => {
  const [type, id, version, state, digest, position, positionVersion] = row;
  return { type, id, version, state, digest, position, positionVersion };
};

function prepare(db: DatabaseSync, sql: string): StatementSync {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}

function row<Row extends readonly unknown[]>(statement: StatementSync, ...values: SQLInputValue[]): Row | undefined {
  return statement.get(...values) as unknown as Row | undefined;
}
