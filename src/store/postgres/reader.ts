import type { PoolClient } from "pg";
import { collectView } from "../shared/view.ts";
import type { Read, ReadOptions, View } from "../store.ts";
import { beginRead } from "./begin.ts";
import type { CommittedMoment } from "./committed.ts";
import { atOnceMs, type Database, inOnePacket, retryIfLost } from "./database.ts";
import { toStoreError } from "./errors.ts";
import { readNews, readRevision } from "./head.ts";

interface Waiting {
  readonly reads: readonly Read[];
  readonly follow: ReadOptions["follow"];
  resolve(view: View): void;
  reject(error: unknown): void;
}

/**
 * Reads what is committed. Everything read stays in memory as long as no commit of any node changes it. Reads that wait share one query
 * for the head, sent after all of them began. One such query is on its way at a time.
 */
export class Reader {
  readonly #database: Database;
  /** At least as late as every view that was given. */
  readonly #moment: CommittedMoment;
  readonly #waiting: Waiting[] = [];
  #serving: Promise<void> | undefined;

  constructor(database: Database, moment: CommittedMoment) {
    this.#database = database;
    this.#moment = moment;
  }

  read(reads: readonly Read[], { follow, seen }: ReadOptions = {}): Promise<View> {
    // The moment in memory is that of `seen`, or a later one.
    const known = seen === undefined ? undefined : this.#view(reads, follow);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ reads, follow, resolve, reject });
      this.#serving ??= this.#serve();
    });
  }

  /** Resolves when no read waits. */
  async drain(): Promise<void> {
    await this.#serving;
  }

  #view(reads: readonly Read[], follow: ReadOptions["follow"]): View | undefined {
    return this.#moment.head === undefined ? undefined : this.#moment.view(reads, follow);
  }

  async #serve(): Promise<void> {
    // Reads that arrive in the same turn of the event loop go together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      const started = performance.now();
      try {
        await retryIfLost(() => this.#ask(batch));
      } catch (error) {
        // Reads that came meanwhile would wait as long again for a server that does not answer.
        const isSilent = performance.now() - started > atOnceMs;
        const failed = isSilent ? [...batch, ...this.#waiting.splice(0)] : batch;
        for (const { reject } of failed) reject(toStoreError(error, this.#database.name));
      }
    }
    this.#serving = undefined;
  }

  /** A second attempt may answer a read again, which changes nothing. */
  #ask(batch: readonly Waiting[]): Promise<void> {
    return this.#database.use(async (client) => {
      const since = this.#moment.head;
      const revision = await readRevision(client);
      const isNewest = this.#moment.reaches(revision) || this.#moment.isPast(revision, since);
      const open = isNewest ? this.#settleFromMemory(batch) : batch;
      if (open.length > 0) await this.#fetchFor(client, open);
    });
  }

  async #fetchFor(client: PoolClient, batch: readonly Waiting[]): Promise<void> {
    this.#moment.trim();
    const [, news] = await inOnePacket(client, () =>
      Promise.all([client.query(beginRead(this.#database.limits)), readNews(client, this.#moment.head)]),
    );
    this.#moment.follow(news);
    const open = this.#settleFromMemory(batch);
    if (open.length > 0) {
      // Commits move the moment in memory while this waits for answers.
      const { fetched, keep } = this.#moment.fetching(news.head);
      await fetched.fetch(
        client,
        open.flatMap(({ reads }) => reads),
      );
      const followed: Read[] = [];
      const found = this.#settle(open, ({ reads, follow }) => {
        followed.push(...(follow?.(collectView(reads, fetched)) ?? []));
        return undefined;
      });
      await fetched.fetch(client, followed);
      keep();
      this.#settle(found, ({ reads, follow }) => collectView(reads, fetched, follow));
    }
    await client.query("COMMIT");
  }

  #settleFromMemory(open: readonly Waiting[]): Waiting[] {
    return this.#settle(open, ({ reads, follow }) => this.#view(reads, follow));
  }

  /** Answers these reads, except those of which there is no view yet. It returns them. */
  #settle(open: readonly Waiting[], collect: (waiting: Waiting) => View | undefined): Waiting[] {
    return open.filter((waiting) => {
      try {
        const view = collect(waiting);
        if (view === undefined) return true;
        waiting.resolve(view);
      } catch (error) {
        waiting.reject(toStoreError(error, this.#database.name));
      }
      return false;
    });
  }
}
