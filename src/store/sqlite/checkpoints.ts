import { realpathSync, statSync } from "node:fs";
import type { WriteConnection } from "./write-connection.ts";

/** SQLite checkpoints in the commit that makes the log this long: its default. */
const autoCheckpointPages = 1000;
/** Of a page with its header in the log. */
const loggedPageBytes = 4096 + 24;

const lookEveryMs = 5_000;

/** The size of the write-ahead log of the store at a path. It does not shrink at once when the log starts over. */
export function measureLog(path: string): number {
  try {
    // SQLite follows symbolic links before it names the log.
    return statSync(`${realpathSync(path)}-wal`).size;
  } catch {
    // There is none, or the store is gone, as reads then say.
    return 0;
  }
}

/**
 * Notices when checkpoints fail. SQLite makes one in the commit that makes the log too long, and ignores its errors. So this makes one
 * itself now and then, which costs little beside those. It blocks the thread.
 */
export class Checkpoints {
  readonly #path: string;
  readonly #report: (failure: unknown) => void;
  #lookedAt = performance.now();
  #fails = false;

  /** `report` gets the error of every attempt that fails, and undefined at the first one afterwards that does not. */
  constructor(path: string, report: (failure: unknown) => void) {
    this.#path = path;
    this.#report = report;
  }

  /** Call it after every transaction. */
  look(connection: WriteConnection): void {
    const now = performance.now();
    if (now - this.#lookedAt < lookEveryMs) return;
    this.#lookedAt = now;
    if (!this.#fails && measureLog(this.#path) < autoCheckpointPages * loggedPageBytes) return;
    try {
      connection.checkpoint();
    } catch (error) {
      this.#fails = true;
      // Each commit would try again, and write a longer log each time.
      connection.setAutoCheckpoint(0);
      this.#report(error);
      return;
    }
    if (!this.#fails) return;
    this.#fails = false;
    connection.setAutoCheckpoint(autoCheckpointPages);
    this.#report(undefined);
  }
}
