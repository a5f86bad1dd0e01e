import type { StoreError } from "../errors.ts";
import { type BatchContext, type DecidedBatch, decideBatch } from "../shared/batch.ts";
import type { Transactions } from "../shared/commit-queue.ts";
import type { Rows } from "../shared/written-rows.ts";
import type { Command } from "../store.ts";
import { toStoreError } from "./errors.ts";
import type { Reader } from "./reader.ts";
import { retryWhileBusy } from "./retry.ts";
import type { Place, Writer } from "./writer.ts";

interface Options extends Omit<BatchContext, "before"> {
  readonly reader: Reader;
  readonly writer: Writer;
  readonly name: string;
  readonly busyTimeoutMs: number;
}

export interface Decided extends DecidedBatch {
  /** Where the store must be when it is written. */
  readonly from: Place;
  /** Where it is then. */
  readonly to: Place;
  /** Whether it was decided on a batch that was on its way. */
  readonly follows: boolean;
}

/** Decides on the event loop, over what the reader keeps in memory, what the writer then writes. */
export class SqliteTransactions implements Transactions<Decided> {
  readonly hasBegunAfterFalse = true;
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  decideAhead(commands: readonly Command<unknown>[], onItsWay: Decided | undefined): Decided | undefined {
    const { reader } = this.#options;
    // An older process may have changed records, which the place does not show.
    if (!reader.isFinished) return undefined;
    const decide = () => this.#decide(commands, onItsWay);
    // Without a look at the file: the writer compares anyway, and others seldom write.
    return reader.inMemory(decide) ?? reader.atNewest(decide);
  }

  commitAhead({ from, follows }: Decided, rows: Rows | undefined): Promise<boolean> {
    return this.#options.writer.commitAhead({ rows, from, follows });
  }

  begin(): Promise<void> {
    return this.#options.writer.begin();
  }

  async decide(commands: readonly Command<unknown>[]): Promise<Decided> {
    const { reader, busyTimeoutMs } = this.#options;
    // No one else writes now, so what is read is of the moment that is written on.
    const decide = () => reader.atNewest(() => this.#decide(commands, undefined));
    return retryWhileBusy(decide, { limitMs: busyTimeoutMs });
  }

  #decide(commands: readonly Command<unknown>[], onItsWay: Decided | undefined): Decided {
    const { reader } = this.#options;
    const from = onItsWay?.to ?? reader.place;
    const decided = decideBatch(commands, { ...this.#options, before: onItsWay?.after ?? reader.moment });
    const { events, records } = decided.writes;
    const recordCommits = from.recordCommits + (records.length > 0 ? 1 : 0);
    const to = { position: events.at(-1)?.position ?? from.position, recordCommits };
    return { ...decided, from, to, follows: onItsWay !== undefined };
  }

  commit(rows: Rows): Promise<void> {
    return this.#options.writer.commit(rows);
  }

  rollback(): Promise<void> {
    return this.#options.writer.rollback();
  }

  ended(written: Decided | undefined): void {
    const { reader } = this.#options;
    if (written === undefined) reader.doubt();
    else reader.advance(written.writes, written);
  }

  toStoreError(error: unknown): StoreError {
    return toStoreError(error, this.#options.name);
  }
}
