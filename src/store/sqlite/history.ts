import type { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Fold } from "../shared/fold.ts";
import type { StoredHistory } from "../shared/history.ts";
import type { StoredEvent, StoredState, StoredUniqueKey } from "../shared/read-rows.ts";
import { compare } from "../shared/verify.ts";
import type { Projection, Store } from "../store.ts";
import { toStoreError } from "./errors.ts";
import { selectStates } from "./load.ts";

/** What a connection sees in the transaction that it has begun. Yields to the event loop now and then. */
export const historyOf = (db: DatabaseSync): StoredHistory => ({
  events: () => inTurns(selectEvents(db)),
  aggregates: () => inTurns(selectAggregates(db)),
  keys: () => inTurns(selectKeys(db)),
});

/** A copy, for a connection that readers and writers share: a transaction would be theirs as well. */
export function copyHistory(db: DatabaseSync): StoredHistory {
  const [events, aggregates, keys] = [[...selectEvents(db)], [...selectAggregates(db)], [...selectKeys(db)]];
  return { events: () => events, aggregates: () => aggregates, keys: () => keys };
}

/** See Store.verify. Damage that stops SQLite from reading is a problem like others. */
export async function verify(
  db: DatabaseSync,
  stored: StoredHistory,
  { name, projection }: { readonly name: string; readonly projection: Projection },
): ReturnType<Store["verify"]> {
  const fold = new Fold(projection);
  checkStructure(db, fold, name);
  try {
    await compare(stored, fold);
  } catch (error) {
    const failure = toStoreError(error, name);
    if (failure.code !== "corrupt") throw failure;
    fold.problems.add("The file is damaged where its rows are kept, so the rest could not be compared.");
  }
  return { problems: fold.problems.list(), ...fold.counts };
}

function checkStructure(db: DatabaseSync, { problems }: Fold, name: string): void {
  try {
    const found = db.prepare("PRAGMA integrity_check(20)").all();
    for (const { integrity_check: line } of found) {
      if (line !== "ok") problems.add(`The file's structure is damaged: ${String(line)}.`);
    }
  } catch (error) {
    if (toStoreError(error, name).code !== "corrupt") throw error;
    problems.add("The file's structure is so damaged that SQLite cannot check it.");
  }
}

async function* inTurns<T>(rows: Iterable<T>): AsyncIterable<T> {
  let count = 0;
  for (const row of rows) {
    yield row;
    count += 1;
    if (count % 500 === 0) await nextTurn();
  }
}

const selectEvents = (db: DatabaseSync) =>
  select<StoredEvent>(
    db,
    `SELECT position, aggregate_type AS aggregateType, aggregate_id AS aggregateId, sequence, type, version, payload,
      recorded_at AS recordedAt, actor, previous FROM events ORDER BY position`,
  );

const selectAggregates = (db: DatabaseSync) => select<StoredState>(db, selectStates);

const selectKeys = (db: DatabaseSync) =>
  select<StoredUniqueKey>(
    db,
    "SELECT kind, value, aggregate_type AS aggregateType, aggregate_id AS aggregateId FROM keys",
  );

const select = <Row>(db: DatabaseSync, sql: string): Iterable<Row> =>
  db.prepare(sql).iterate() as Iterable<unknown> as Iterable<Row>;
