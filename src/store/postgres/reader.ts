import type { PoolClient } from "pg";
import type { StateSource } from "../shared/read-rows.ts";
import { collectView } from "../shared/view.ts";
import type { Read, ReadOptions, View } from "../store.ts";
import { beginRead } from "./begin.ts";
import { atOnceMs, type Database, retryIfLost } from "./database.ts";
import { toStoreError } from "./errors.ts";
import { FetchedMoment } from "./fetch.ts";
import { readHead } from "./head.ts";

interface Waiting {
  readonly reads: readonly Read[];
  readonly follow: ReadOptions["follow"];
  resolve(view: View): void;
  reject(error: unknown): void;
}

/**
 * Reads what is committed. Everything read stays in memory until a node commits, which changes the head. Reads that wait share one query
 * for the head, sent after all of them began. One such query is on its way at a time.
 */
export class Reader {
  readonly #database: Database;
  readonly #moment: FetchedMoment;
  readonly #waiting: Waiting[] = [];
  #serving: Promise<void> | undefined;

  constructor(database: Database, source: StateSource) {
    this.#database = database;
    this.#moment = new FetchedMoment(source);
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
    return this.#moment.revision === undefined ? undefined : this.#moment.view(reads, follow);
  }

  async #serve(): Promise<void> {
    // Reads that arrive in the same turn of the event loop go together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = new Set(this.#waiting.splice(0));
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

  #ask(open: Set<Waiting>): Promise<void> {
    return this.#database.use(async (client) => {
      this.#moment.moveToHead(await readHead(client));
      this.#moment.trim();
      for (const waiting of open) {
        this.#settle(open, waiting, () => this.#view(waiting.reads, waiting.follow));
      }
      if (open.size > 0) await this.#fetchFor(client, open);
    });
  }

  async #fetchFor(client: PoolClient, open: Set<Waiting>): Promise<void> {
    const begun = client.query(beginRead(this.#database.limits));
    const [head] = await Promise.all([readHead(client), begun]);
    this.#moment.moveToHead(head);
    const reads = [...open].flatMap((waiting) => waiting.reads);
    await this.#moment.fetch(client, reads);
    const followed: Read[] = [];
    for (const waiting of open) {
      this.#settle(open, waiting, () => {
        followed.push(...(waiting.follow?.(collectView(waiting.reads, this.#moment)) ?? []));
        return undefined;
      });
    }
    await this.#moment.fetch(client, followed);
    for (const waiting of open) {
      this.#settle(open, waiting, () => collectView(waiting.reads, this.#moment, waiting.follow));
    }
    await client.query("COMMIT");
  }

  /** Answers a read, unless there is no view of it yet. */
  #settle(open: Set<Waiting>, waiting: Waiting, view: () => View | undefined): void {
    try {
      const found = view();
      if (found === undefined) return;
      waiting.resolve(found);
    } catch (error) {
      waiting.reject(toStoreError(error, this.#database.name));
    }
    open.delete(waiting);
  }
}
