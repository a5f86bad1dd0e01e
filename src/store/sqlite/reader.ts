import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { AggregateType } from "../../domain/events.ts";
import { NotHeld, type Writes } from "../shared/batch.ts";
import { CachedMoment } from "../shared/cached-moment.ts";
import type { StateSource } from "../shared/read-rows.ts";
import { collectView } from "../shared/view.ts";
import type { AggregateRef, Read, ReadOptions, View } from "../store.ts";
import { isFinished } from "./finish.ts";
import { Loader, prepare, row } from "./load.ts";
import type { Place } from "./writer.ts";

/** A cache that has missed more events than this starts over. */
const maxMissed = 1000;

/**
 * Reads what is committed. What was read stays in memory: it advances over the process's own commits, and where others committed, it forgets
 * what their events changed. SQLite tells whether anyone committed, in some microseconds.
 */
export class Reader {
  /** What is in memory. It loads the rest only within `atNewest`. */
  readonly moment: CachedMoment;
  /** Whether no process of an older version can write, as far as is known. */
  isFinished = false;
  readonly #db: DatabaseSync;
  readonly loader: Loader;
  #recordCommits = 0;
  #rebuilds = 0;
  #seenCommits: number | undefined;
  #isCurrent = false;
  #isReading = false;
  readonly #statements: Record<"begin" | "commit" | "head" | "commits" | "touched", StatementSync>;

  constructor(db: DatabaseSync, source: StateSource) {
    this.#db = db;
    this.loader = new Loader(db, source);
    this.#statements = {
      begin: prepare(db, "BEGIN"),
      commit: prepare(db, "COMMIT"),
      commits: prepare(db, "PRAGMA data_version"),
      head: prepare(db, "SELECT record_commits, rebuilds FROM head"),
      touched: prepare(db, "SELECT DISTINCT aggregate_type, aggregate_id FROM events WHERE position > ?"),
    };
    this.moment = new CachedMoment({
      load: (ref) => this.#mayLoad([ref]).load(ref),
      findHolder: (key) => this.#mayLoad([key]).findHolder(key),
      loadRecord: (ref) => this.#mayLoad([ref]).loadRecord(ref),
    });
  }

  /** Where the moment in memory is. */
  get place(): Place {
    return { position: this.moment.position, recordCommits: this.#recordCommits };
  }

  /** Checks whether what is in memory is still what is committed. */
  look(): boolean {
    this.#isCurrent = this.#seenCommits !== undefined && this.#commits() === this.#seenCommits;
    return this.#isCurrent;
  }

  /** As of the last look, or later. */
  read(reads: readonly Read[], follow?: ReadOptions["follow"]): View {
    const known = this.#isCurrent ? this.moment.view(reads, follow) : undefined;
    return known ?? this.atNewest(() => collectView(reads, this.moment, follow));
  }

  /** Does work on the moment in memory; undefined where that is not enough for it. */
  inMemory<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (error instanceof NotHeld) return undefined;
      throw error;
    }
  }

  /** Brings the moment in memory to what is committed now, and does work that may load more of it. */
  atNewest<T>(work: () => T): T {
    this.moment.trim();
    this.#statements.begin.run();
    try {
      this.#catchUp();
      this.#isReading = true;
      return work();
    } finally {
      this.#isReading = false;
      // Where reading failed, SQLite may have ended the transaction already.
      if (this.#db.isTransaction) this.#statements.commit.run();
    }
  }

  /** After a commit of this process: brings the moment in memory to it, if the moment is the one before. */
  advance(writes: Writes, { from, to }: { readonly from: Place; readonly to: Place }): void {
    if (from.position !== this.moment.position || from.recordCommits !== this.#recordCommits) return;
    this.moment.advance(writes);
    this.#recordCommits = to.recordCommits;
  }

  /** Looks at the store again before the next read. SQLite does not count what this very connection wrote. */
  doubt(): void {
    this.#seenCommits = undefined;
    this.#isCurrent = false;
  }

  #mayLoad(reads: readonly Read[]): Loader {
    if (!this.#isReading) throw new NotHeld(reads);
    return this.loader;
  }

  #catchUp(): void {
    const commits = this.#commits();
    const newest = this.loader.newest();
    const [recordCommits = 0, rebuilds = 0] = row<[number, number]>(this.#statements.head) ?? [];
    const missed = newest.position - this.moment.position;
    // An older version of this program does not count its commits.
    const areCounted = this.isFinished || commits === this.#seenCommits;
    this.isFinished ||= isFinished(this.#db);
    if (!areCounted || rebuilds !== this.#rebuilds || missed < 0 || missed > maxMissed) {
      this.moment.startOver(newest);
    } else {
      if (missed > 0) this.moment.moveTo(newest, this.#touchedAfter(this.moment.position));
      if (recordCommits !== this.#recordCommits) this.moment.forgetRecords();
    }
    this.#recordCommits = recordCommits;
    this.#rebuilds = rebuilds;
    this.#seenCommits = commits;
    this.#isCurrent = true;
  }

  #touchedAfter(position: number): AggregateRef[] {
    const rows = this.#statements.touched.all(position) as unknown as [AggregateType, string][];
    return rows.map(([type, id]) => ({ type, id }));
  }

  close(): void {
    this.#db.close();
  }

  #commits(): number {
    return row<[number]>(this.#statements.commits)?.[0] as number;
  }
}
