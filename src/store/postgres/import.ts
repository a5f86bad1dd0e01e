import { randomUUID } from "node:crypto";
import type { PoolClient } from "pg";
import { StoreError } from "../errors.ts";
import { toHistory } from "../shared/history.ts";
import type { Rows } from "../shared/written-rows.ts";
import type { History, Projection, RecordedEvent } from "../store.ts";
import { fill, refuseFilled } from "../transfer/fill.ts";
import { patient } from "./begin.ts";
import { isLost } from "./errors.ts";
import { FetchedMoment } from "./fetch.ts";
import { readHead } from "./head.ts";
import { historyOf } from "./history.ts";
import { headAfter, moveHead, toRowStatements } from "./statements.ts";

export interface Import {
  readonly name: string;
  /** What its transaction begins with. It is a long run: whatever the events are read from may pause. */
  readonly begin: string;
  readonly projection: Projection;
  readonly events: AsyncIterable<RecordedEvent>;
  readonly check: (history: History) => Promise<void>;
}

/** See Store.import. Everything is written in one transaction. */
export async function importHistory(client: PoolClient, options: Import): Promise<void> {
  const { name, begin, projection, events, check } = options;
  await client.query(begin);
  try {
    const head = await readHead(client, "FOR UPDATE");
    refuseFilled(head, name);
    const written = new FetchedMoment(options);
    const write = async (rows: Rows): Promise<void> => {
      await Promise.all(toRowStatements(rows).map(({ text, values }) => client.query(patient(text, values))));
    };
    await fill(events, { written, fetch: (refs) => written.fetch(client, refs), write }, projection);
    // Once: each update within the transaction would leave a row behind that the next one has to pass.
    const to = headAfter(head, { last: written, isBesideEvents: false }, randomUUID());
    const writer = { id: randomUUID(), number: 1 };
    await client.query(patient(moveHead({ from: head, to, writer }, to.recordedAt)));
    await check(toHistory(historyOf(client), options));
    await commit(client, name);
  } catch (error) {
    // Before the caller hears of it: others would still find the head locked.
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
