import type { StoreError } from "../errors.ts";
import type { Command, CommandResult } from "../store.ts";
import { type DecidedBatch, type Ending, isEmpty } from "./batch.ts";
import { NotJson, type Rows, toRows } from "./written-rows.ts";

/** Bounds how long one batch keeps the event loop. */
const maxBatch = 256;
/**
 * Where a commit takes less than this, a batch is decided while the one before it is written, and many commands make two batches, so that
 * both threads work at once (`bench/suites/writes.ts`). Where it takes longer, the disk is what all wait for: then all share a commit.
 */
const quickMs = 1;
const minHalved = 16;
/** Once is enough where a lock keeps other writers out. This bounds the rest. */
const maxAttempts = 5;
/** A failure after more than this means that the store does not answer, or another process holds a lock. */
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

/** A batch that was sent, and has not been answered. */
interface Sent<Decided> {
  readonly batch: readonly Waiting[];
  readonly decided: Decided;
  readonly sentAt: number;
}

/** The connection was lost in the middle of a commit, and what became of that is being looked for. */
export class LostCommit extends Error {
  /** Resolves where it was made. Rejects with a StoreError: `conflict` where it was not and never will be, `outcome_unknown`. */
  readonly outcome: Promise<void>;

  constructor(outcome: Promise<void>) {
    super("the connection was lost in the middle of a commit");
    this.outcome = outcome;
  }
}

interface WithRows<Decided> {
  readonly decided: Decided;
  /** Undefined where there is nothing to write. */
  readonly rows: Rows | undefined;
}

/** Called after each commit of commands, with how many shared it, and the position of the newest event after it. */
export type CommitListener = (commands: number, position: number) => void;

/** How an engine writes: one transaction at a time, during which no one else writes. */
export interface Transactions<Decided extends DecidedBatch = DecidedBatch> {
  /**
   * Decides commands without a transaction, on what is in memory and on the batch that is on its way. Undefined where they need one: what
   * they read is not in memory, or others write so often that it would be in vain.
   */
  decideAhead(commands: readonly Command<unknown>[], onItsWay: Decided | undefined): Decided | undefined;
  /**
   * Writes a batch that was decided ahead, if nothing but what it was decided on is committed. Resolves to true when the rows are on disk,
   * also where there are none; to false where others wrote, or where the batch before it was not written. Batches are written in the order
   * of the calls. Where it rejects, nothing is written, unless the error says otherwise. May reject with LostCommit, which says later.
   */
  commitAhead(decided: Decided, rows: Rows | undefined): Promise<boolean>;
  /** Whether a transaction has begun where `commitAhead` resolves to false. */
  readonly hasBegunAfterFalse: boolean;
  /** Resolves when no one else can write until `commit` or `rollback`. */
  begin(): Promise<void>;
  /** Decides commands in the transaction that has begun. */
  decide(commands: readonly Command<unknown>[]): Promise<Decided>;
  /** Resolves when the rows are on disk. Where it rejects, none of them is, unless the error says otherwise. May reject with LostCommit. */
  commit(rows: Rows): Promise<void>;
  rollback(): Promise<void>;
  /** Called with what was written; undefined where that is not known or the transaction failed. */
  ended(written: Decided | undefined): void;
  toStoreError(error: unknown): StoreError;
}

/**
 * Group commit: the commands that arrive while a batch is being written share the next one. A batch is decided ahead, on what is in memory,
 * and the writer compares what it was decided on. Where others wrote meanwhile, it is decided again in a transaction that keeps them out.
 */
