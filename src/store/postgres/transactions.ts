import { randomUUID } from "node:crypto";
import type { ClientBase, QueryResult } from "pg";
import { StoreError } from "../errors.ts";
import { type BatchContext, type DecidedBatch, decideBatch, isEmpty, NotHeld } from "../shared/batch.ts";
import { LostCommit, type Transactions } from "../shared/commit-queue.ts";
import type { Moment } from "../shared/view.ts";
import type { Rows } from "../shared/written-rows.ts";
import type { Command } from "../store.ts";
import { longRun, patient, setLimits } from "./begin.ts";
import type { CommittedMoment, OwnCommit } from "./committed.ts";
import { atOnceMs, type Connection, type Database, inOnePacket, isElsewhere, retryIfLost } from "./database.ts";
import { isLost, isReadOnly, toStoreError } from "./errors.ts";
import { type Head, isSameRevision, type News, type Revision, readNews, readRevision } from "./head.ts";
import { LostCommits } from "./lost-commits.ts";
import { changeBy, headAfter, moveHead, removeOldWriters, toRowStatements } from "./statements.ts";

interface Options extends Omit<BatchContext, "before"> {
  readonly database: Database;
  readonly committed: CommittedMoment;
  /** How long a lost commit is looked for, in milliseconds. */
  readonly outcomeTimeoutMs: number;
}

export type Decided = DecidedBatch & OwnCommit;

/**
 * Writes one transaction at a time among all nodes: each begins by locking the head row, which gives positions without gaps in the order
 * of the commits. A batch that was decided ahead is sent as a whole, and writes nothing where it finds another head than expected. Each
 * commit writes its number to its writer's row, to be found there where the connection is lost before the answer.
 */
export class PostgresTransactions implements Transactions<Decided> {
  readonly hasBegunAfterFalse = false;
  readonly #options: Options;
  readonly #committed: CommittedMoment;
  readonly #writerId = randomUUID();
  readonly #lostCommits: LostCommits;
  #lastCommit = 0;
  #connection: Connection | undefined;
  /** Of the transaction that has begun. */
  #head: Head | undefined;
  #decided: Decided | undefined;
  /** Whether it has the limits of a long run. */
  #isLong = false;
  /** After the last transaction that locked the head. */
  #left: Revision | undefined;
  /** Whether no other node wrote between the last two. Where others write all the time, nothing is decided ahead: it would be in vain. */
  #isAlone = true;

  constructor(options: Options) {
    this.#options = options;
    this.#committed = options.committed;
    const { database, outcomeTimeoutMs } = options;
    this.#lostCommits = new LostCommits({ database, writerId: this.#writerId, limitMs: outcomeTimeoutMs });
  }

