import { randomUUID } from "node:crypto";
import type { PoolClient } from "pg";
import { StoreError } from "../errors.ts";
import type { Rows } from "../shared/rows.ts";
import type { StateSource } from "../shared/stored-state.ts";
import type { History, Projection, RecordedEvent } from "../store.ts";
import { fill, refuseFilled } from "../transfer/fill.ts";
import { beginRead, longRun, patient } from "./begin.ts";
import { isLost } from "./errors.ts";
import { FetchedMoment, readHead } from "./fetch.ts";
import { historyOf } from "./history.ts";
import { toStatements } from "./statements.ts";

// Both take long, and who writes to or reads from a pipe may pause.

/** See Store.export. */
export async function exportHistory<T>(
  client: PoolClient,
  source: StateSource,
  use: (history: History) => Promise<T>,
): Promise<T> {
  await client.query(beginRead(longRun));
  const used = await use(historyOf(client, source));
  await client.query("COMMIT");
  return used;
}

export interface Import {
  readonly name: string;
  /** What its transaction begins with. */
  readonly begin: string;
  readonly projection: Projection;
  readonly events: AsyncIterable<RecordedEvent>;
  readonly check: (history: History) => Promise<void>;
}

/** See Store.import. Everything is written in one transaction. */
export async function importHistory(
  client: PoolClient,
  { name, begin, projection, events, check }: Import,
): Promise<void> {
  await client.query(begin);
  try {
    const head = await readHead(client, "FOR UPDATE");
    refuseFilled(head, name);
    const written = new FetchedMoment({ name, projection });
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
        await Promise.all(statements.map(({ text, values }) => client.query(patient(text, values))));
      },
    };
    await fill(events, filling, projection);
    await check(historyOf(client, { name, projection }));
    await commit(client, name);
  } catch (error) {
    // Before it is told: others would still find the head locked.
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  }
}

async function commit(client: PoolClient, name: string): Promise<void> {
  try {
    await client.query(patient("COMMIT"));
  } catch (error) {
    if (!isLost(error)) throw error;
    const text = `The store ${name} was lost while it committed the import: it holds all of it, or nothing.`;
    throw new StoreError("outcome_unknown", text, error);
  }
}
