import type { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Fold, ProblemList, rebuiltRows, type StoredEvent, type StoredUniqueKey } from "../shared/fold.ts";
import type { Rows } from "../shared/rows.ts";
import type { StateSource, StoredState } from "../shared/stored-state.ts";
import type { History, Problem, Projection } from "../store.ts";
import { toHistory } from "../transfer/fill.ts";
import { toStoreError } from "./errors.ts";
import { selectStates } from "./reader.ts";

// All read the whole history, on a connection that no one else uses meanwhile.

export interface HistoryOptions extends StateSource {
  readonly projection: Projection;
  /** Whether others may run between events: not where the connection is also theirs. */
  readonly isShared: boolean;
}

export interface Verification {
  readonly problems: readonly Problem[];
  readonly events: number;
  readonly aggregates: number;
}

/** See Store.verify. Damage that keeps SQLite from reading on is a problem like the others. */
export async function verifyHistory(db: DatabaseSync, options: HistoryOptions): Promise<Verification> {
  const problems = new ProblemList();
  const fold = new Fold(options.projection, problems);
  db.exec("BEGIN");
  try {
    checkStructure(db, problems, options);
    if (options.isShared) foldEvents(db, fold);
    else await foldEventsInTurns(db, fold);
    const comparison = fold.comparison();
    for (const stored of selectAggregates(db)) comparison.aggregate(stored);
    const keys = db
      .prepare("SELECT kind, value, aggregate_type AS aggregateType, aggregate_id AS aggregateId FROM keys")
      .iterate();
    for (const stored of keys as Iterable<unknown> as Iterable<StoredUniqueKey>) comparison.key(stored);
    comparison.end();
  } catch (error) {
    const failure = toStoreError(error, options.name);
    if (failure.code !== "corrupt") throw failure;
    problems.add("The file is damaged where its rows are kept, so the rest could not be compared.");
  } finally {
    if (db.isTransaction) db.exec("ROLLBACK");
  }
  return { problems: problems.list(), events: fold.events, aggregates: fold.aggregates };
}

/** The rows that make the projection anew. Rejects with `corrupt` where the history itself is broken. */
export async function refold(
  db: DatabaseSync,
  options: HistoryOptions,
): Promise<{ readonly rows: Rows; readonly events: number; readonly aggregates: number }> {
  const problems = new ProblemList();
  const fold = new Fold(options.projection, problems);
  if (options.isShared) foldEvents(db, fold);
  else await foldEventsInTurns(db, fold);
  return {
    rows: rebuiltRows(fold, { problems, name: options.name }),
    events: fold.events,
    aggregates: fold.aggregates,
  };
}

/** What a connection sees: now where it is shared, else in the transaction that it has begun. */
export function historyOf(db: DatabaseSync, options: HistoryOptions): History {
  if (!options.isShared) {
    return toHistory(
      { events: () => inTurns(selectEvents(db)), aggregates: () => inTurns(selectAggregates(db)) },
      options,
    );
  }
  const [events, aggregates] = [[...selectEvents(db)], [...selectAggregates(db)]];
  return toHistory({ events: () => events, aggregates: () => aggregates }, options);
}

/** All at once: on a shared connection not even a microtask may come between BEGIN and ROLLBACK. */
function foldEvents(db: DatabaseSync, fold: Fold): void {
  for (const event of selectEvents(db)) fold.add(event);
}

/** With a turn of the event loop for others now and then. */
async function foldEventsInTurns(db: DatabaseSync, fold: Fold): Promise<void> {
  for await (const event of inTurns(selectEvents(db))) fold.add(event);
}

async function* inTurns<T>(rows: Iterable<T>): AsyncIterable<T> {
  let count = 0;
  for (const row of rows) {
    yield row;
    count += 1;
    if (count % 500 === 0) await nextTurn();
  }
}

function selectEvents(db: DatabaseSync): Iterable<StoredEvent> {
  return db
    .prepare(
      `SELECT position, aggregate_type AS aggregateType, aggregate_id AS aggregateId, sequence, type, version, payload,
        recorded_at AS recordedAt, actor FROM events ORDER BY position`,
    )
    .iterate() as Iterable<unknown> as Iterable<StoredEvent>;
}

function selectAggregates(db: DatabaseSync): Iterable<StoredState> {
  const rows = db.prepare(selectStates).iterate();
  return rows as Iterable<unknown> as Iterable<StoredState>;
}

function checkStructure(db: DatabaseSync, problems: ProblemList, { name }: HistoryOptions): void {
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
