import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientBase } from "pg";
import { StoreError } from "../errors.ts";
import { type BatchContext, type DecidedBatch, decideBatch, isEmpty, NotHeld } from "../shared/batch.ts";
import type { Transactions } from "../shared/commit-queue.ts";
import type { Rows } from "../shared/written-rows.ts";
import type { Command } from "../store.ts";
import { longRun, patient, setLimits } from "./begin.ts";
import { atOnceMs, type Connection, type Database, retryIfLost } from "./database.ts";
import { isLost, toStoreError } from "./errors.ts";
import { FetchedMoment } from "./fetch.ts";
import { type Head, readHead } from "./head.ts";
import { type Statement, toStatements } from "./statements.ts";

interface Options extends Omit<BatchContext, "before"> {
  readonly database: Database;
  /** How long a lost commit is looked for, in milliseconds. */
  readonly outcomeTimeoutMs: number;
}

const retryMs = 100;

/**
 * Writes one transaction at a time among all nodes: each begins by locking the head row, which gives positions without gaps in the order
 * of the commits. Each commit writes its number to its writer's row, to be found there where the connection is lost before the answer.
 */
export class PostgresTransactions implements Transactions {
  readonly #options: Options;
  /** What is committed, as long as no other node writes. */
  readonly #committed: FetchedMoment;
  readonly #writerId = randomUUID();
  #lastCommit = 0;
  #lastCommitId = "";
  #connection: Connection | undefined;
  #head: Head | undefined;
  /** Whether the transaction that has begun has the limits of a long run. */
  #isLong = false;
  /** The commit that is on its way, or the search for it. */
  #committing: Promise<void> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
    this.#committed = new FetchedMoment({ name: options.database.name, projection: options.projection });
  }

  decideAhead(): undefined {
    return undefined;
  }

  async commitAhead(): Promise<boolean> {
    throw new Error("nothing was decided ahead");
  }

  async begin(): Promise<void> {
    try {
      this.#head = await retryIfLost(() => this.#lockHead());
    } catch (error) {
      throw toStoreError(error, this.#options.database.name);
    }
  }

  async #lockHead(): Promise<Head> {
    // Another connection was lost: this one would only find that out after a wait.
    if (this.#connection?.isCurrent() === false) this.#drop(this.#connection, new Error("not current"));
    if (this.#connection === undefined) {
      await this.#untilKnown();
      this.#connection = await this.#options.database.connect();
    }
    const connection = this.#connection;
    const { client } = connection;
    const { database } = this.#options;
    const started = performance.now();
    this.#isLong = false;
    try {
      const begun = client.query(database.beginWrite());
      const [head] = await Promise.all([readHead(client, "FOR UPDATE"), begun]);
      const waitedMs = performance.now() - started;
      // Each statement may wait for a lock, but those who wait for all of them should not wait several times as long.
      if (waitedMs > atOnceMs) {
        const leftMs = Math.max(atOnceMs, Math.round(database.limits.statementMs - waitedMs));
        await client.query(setLimits({ ...database.limits, statementMs: leftMs }));
      }
      return head;
    } catch (error) {
      this.#drop(connection, error);
      throw error;
    }
  }

  /**
   * Waits for the search for a lost commit, which takes the lock as well. It usually ends at once, and no one waits for a search that
   * takes longer.
   */
  async #untilKnown(): Promise<void> {
    const { name } = this.#options.database;
    await within(
      atOnceMs,
      this.#committing.catch(() => {}),
    ).catch((cause: unknown) => {
      throw new StoreError(
        "unavailable",
        `The store ${name} was lost while it committed, and is being looked for.`,
        cause,
      );
    });
  }

  async decide(commands: readonly Command<unknown>[]): Promise<DecidedBatch> {
    const { client } = this.#begun();
    const committed = this.#committed;
    committed.moveToHead(this.#head as Head);
    committed.trim();
    await committed.fetch(
      client,
      commands.flatMap(({ reads }) => reads),
    );
    for (;;) {
      try {
        return decideBatch(commands, { ...this.#options, before: committed });
      } catch (error) {
        if (!(error instanceof NotHeld)) throw error;
        await committed.fetch(client, error.reads);
      }
    }
  }

  /** Gives the transaction that has begun the limits of a long run. Resolves to its connection. */
  async lengthen(): Promise<ClientBase> {
    const { client } = this.#begun();
    await client.query(setLimits(longRun));
    this.#isLong = true;
    return client;
  }

  commit(rows: Rows): Promise<void> {
    const committing = this.#commit(rows);
    this.#committing = committing;
    return committing;
  }

  async #commit(rows: Rows): Promise<void> {
    const connection = this.#begun();
    const { client } = connection;
    const number = this.#lastCommit + 1;
    this.#lastCommit = number;
    this.#lastCommitId = randomUUID();
    const writer = { id: this.#writerId, number, commitId: this.#lastCommitId };
    const sent = [...toStatements(rows, { head: this.#head as Head, writer }), { text: "COMMIT", values: [] }];
    const isLong = this.#isLong || rows.removesRecords;
    const toQuery = ({ text, values }: Statement) => (isLong ? patient(text, values) : { text, values: [...values] });
    const answers = await Promise.allSettled(sent.map((statement) => client.query(toQuery(statement))));
    const [first] = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason as unknown] : []));
    const last = answers.at(-1);
    // A transaction that failed answers COMMIT with ROLLBACK.
    if (last?.status === "fulfilled" && last.value.command === "COMMIT") return;
    if (answers.some((answer) => answer.status === "rejected" && isLost(answer.reason))) {
      this.#drop(connection, first);
      return this.#findOutcome(number, first);
    }
    throw first ?? new Error(`the server answered COMMIT with ${last?.status === "fulfilled" && last.value.command}`);
  }

  /** Resolves where the commit is found. Rejects with `conflict` where it never happened. */
  async #findOutcome(number: number, cause: unknown): Promise<void> {
    const { database, outcomeTimeoutMs } = this.#options;
    const until = performance.now() + outcomeTimeoutMs;
    for (;;) {
      try {
        if (await within(until - performance.now(), this.#isThere(number))) return;
      } catch {
        if (performance.now() + retryMs >= until) {
          const text = `The store ${database.name} was lost while it committed, and cannot be asked whether it did.`;
          throw new StoreError("outcome_unknown", text, cause);
        }
        await sleep(retryMs);
        continue;
      }
      throw new StoreError("conflict", `The connection to the store ${database.name} was lost each time.`, cause);
    }
  }

  #isThere(number: number): Promise<boolean> {
    const { database } = this.#options;
    return database.use(async (client) => {
      const begun = client.query(database.beginWrite());
      // With the lock, the lost transaction can no longer be under way.
      await Promise.all([begun, readHead(client, "FOR UPDATE")]);
      const { rows } = await client.query<{ last_commit: string }>(
        "SELECT last_commit FROM portcullis.writers WHERE id = $1",
        [this.#writerId],
      );
      await client.query("COMMIT");
      return Number(rows[0]?.last_commit) === number;
    });
  }

  async rollback(): Promise<void> {
    const connection = this.#connection;
    try {
      await connection?.client.query("ROLLBACK");
    } catch (error) {
      if (connection !== undefined) this.#drop(connection, error);
    }
  }

  ended(written: DecidedBatch | undefined): void {
    const { revision } = this.#committed;
    const writes = written?.writes;
    if (writes === undefined || revision === undefined) {
      this.#committed.revision = undefined;
    } else if (!isEmpty(writes)) {
      this.#committed.advance(writes);
      this.#committed.revision = { commits: revision.commits + 1, commitId: this.#lastCommitId };
    }
  }

  toStoreError(error: unknown): StoreError {
    return toStoreError(error, this.#options.database.name);
  }

  close(): void {
    this.#connection?.release();
    this.#connection = undefined;
  }

  #begun(): Connection {
    if (this.#connection !== undefined) return this.#connection;
    throw new StoreError("unavailable", `The connection to the store ${this.#options.database.name} was lost.`);
  }

  /** Once: several statements may fail with one connection. */
  #drop(connection: Connection, error: unknown): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    connection.release(error ?? new Error("lost"));
  }
}

/** Rejects after the limit. The work goes on by itself. */
function within<T>(limitMs: number, working: Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new Error(`there was no answer in ${Math.round(limitMs)} ms`)), limitMs);
  working.then(resolve, reject).finally(() => clearTimeout(timer));
  return promise;
}