export class CommitQueue<Decided extends DecidedBatch> {
  readonly #transactions: Transactions<Decided>;
  readonly #onCommit: CommitListener | undefined;
  #waiting: (Waiting | WaitingRewrite)[] = [];
  #onTheWay: Sent<Decided>[] = [];
  /** The transaction that keeps all others out. */
  #alone: Promise<void> | undefined;
  /** How many commits are looked for. No one else waits for that. */
  #lookedFor = 0;
  #isQuick = false;
  #isScheduled = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(transactions: Transactions<Decided>, onCommit?: CommitListener) {
    this.#transactions = transactions;
    this.#onCommit = onCommit;
  }

  execute(command: Command<unknown>): Promise<CommandResult<unknown>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command, attempts: 0, resolve, reject });
      this.#schedule();
    });
  }

  rewrite(rewrite: Rewrite): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rewrite, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when everything that was queued has ended. */
  async drain(): Promise<void> {
    if (this.#isIdle()) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  #isIdle(): boolean {
    return this.#waiting.length + this.#onTheWay.length + this.#lookedFor === 0 && this.#alone === undefined;
  }

  /** Once for all commands of one turn of the event loop. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#takeTurn();
    });
  }

  #takeTurn(): void {
    while (this.#waiting.length > 0 && this.#alone === undefined && this.#onTheWay.length < (this.#isQuick ? 2 : 1)) {
      const isFree = this.#onTheWay.length === 0;
      const [first] = this.#waiting;
      if (first !== undefined && "rewrite" in first) {
        if (!isFree) return;
        this.#waiting.shift();
        this.#runAlone(() => this.#runRewrite(first));
        return;
      }
      const batch = this.#takeCommands();
      const ahead = this.#decideAhead(batch);
      if (ahead !== undefined) this.#send(batch, ahead);
      else if (isFree) this.#runAlone(() => this.#runCommands(batch, { hasBegun: false }));
      else {
        this.#waiting.unshift(...batch);
        return;
      }
    }
    if (this.#isIdle()) {
      this.#idle?.resolve();
      this.#idle = undefined;
    }
  }

  #takeCommands(): Waiting[] {
    const others = this.#waiting.findIndex((waiting) => "rewrite" in waiting || waiting.attempts > 1);
    const ready = others === -1 ? this.#waiting.length : others;
    const share = this.#isQuick && this.#onTheWay.length === 0 && ready >= minHalved ? Math.ceil(ready / 2) : ready;
    // A command that failed twice goes alone: where it always fails, those that shared its commit succeed. The first time, it may have been
    // the connection, and then all of them share a commit again.
    return this.#waiting.splice(0, Math.max(1, Math.min(share, maxBatch))) as Waiting[];
  }

  #decideAhead(batch: readonly Waiting[]): WithRows<Decided> | undefined {
    try {
      const decided = this.#transactions.decideAhead(
        batch.map(({ command }) => command),
        this.#onTheWay.at(-1)?.decided,
      );
      return decided && withRows(decided);
    } catch {
      // In a transaction, it fails again, or not.
      return undefined;
    }
  }

  #send(batch: readonly Waiting[], { decided, rows }: WithRows<Decided>): void {
    const sent: Sent<Decided> = { batch, decided, sentAt: performance.now() };
    this.#onTheWay.push(sent);
    this.#transactions.commitAhead(decided, rows).then(
      (isWritten) => {
        if (!this.#onTheWay.includes(sent)) return;
        this.#isQuick = performance.now() - sent.sentAt < quickMs;
        if (isWritten) this.#onTheWay.shift();
        else this.#takeBack();
        if (isWritten) this.#settle(batch, decided);
        else this.#runAlone(() => this.#runCommands(batch, { hasBegun: this.#transactions.hasBegunAfterFalse }));
        this.#schedule();
      },
      (error: unknown) => {
        if (!this.#onTheWay.includes(sent)) return;
        if (error instanceof LostCommit) {
          // Those after it are lost as well, and each is looked for.
          this.#onTheWay.shift();
          this.#awaitOutcome(error, { batch, decided });
        } else {
          this.#takeBack();
          this.#fail(batch, { error, startedAt: sent.sentAt });
        }
        this.#schedule();
      },
    );
  }

  #awaitOutcome(
    { outcome }: LostCommit,
    { batch, decided }: { readonly batch: readonly Waiting[]; readonly decided: Decided },
  ): void {
    const startedAt = performance.now();
    this.#lookedFor += 1;
    outcome
      .then(
        () => this.#settle(batch, decided),
        (error: unknown) => this.#fail(batch, { error, startedAt }),
      )
      .finally(() => {
        this.#lookedFor -= 1;
        this.#schedule();
      });
  }

  /** The first that is on its way was not written, so those after it will not be: they wait again. */
  #takeBack(): void {
    const [, ...after] = this.#onTheWay.splice(0);
    this.#waiting.unshift(...after.flatMap(({ batch }) => batch));
  }

  #runAlone(run: () => Promise<void>): void {
    this.#alone = run().finally(() => {
      this.#alone = undefined;
      this.#schedule();
    });
  }

  async #runCommands(batch: readonly Waiting[], { hasBegun }: { readonly hasBegun: boolean }): Promise<void> {
    const startedAt = performance.now();
    let decided: Decided | undefined;
    try {
      await this.#transact(hasBegun, async () => {
        const made = withRows(await this.#transactions.decide(batch.map(({ command }) => command)));
        decided = made.decided;
        return made.rows;
      });
      if (decided !== undefined) this.#settle(batch, decided);
    } catch (error) {
      if (error instanceof LostCommit && decided !== undefined) this.#awaitOutcome(error, { batch, decided });
      else this.#fail(batch, { error, startedAt });
    }
  }

  async #runRewrite({ rewrite, resolve, reject }: WaitingRewrite): Promise<void> {
    const startedAt = performance.now();
    try {
      await this.#transact(false, rewrite).catch((error: unknown) => {
        if (!(error instanceof LostCommit)) throw error;
        return error.outcome;
      });
      resolve();
    } catch (error) {
      const failure = this.#transactions.toStoreError(error);
      reject(failure);
      this.#rejectBehind(failure, startedAt);
    } finally {
      this.#transactions.ended(undefined);
    }
  }

  /** Begins unless a transaction has begun. Commits the rows, or rolls back where there are none or making them fails. */
  async #transact(hasBegun: boolean, make: () => Promise<Rows | undefined>): Promise<void> {
    const transactions = this.#transactions;
    if (!hasBegun) await transactions.begin();
    let rows: Rows | undefined;
    try {
      rows = await make();
    } catch (error) {
      await transactions.rollback().catch(() => {}); // The first failure says more.
      throw error;
    }
    await (rows === undefined ? transactions.rollback() : transactions.commit(rows));
  }

  /** Refusals are answered after the commit as well: they may rest on a command before them in the batch. */
  #settle(batch: readonly Waiting[], decided: Decided): void {
    this.#transactions.ended(decided);
    this.#onTheWay[0]?.decided.after.forgetBatchBefore();
    if (!isEmpty(decided.writes)) this.#onCommit?.(batch.length, decided.after.position);
    for (const [index, waiting] of batch.entries()) settle(waiting, decided.endings[index]);
  }

  #fail(
    batch: readonly Waiting[],
    { error, startedAt }: { readonly error: unknown; readonly startedAt: number },
  ): void {
    this.#transactions.ended(undefined);
    if (error instanceof NotJson) {
      this.#failAlone(batch, error);
      return;
    }
    const failure = this.#transactions.toStoreError(error);
    const again = failure.code === "conflict" ? batch.filter((waiting) => ++waiting.attempts < maxAttempts) : [];
    for (const waiting of batch) if (!again.includes(waiting)) waiting.reject(failure);
    this.#waiting.unshift(...again);
    this.#rejectBehind(failure, startedAt);
  }

  /** What one of them decided cannot be written. Each goes alone now, and only that one fails. */
  #failAlone(batch: readonly Waiting[], error: NotJson): void {
    if (batch.length === 1) {
      batch[0]?.reject(error);
      return;
    }
    for (const waiting of batch) waiting.attempts += 1;
    this.#waiting.unshift(...batch);
  }

  /** Those behind a failure that took long would wait as long again. */
  #rejectBehind(failure: StoreError, startedAt: number): void {
    if (failure.code !== "unavailable" || performance.now() - startedAt <= silentMs) return;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(failure);
  }
}

function settle(waiting: Waiting, ending: Ending | undefined): void {
  if (ending?.kind === "done") waiting.resolve(ending.result);
  else waiting.reject(ending?.error);
}

const withRows = <Decided extends DecidedBatch>(decided: Decided): WithRows<Decided> => ({
  decided,
  rows: isEmpty(decided.writes) ? undefined : toRows(decided.writes),
});
