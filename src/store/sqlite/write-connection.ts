import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { Rows } from "../shared/written-rows.ts";
import { commit } from "./commit.ts";

/** More than one, so that expired records become fewer; and few, so that no commit is long. */
const removedPerPut = 4;

/** Writes rows on one connection. Its methods block the thread and throw the driver's errors. */
export class WriteConnection {
  readonly #db: DatabaseSync;
  #othersCommits: unknown;
  readonly #countOthersCommits: StatementSync;
  readonly #insertEvent: StatementSync;
  readonly #putAggregate: StatementSync;
  readonly #putDigest: StatementSync;
  readonly #freeKey: StatementSync;
  readonly #takeKey: StatementSync;
  readonly #removeRecord: StatementSync;
  readonly #putRecord: StatementSync;
  readonly #removeExpired: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#countOthersCommits = db.prepare("PRAGMA data_version");
    // Columns are named, so that this program can still write beside a newer one that has added a column.
    this.#insertEvent = db.prepare(
      "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#putAggregate = db.prepare(
      "INSERT INTO aggregates (type, id, version, state) VALUES (?, ?, ?, ?) " +
        "ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, state = excluded.state",
    );
    this.#putDigest = db.prepare(
      "INSERT INTO state_digests (type, id, version, digest) VALUES (?, ?, ?, ?) " +
        "ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, digest = excluded.digest",
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
  }

  /** Returns whether no other connection has committed since the last transaction of this one. */
  begin(): boolean {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const seenBefore = this.#othersCommits;
      this.#othersCommits = this.#countOthersCommits.get()?.["data_version"];
      return this.#othersCommits === seenBefore;
    } catch (error) {
      this.rollback();
      throw error;
    }
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
    if (rows.replacesProjection) this.#db.exec("DELETE FROM aggregates; DELETE FROM state_digests; DELETE FROM keys");
    runEach(this.#insertEvent, rows.events);
    for (const [type, id, version, state, digest] of rows.aggregates) {
      this.#putAggregate.run(type, id, version, state);
      this.#putDigest.run(type, id, version, digest);
    }
    runEach(this.#freeKey, rows.freedKeys);
    runEach(this.#takeKey, rows.takenKeys);
    runEach(this.#removeRecord, rows.removedRecords);
    for (const row of rows.putRecords) {
      this.#putRecord.run(...row);
      this.#removeExpired.run(rows.now);
    }
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
