import type { StoreError } from "../errors.ts";
import { type BatchContext, type DecidedBatch, decideBatch, type Writes } from "../shared/batch.ts";
import { CachedMoment } from "../shared/cached-moment.ts";
import type { Transactions } from "../shared/commit-queue.ts";
import type { Rows } from "../shared/written-rows.ts";
import type { Command } from "../store.ts";
import { toStoreError } from "./errors.ts";
import type { Reader } from "./reader.ts";
import { retryWhileBusy } from "./retry.ts";
import type { Writer } from "./writer.ts";

interface Options extends Omit<BatchContext, "committed"> {
  readonly reader: Reader;
  readonly writer: Writer;
  readonly name: string;
  readonly busyTimeoutMs: number;
}

/** Decides on the event loop what the writer then writes. */
export class SqliteTransactions implements Transactions {
  readonly #options: Options;
  /** What is committed, as long as no one else writes: a transaction seldom has to read. */
  readonly #committed: CachedMoment;
  #isCurrent = false;
  #isUntouched = false;

  constructor(options: Options) {
    this.#options = options;
    this.#committed = new CachedMoment(options.reader);
  }

  async begin(): Promise<void> {
    const { isUntouched } = await this.#options.writer.begin();
    this.#isUntouched = isUntouched;
  }

  async decide(commands: readonly Command<unknown>[]): Promise<DecidedBatch> {
    this.#committed.trim();
    if (!this.#isUntouched || !this.#isCurrent) {
      const { reader, busyTimeoutMs } = this.#options;
      // No one else writes now, so all that is read is of one moment.
      this.#committed.startOver(await retryWhileBusy(() => reader.newest(), { limitMs: busyTimeoutMs }));
      this.#isCurrent = true;
    }
    return decideBatch(commands, { ...this.#options, committed: this.#committed });
  }

  commit(rows: Rows): Promise<void> {
    return this.#options.writer.commit(rows);
  }

  rollback(): Promise<void> {
    return this.#options.writer.rollback();
  }

  ended(writes: Writes | undefined): void {
    if (writes === undefined) this.#isCurrent = false;
    else this.#committed.advance(writes);
  }

  toStoreError(error: unknown): StoreError {
    return toStoreError(error, this.#options.name);
  }
}