  decideAhead(commands: readonly Command<unknown>[], onItsWay: Decided | undefined): Decided | undefined {
    const committed = this.#committed;
    if (committed.head === undefined || !this.#isAlone || this.#connection?.isCurrent() !== true) return undefined;
    const on = onItsWay === undefined ? { from: committed.head, before: committed } : afterOf(onItsWay);
    try {
      return this.#decide(commands, on);
    } catch (error) {
      if (error instanceof NotHeld) return undefined;
      throw error;
    }
  }

  #decide(
    commands: readonly Command<unknown>[],
    { from, before }: { readonly from: Head; readonly before: Moment },
  ): Decided {
    const decided = decideBatch(commands, { ...this.#options, before });
    const { writes } = decided;
    if (isEmpty(writes)) return { ...decided, from, to: from };
    const change = { last: writes.events.at(-1), isBesideEvents: writes.records.length > 0 };
    return { ...decided, from, to: headAfter(from, change, randomUUID()) };
  }

  async commitAhead(decided: Decided, rows: Rows | undefined): Promise<boolean> {
    const connection = this.#begun();
    if (rows === undefined) return this.#isAt(connection, decided.from);
    return this.#write(decided, rows, this.#options.database.beginWrite());
  }

  /** Whether the store is there. False where that cannot be told over this connection. */
  async #isAt(connection: Connection, { revision }: Head): Promise<boolean> {
    const started = performance.now();
    try {
      return isSameRevision(await readRevision(connection.client), revision);
    } catch (error) {
      this.#drop(connection, error);
      if (isElsewhere(error, started)) return false;
      throw error;
    }
  }

  async begin(): Promise<void> {
    try {
      const news = await retryIfLost(() => this.#lockHead());
      this.#committed.follow(news);
      this.#head = news.head;
      this.#decided = undefined;
      this.#isAlone = this.#left === undefined || isSameRevision(this.#left, news.head.revision);
      this.#left = news.head.revision;
    } catch (error) {
      throw toStoreError(error, this.#options.database.name);
    }
  }

  async #lockHead(): Promise<News> {
    // Another connection was lost: this one would only find that out after a wait.
    if (this.#connection?.isCurrent() === false) this.#drop(this.#connection, new Error("not current"));
    if (this.#connection === undefined) {
      await this.#lostCommits.untilKnown();
      this.#connection = await this.#options.database.connect();
    }
    const connection = this.#connection;
    const { client } = connection;
    const { database } = this.#options;
    const started = performance.now();
    this.#isLong = false;
    try {
      const [, news] = await inOnePacket(client, () =>
        Promise.all([client.query(database.beginWrite()), readNews(client, this.#committed.head, "FOR UPDATE")]),
      );
      const waitedMs = performance.now() - started;
      // Each statement may wait for a lock, but those who wait for all of them should not wait several times as long.
      if (waitedMs > atOnceMs) {
        const leftMs = Math.max(atOnceMs, Math.round(database.limits.statementMs - waitedMs));
        await client.query(setLimits({ ...database.limits, statementMs: leftMs }));
      }
      return news;
    } catch (error) {
      this.#drop(connection, error);
      throw error;
    }
  }

  async decide(commands: readonly Command<unknown>[]): Promise<Decided> {
    const { client } = this.#begun();
    const committed = this.#committed;
    const head = this.#head as Head;
    committed.trim();
    let missing = commands.flatMap(({ reads }) => reads);
    for (;;) {
      // Reads share the moment, and may have moved it by an answer of another server.
      while (!committed.isAt(head.revision)) committed.follow(await readNews(client, committed.head));
      const { fetched, keep } = committed.fetching(head);
      await fetched.fetch(
        client,
        missing.filter((read) => !committed.holds(read)),
      );
      keep();
      if (!committed.isAt(head.revision)) continue;
      try {
        this.#decided = this.#decide(commands, { from: head, before: committed });
        return this.#decided;
      } catch (error) {
        if (!(error instanceof NotHeld)) throw error;
        missing = [...error.reads];
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

  async commit(rows: Rows): Promise<void> {
    const from = this.#head as Head;
    const commit = this.#decided ?? { from, to: headAfter(from, changeBy(rows), randomUUID()) };
    if (await this.#write(commit, rows)) return;
    const { name } = this.#options.database;
    throw new StoreError("conflict", `The head of the store ${name} was changed in spite of its lock.`);
  }

  /** Sends all of a commit at once. Resolves to false where the head is another one than expected. */
  async #write(commit: Pick<Decided, "from" | "to"> & Partial<Decided>, rows: Rows, begin?: string): Promise<boolean> {
    const connection = this.#begun();
    const { client } = connection;
    const number = ++this.#lastCommit;
    const numbered = { from: commit.from, to: commit.to, writer: { id: this.#writerId, number } };
    const own = commit.writes && { from: commit.from, to: commit.to, writes: commit.writes };
    if (own !== undefined) this.#committed.expect(own);

    const move = moveHead(numbered, rows.now);
    const isLong = begin === undefined && this.#isLong;
    const send = (text: string, values: readonly unknown[] = []): Promise<QueryResult | QueryResult[]> =>
      client.query(isLong ? patient(text, values) : { text, values: [...values] });
    const statements = toRowStatements(rows, commit.to.revision.commitId);
    if (number === 1) statements.push(removeOldWriters(rows.now));
    const sent = inOnePacket(client, () => [
      // One message: where no transaction begins, the head does not move, and then nothing is written.
      send(begin === undefined ? move : `${begin}; ${move}`),
      ...statements.map(({ text, values }) => send(text, values)),
      send("COMMIT"),
    ]);
    const answers = await Promise.allSettled(sent);
    const failures = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason as unknown] : []));
    const isWritten = failures.length === 0 && resultOf(answers[0])?.rowCount === 1;
    if (own !== undefined) this.#committed.settle(own, isWritten);
    if (isWritten) this.#left = commit.to.revision;
    const [first] = failures;
    if (first === undefined) return isWritten;
    if (failures.some(isLost)) {
      this.#drop(connection, first);
      this.#committed.forget();
      throw new LostCommit(this.#lostCommits.find(number, first));
    }
    if (begin === undefined || !isReadOnly(first)) throw first;
    // A pooler led to another server.
    this.#drop(connection, first);
    return false;
  }

  async rollback(): Promise<void> {
    const connection = this.#connection;
    try {
      await connection?.client.query("ROLLBACK");
    } catch (error) {
      if (connection !== undefined) this.#drop(connection, error);
    }
  }

  /** What was written is known here since its answer. */
  ended(written: Decided | undefined): void {
    if (written === undefined) this.#committed.forget();
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

const afterOf = ({ to, after }: Decided) => ({ from: to, before: after });

/** Of the last statement, where several were sent as one. */
function resultOf(answer: PromiseSettledResult<QueryResult | QueryResult[]> | undefined): QueryResult | undefined {
  if (answer?.status !== "fulfilled") return undefined;
  return Array.isArray(answer.value) ? answer.value.at(-1) : answer.value;
}
