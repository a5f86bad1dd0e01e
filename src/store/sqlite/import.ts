import type { DatabaseSync } from "node:sqlite";
import { CachedMoment } from "../shared/cached-moment.ts";
import { toHistory } from "../shared/history.ts";
import { type Rows, toRows } from "../shared/written-rows.ts";
import type { History, Projection, RecordedEvent } from "../store.ts";
import { fill, foldOnto, refuseFilled } from "../transfer/fill.ts";
import { commit } from "./commit.ts";
import { historyOf } from "./history.ts";
import { Loader } from "./load.ts";
import { retryWhileBusy } from "./retry.ts";
import { WriteConnection } from "./write-connection.ts";

export interface Import {
  readonly name: string;
  readonly projection: Projection;
  readonly busyTimeoutMs: number;
  readonly events: AsyncIterable<RecordedEvent>;
  readonly check: (history: History) => Promise<void>;
}

/** See Store.import. Writes everything over a connection of its own, in one transaction. */
export async function importHistory(open: () => DatabaseSync, options: Import): Promise<void> {
  const { name, projection, busyTimeoutMs, events, check } = options;
  const limit = { limitMs: busyTimeoutMs };
  const db = await retryWhileBusy(open, limit);
  try {
    const connection = new WriteConnection(db);
    await retryWhileBusy(() => connection.begin(), limit);
    const loader = new Loader(db, { name, projection });
    refuseFilled(loader.newest(), name);
    const written = new CachedMoment(loader);
    await fill(events, { written, write: async (rows) => connection.write(rows) }, projection);
    await check(toHistory(historyOf(db), options));
    commit(db);
    emptyLog(db);
  } finally {
    // With whatever was not committed.
    db.close();
  }
}

/** The write-ahead log is as long as the import. It does no harm where it stays, as on a full disk. */
function emptyLog(db: DatabaseSync): void {
  try {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch {}
}

/** The rows of an import into a store with one connection for all, where readers would see an open transaction. */
export async function makeRows(loader: Loader, { name, projection, events, check }: Import): Promise<Rows> {
  refuseFilled(loader.newest(), name);
  const all: RecordedEvent[] = [];
  for await (const event of events) all.push(event);
  const writes = foldOnto(new CachedMoment(loader), all, projection);
  await check({
    async *events() {
      yield* all;
    },
    async *aggregates() {
      yield* writes.aggregates;
    },
  });
  return toRows(writes);
}
