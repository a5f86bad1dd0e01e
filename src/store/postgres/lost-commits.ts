import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { StoreError } from "../errors.ts";
import { atOnceMs, type Database } from "./database.ts";
import { readHead } from "./head.ts";
import { headAfter, moveHead } from "./statements.ts";

const retryMs = 100;

interface Options {
  readonly database: Database;
  readonly writerId: string;
  /** How long a lost commit is looked for, in milliseconds. */
  readonly limitMs: number;
}

/** Finds out what became of commits whose answers were lost with their connection. */
export class LostCommits {
  readonly #options: Options;
  #searching: Promise<unknown> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
  }

  /** Resolves where the commit is found. Rejects with `conflict` where it never happens, and with `outcome_unknown`. */
  find(number: number, cause: unknown): Promise<void> {
    const found = this.#find(number, cause);
    // Also handles a failure about which nobody asks any more.
    this.#searching = Promise.allSettled([this.#searching, found]);
    return found;
  }

  /**
   * Waits for the searches, which take the lock as well. They usually end at once, and no one waits for a search that takes longer.
   */
  async untilKnown(): Promise<void> {
    const { name } = this.#options.database;
    await within(atOnceMs, this.#searching).catch((cause: unknown) => {
      const text = `The store ${name} was lost while it committed, and is being looked for.`;
      throw new StoreError("unavailable", text, cause);
    });
  }

  async #find(number: number, cause: unknown): Promise<void> {
    const { database, limitMs } = this.#options;
    const until = performance.now() + limitMs;
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
    const { database, writerId: id } = this.#options;
    return database.use(async (client) => {
      const begun = client.query(database.beginWrite());
      // With the lock, the lost transaction is not under way.
      const [from] = await Promise.all([readHead(client, "FOR UPDATE"), begun]);
      const { rows } = await client.query<{ last_commit: string }>(
        "SELECT last_commit FROM portcullis.writers WHERE id = $1",
        [id],
      );
      const last = Number(rows[0]?.last_commit ?? 0);
      // A later one was decided on the one that was lost.
      const isThere = last >= number;
      if (!isThere) {
        // It may still reach the server, which then finds another head than the one that it was decided on.
        const to = headAfter(from, { last: undefined, isBesideEvents: false }, randomUUID());
        await client.query(moveHead({ from, to, writer: { id, number: last } }, Date.now()));
      }
      await client.query("COMMIT");
      return isThere;
    });
  }
}

/** Rejects after the limit. The work goes on by itself. */
function within<T>(limitMs: number, working: Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new Error(`there was no answer in ${Math.round(limitMs)} ms`)), limitMs);
  working.then(resolve, reject).finally(() => clearTimeout(timer));
  return promise;
}
