import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { temporaryDirectory } from "./processes.ts";

/** More than SQLite gathers before it empties the write-ahead log, which then keeps its size: a log that grows makes each sync dearer. */
const fillBytes = 8 * 1024 * 1024;

/** The least that a durable write can be: a loop in this thread that appends rows of one text to a file of its own. */
export class BareWriter {
  readonly #db: DatabaseSync;
  readonly #append: () => void;

  constructor(row: string) {
    this.#db = new DatabaseSync(join(temporaryDirectory(), "bare.db"));
    // As the store does (`src/store/sqlite/connect.ts`).
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    this.#db.exec("CREATE TABLE rows (position INTEGER PRIMARY KEY, row TEXT NOT NULL) STRICT");
    const insert = this.#db.prepare("INSERT INTO rows (row) VALUES (?)");
    this.#append = () => insert.run(row);
    this.#commit(Math.ceil(fillBytes / row.length));
  }

  /** Empties the file, and writes for so long. Returns rows per second. Blocks the thread. */
  write({ rowsACommit, seconds }: { readonly rowsACommit: number; readonly seconds: number }): number {
    this.#db.exec("DELETE FROM rows; VACUUM");
    const started = performance.now();
    let rows = 0;
    while (performance.now() - started < seconds * 1000) {
      this.#commit(rowsACommit);
      rows += rowsACommit;
    }
    return rows / ((performance.now() - started) / 1000);
  }

  close(): void {
    this.#db.close();
  }

  #commit(rows: number): void {
    this.#db.exec("BEGIN IMMEDIATE");
    for (let row = 0; row < rows; row++) this.#append();
    this.#db.exec("COMMIT");
  }
}
