import { randomUUID } from "node:crypto";
import type { PoolClient } from "pg";
import type { Rows } from "../rows.ts";
import type { History, Projection, RecordedEvent } from "../store.ts";
import { fill, refuseFilled } from "../transfer.ts";
import { FetchedMoment, readHead } from "./fetch.ts";
import { historyOf } from "./history.ts";
import { toStatements } from "./statements.ts";

/** Who writes to or reads from a pipe may take a while; who was lost may not keep others waiting for good. */
const allowPauses = "SET LOCAL idle_in_transaction_session_timeout = '10min'";

/** See Store.export. */
export async function exportHistory<T>(
  client: PoolClient,
  { name, use }: { readonly name: string; readonly use: (history: History) => Promise<T> },
): Promise<T> {
  await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${allowPauses}`);
  const used = await use(historyOf(client, name));
  await client.query("COMMIT");
  return used;
}

export interface Import {
  readonly name: string;
  readonly projection: Projection;
  readonly events: AsyncIterable<RecordedEvent>;
  readonly check: (history: History) => Promise<void>;
}

/** See Store.import. Everything is written in one transaction. */
export async function importHistory(client: PoolClient, { name, projection, events, check }: Import): Promise<void> {
  await client.query(`BEGIN; ${allowPauses}`);
  try {
    const head = await readHead(client, "FOR UPDATE");
    refuseFilled(head, name);
    const written = new FetchedMoment();
    const writer = { id: randomUUID(), number: 1, commitId: randomUUID() };
    const filling = {
      written,
      async load<T>(refs: Parameters<FetchedMoment["complete"]>[1], make: () => T): Promise<T> {
        const made = await written.complete(client, refs, make);
        if ("failure" in made) throw made.failure;
        return made.value;
      },
      async write(rows: Rows): Promise<void> {
        const statements = toStatements(rows, { head, writer });
        await Promise.all(statements.map(({ text, values }) => client.query(text, [...values])));
      },
    };
    await fill(events, filling, projection);
    await check(historyOf(client, name));
    await client.query("COMMIT");
  } catch (error) {
    // Before it is told: others would still find the head locked.
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  }
}
