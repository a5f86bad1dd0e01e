import { CachedMoment } from "../shared/cached-moment.ts";
import { toHistory } from "../shared/history.ts";
import { type Rows, toRows } from "../shared/written-rows.ts";
import type { History, Projection, RecordedEvent } from "../store.ts";
import { fill, foldOnto, refuseFilled } from "../transfer/fill.ts";
import { historyOf } from "./history.ts";
import { Loader } from "./load.ts";
import { type Rewriting, rewrite } from "./rewrite.ts";

export interface Import {
  readonly name: string;
  readonly projection: Projection;
  readonly events: AsyncIterable<RecordedEvent>;
  readonly check: (history: History) => Promise<void>;
}

/** See Store.import. */
export async function importHistory(rewriting: Rewriting, options: Import): Promise<void> {
  const { name, projection, events, check } = options;
  await rewrite(rewriting, async (db, connection) => {
    const loader = new Loader(db, { name, projection });
    refuseFilled(loader.newest(), name);
    const written = new CachedMoment(loader);
    await fill(events, { written, write: async (rows) => connection.write(rows) }, projection);
    await check(toHistory(historyOf(db, name), options));
  });
}

/** The rows of an import into a store with one connection for all, where readers would see an open transaction. */
export async function makeRows(loader: Loader, { name, projection, events, check }: Import): Promise<Rows> {
  refuseFilled(loader.newest(), name);
  const all: RecordedEvent[] = [];
  for await (const event of events) all.push(event);
  const before = new CachedMoment(loader);
  const writes = foldOnto({ before, last: before }, all, projection);
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
