import type { StoreError } from "../errors.ts";
import type { Command, CommandResult } from "../store.ts";
import { type DecidedBatch, type Ending, isEmpty, type Writes } from "./batch.ts";
import { type Rows, toRows } from "./written-rows.ts";

/** Bounds how long one batch keeps the event loop. */
const maxBatch = 256;
/** Once is enough where a lock keeps other writers out. This bounds the rest. */
const maxAttempts = 5;
/** A failure after more than this means that the store does not answer. */
const silentMs = 1000;

interface Waiting {
  readonly command: Command<unknown>;
  attempts: number;
  readonly resolve: (result: CommandResult<unknown>) => void;
  readonly reject: (error: unknown) => void;
}

/** Makes the rows of a transaction without commands; undefined where it has written them. No one else writes meanwhile. */
type Rewrite = () => Promise<Rows | undefined>;
interface WaitingRewrite {
  readonly rewrite: Rewrite;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Called after each commit of commands, with how many shared it. */
export type CommitListener = (commands: number) => void;

/** How an engine writes: one transaction at a time, during which no one else writes. */
export interface Transactions {
  /** Resolves when no one else can write until `commit` or `rollback`. The commit before may still be on its way. */
  begin(): Promise<void>;
  /** Decides commands in the transaction that has begun, once the one before has ended. */
  decide(commands: readonly Command<unknown>[]): Promise<DecidedBatch>;
  /** Resolves when the rows are on disk. Where it rejects, none of them is, unless the error says otherwise. */
  commit(rows: Rows): Promise<void>;
  rollback(): Promise<void>;
  /** Called with what was written; undefined where that is not known or the transaction failed. */
  ended(writes: Writes | undefined): void;
  toStoreError(error: unknown): StoreError;
}

/**
 * Group commit: the commands that arrive while a transaction is being written share the next one. A turn begins a transaction,
 * decides the waiting commands, and sends the rows. The next turn then begins at once, so that the writer need not wait.
 */
export class CommitQueue {
  readonly #transactions: Transactions;
  readonly #onCommit: CommitListener | undefined;
  #waiting: (Waiting | WaitingRewrite)[] = [];
  #turnWanted = false;
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(transactions: Transactions, onCommit?: CommitListener) {
    this.#transactions = transactions;
    this.#onCommit = onCommit;
  }

  execute(command: Command<unknown>): Promise<CommandResult<unknown>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command, attempts: 0, resolve, reject });
      this.#wantTurn();
    });
  }

  rewrite(rewrite: Rewrite): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rewrite, resolve, reject });
      this.#wantTurn();
    });
  }

  /** Resolves when everything that was queued has ended. */
  async drain(): Promise<void> {
    for (let awaited: Promise<void> | undefined; awaited !== this.#lastTurn; ) {
      awaited = this.#lastTurn;
      await awaited;
    }
  }

  #wantTurn(): void {
    if (this.#turnWanted || this.#waiting.length === 0) return;
    this.#turnWanted = true;
    this.#lastTurn = this.#takeTurn(this.#lastTurn);
  }

  async #takeTurn(turnBefore: Promise<void>): Promise<void> {
    try {
      await this.#transactions.begin();
      await turnBefore;
    } catch (error) {
      // All that wait, and at once: the store takes no writes now, whatever becomes of the commit before.
      for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
      this.#turnWanted = false;
      await turnBefore;
      return;
    }
    const [first] = this.#waiting;
    if (first !== undefined && "rewrite" in first) {
      this.#waiting.shift();
      await this.#runRewrite(first);
    } else {
      await this.#runCommands(this.#takeCommands());
    }
  }

  #takeCommands(): Waiting[] {
    const others = this.#waiting.findIndex((waiting) => "rewrite" in waiting || waiting.attempts > 0);
    // A command that failed goes alone: where it always fails, those that shared its commit succeed.
    const count = others === 0 ? 1 : others === -1 ? maxBatch : Math.min(others, maxBatch);
    return this.#waiting.splice(0, count) as Waiting[];
  }

  async #runCommands(batch: readonly Waiting[]): Promise<void> {
    const commands = batch.map(({ command }) => command);
    try {
      const { endings, writes } = await this.#transact(async () => {
        const decided = await this.#transactions.decide(commands);
        return { ...decided, rows: isEmpty(decided.writes) ? undefined : toRows(decided.writes) };
      });
      this.#transactions.ended(writes);
      if (!isEmpty(writes)) this.#onCommit?.(batch.length);
      // Refusals are answered after the commit as well: they may rest on a command before them in the batch.
      for (const [index, waiting] of batch.entries()) settle(waiting, endings[index]);
    } catch (error) {
      this.#transactions.ended(undefined);
      const failure = this.#transactions.toStoreError(error);
      const again = failure.code === "conflict" ? batch.filter((waiting) => ++waiting.attempts < maxAttempts) : [];
      for (const waiting of batch) if (!again.includes(waiting)) waiting.reject(failure);
      this.#waiting.unshift(...again);
      this.#wantTurn();
    }
  }

  async #runRewrite({ rewrite, resolve, reject }: WaitingRewrite): Promise<void> {
    try {
      await this.#transact(async () => ({ rows: await rewrite() }));
      resolve();
    } catch (error) {
      reject(this.#transactions.toStoreError(error));
    } finally {
      this.#transactions.ended(undefined);
    }
  }

  /**
   * Ends the transaction that has begun: commits the rows, or rolls back where there are none or making them fails. The next turn
   * begins before this commit is on disk.
   */
  async #transact<T extends { readonly rows: Rows | undefined }>(make: () => Promise<T>): Promise<T> {
    const transactions = this.#transactions;
    const started = performance.now();
    let made: T;
    try {
      made = await make();
    } catch (error) {
      const ended = transactions.rollback();
      if (performance.now() - started > silentMs) this.#rejectUnavailable(error);
      this.#endTurn();
      await ended.catch(() => {}); // The first failure says more.
      throw error;
    }
    const ended = made.rows === undefined ? transactions.rollback() : transactions.commit(made.rows);
    this.#endTurn();
    await ended;
    return made;
  }

  /** Those behind would wait as long again for a store that does not answer. */
  #rejectUnavailable(error: unknown): void {
    const failure = this.#transactions.toStoreError(error);
    if (failure.code !== "unavailable") return;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(failure);
  }

  #endTurn(): void {
    this.#turnWanted = false;
    this.#wantTurn();
  }
}

function settle(waiting: Waiting, ending: Ending | undefined): void {
  if (ending?.kind === "done") waiting.resolve(ending.result);
  else waiting.reject(ending?.error);
}
