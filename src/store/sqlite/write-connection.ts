import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { isBesideEvents, type Rows } from "../shared/written-rows.ts";
import { commit } from "./commit.ts";
import type { Place } from "./writer.ts";

/** More than one, so that expired records become fewer; and few, so that no commit is long. */
const removedPerPut = 4;

/** Writes rows on one connection. Its methods block the thread and throw the driver's errors. */
export class WriteConnection {
  readonly #db: DatabaseSync;
  readonly #newest: StatementSync;
  readonly #recordCommits: StatementSync;
  readonly #insertEvent: StatementSync;
  readonly #putAggregate: StatementSync;
  readonly #freeKey: StatementSync;
  readonly #takeKey: StatementSync;
  readonly #removeRecord: StatementSync;
  readonly #putRecord: StatementSync;
  readonly #removeExpired: StatementSync;
  readonly #countRecordCommit: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#newest = db.prepare("SELECT max(position) AS position FROM events");
    this.#recordCommits = db.prepare("SELECT record_commits AS recordCommits FROM head");
    // Columns are named, so that this program can still write beside a newer one that has added a column.
    this.#insertEvent = db.prepare(
      "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor, previous, " +
        "append_position, cause) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#putAggregate = db.prepare(
      "INSERT INTO aggregates (type, id, version, state, digest, position, digest_version, position_version) " +
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?3, ?3) ON CONFLICT (type, id) DO UPDATE SET version = ?3, state = ?4, " +
        "digest = ?5, position = ?6, digest_version = ?3, position_version = ?3",
    );
    this.#freeKey = db.prepare(
      "DELETE FROM keys WHERE kind = ? AND value = ? AND aggregate_type = ? AND aggregate_id = ?",
    );
    this.#takeKey = db.prepare("INSERT INTO keys (kind, value, aggregate_type, aggregate_id) VALUES (?, ?, ?, ?)");
    this.#removeRecord = db.prepare("DELETE FROM records WHERE kind = ? AND id = ?");
    this.#putRecord = db.prepare("INSERT OR REPLACE INTO records (kind, id, value, expires_at) VALUES (?, ?, ?, ?)");
    this.#removeExpired = db.prepare(
      "DELETE FROM records WHERE (kind, id) IN " +
        `(SELECT kind, id FROM records WHERE expires_at <= ? ORDER BY expires_at LIMIT ${removedPerPut})`,
    );
    this.#countRecordCommit = db.prepare("UPDATE head SET record_commits = ?, rebuilds = rebuilds + ?");
  }

  begin(): void {
    this.#db.exec("BEGIN IMMEDIATE");
  }

  /** Whether the store is there, in the transaction that has begun. */
  isAt({ position, recordCommits }: Place): boolean {
    return (this.#newest.get()?.["position"] ?? 0) === position && this.#readRecordCommits() === recordCommits;
  }

  #readRecordCommits(): number {
    return this.#recordCommits.get()?.["recordCommits"] as number;
  }

  /** Writes rows, and ends the transaction, as `commit` does. */
  commit(rows: Rows): void {
    try {
      this.write(rows);
      commit(this.#db);
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  /** Writes rows, and leaves the transaction open. */
  write(rows: Rows): void {
    const before = isBesideEvents(rows) ? this.#readRecordCommits() : undefined;
    if (rows.replacesProjection) this.#db.exec("DELETE FROM aggregates; DELETE FROM keys");
    if (rows.removesRecords) this.#db.exec("DELETE FROM records");
    runEach(this.#insertEvent, rows.events);
    runEach(this.#putAggregate, rows.aggregates);
    runEach(this.#freeKey, rows.freedKeys);
    runEach(this.#takeKey, rows.takenKeys);
    runEach(this.#removeRecord, rows.removedRecords);
    for (const row of rows.putRecords) {
      this.#putRecord.run(...row);
      this.#removeExpired.run(rows.now);
    }
    // As one, whatever the triggers counted: the place after a commit is known before it.
    if (before !== undefined) this.#countRecordCommit.run(before + 1, rows.replacesProjection ? 1 : 0);
  }

  get isInTransaction(): boolean {
    return this.#db.isTransaction;
  }

  rollback(): void {
    // After some errors, such as a full disk, SQLite has ended the transaction already.
    if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
  }

  /** Brings the log into the file, as far as readers and other processes allow. */
  checkpoint(): void {
    this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  }

  /** After how many pages in the log SQLite makes a checkpoint by itself; 0: never. */
  setAutoCheckpoint(pages: number): void {
    this.#db.exec(`PRAGMA wal_autocheckpoint = ${pages}`);
  }

  close(): void {
    this.#db.close();
  }
}

function runEach(statement: StatementSync, rows: readonly (readonly SQLInputValue[])[]): void {
  for (const row of rows) statement.run(...row);
}
