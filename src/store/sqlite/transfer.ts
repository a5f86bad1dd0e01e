import type { DatabaseSync } from "node:sqlite";
import { CachedMoment } from "../shared/cached-moment.ts";
import { type Rows, toRows } from "../shared/rows.ts";
import type { History, Projection, RecordedEvent } from "../store.ts";
import { fill, foldOnto, refuseFilled } from "../transfer/fill.ts";
import { type HistoryOptions, historyOf } from "./history.ts";
import { Reader } from "./reader.ts";
import { retryWhileBusy } from "./retry.ts";
import { WriteConnection } from "./write-connection.ts";

/** See Store.export. */
export async function exportHistory<T>(
  db: DatabaseSync,
  options: HistoryOptions,
  use: (history: History) => Promise<T>,
): Promise<T> {
  if (!options.isShared) db.exec("BEGIN");
  return use(historyOf(db, options));
}

export interface Import {
  readonly name: string;
  readonly projection: Projection;
  readonly busyTimeoutMs: number;
  readonly events: AsyncIterable<RecordedEvent>;
  readonly check: (history: History) => Promise<void>;
}

/** See Store.import. Everything is written over a connection of its own, in one transaction. */
export async function importHistory(
  open: () => DatabaseSync,
  { name, projection, busyTimeoutMs, events, check }: Import,
): Promise<void> {
  const limit = { limitMs: busyTimeoutMs };
  const db = await retryWhileBusy(open, limit);
  try {
    const connection = new WriteConnection(db);
    await retryWhileBusy(() => connection.begin(), limit);
    const reader = new Reader(db, { name, projection });
    refuseFilled(reader.newest(), name);
    const filling = {
      written: new CachedMoment(reader),
      load: async <T>(_: unknown, make: () => T) => make(),
      write: async (rows: Rows) => connection.write(rows),
    };
    await fill(events, filling, projection);
    await check(historyOf(db, { name, projection, isShared: false }));
    db.exec("COMMIT");
    emptyLog(db);
  } finally {
    // With whatever was not committed.
    db.close();
  }
}

/** The write-ahead log is as long as everything that was written. That it is kept, as by a disk that is full, does no harm. */
function emptyLog(db: DatabaseSync): void {
  try {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch {}
}

/** The rows of an import, for a store that has one connection for everybody: a transaction would show them half written. */
export async function makeRows(reader: Reader, { name, projection, events, check }: Import): Promise<Rows> {
  refuseFilled(reader.newest(), name);
  const all: RecordedEvent[] = [];
  for await (const event of events) all.push(event);
  const writes = foldOnto(new CachedMoment(reader), all, projection);
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
