import type { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import { type PartRow, type StoredHistory, type StoredPlace, toPart } from "../shared/history.ts";
import type { StoredEvent, StoredState } from "../shared/read-rows.ts";
import { compare, Findings } from "../shared/verify.ts";
import type { Projection, Store } from "../store.ts";
import { toStoreError } from "./errors.ts";
import { selectStates } from "./load.ts";
import { primaryCode, resultCodes } from "./result-codes.ts";

/** What a connection sees in the transaction that it has begun. Yields to the event loop now and then, but not while SQLite sorts. */
export const historyOf = (db: DatabaseSync, name: string): StoredHistory => ({
  events: () => inTurns(selectEvents(db)),
  aggregates: () => inTurns(selectAggregates(db)),
  places: () => inPages(selectPlaces(db), toPlace),
  byAggregate: () => inPages(sorted(select<PartRow>(db, selectParts), name), toPart),
  eventsByAggregate: () => inPages(sorted(select<PartRow>(db, selectEventParts), name), toPart),
  holderOf: ({ kind, value }) => {
    const [holder] = select<[AggregateType, string]>(db, selectHolder, kind, value);
    return holder && { type: holder[0], id: holder[1] };
  },
});

/** A copy, for a connection that readers and writers share: a transaction would be theirs as well. */
export function copyHistory(db: DatabaseSync): StoredHistory {
  const [events, aggregates] = [[...selectEvents(db)], [...selectAggregates(db)]];
  const places = [...selectPlaces(db)].map(toPlace);
  const parts = [...select<PartRow>(db, selectParts)].map(toPart);
  const holders = parts.filter((part) => part.of === "key");
  return {
    events: () => events,
    aggregates: () => aggregates,
    places: () => [places],
    byAggregate: () => [parts],
    eventsByAggregate: () => [parts],
    holderOf: (key) => holders.find(({ kind, value }) => kind === key.kind && value === key.value)?.ref,
  };
}

/** See Store.verify. Damage that stops SQLite from reading is a problem like others. */
export async function verify(
  db: DatabaseSync,
  stored: StoredHistory,
  { name, projection }: { readonly name: string; readonly projection: Projection },
): ReturnType<Store["verify"]> {
  const findings = new Findings();
  checkStructure(db, findings, name);
  try {
    await compare(stored, projection, findings);
  } catch (error) {
    const failure = toStoreError(error, name);
    if (failure.code !== "corrupt") throw failure;
    findings.problems.add("The file is damaged where its rows are kept, so the rest could not be compared.");
  }
  return findings.toResult();
}

function checkStructure(db: DatabaseSync, { problems }: Findings, name: string): void {
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

const rowsPerTurn = 500;

async function* inTurns<T>(rows: Iterable<T>): AsyncIterable<T> {
  let count = 0;
  for (const row of rows) {
    yield row;
    count += 1;
    if (count % rowsPerTurn === 0) await nextTurn();
  }
}

async function* inPages<Row, T>(rows: Iterable<Row>, toItem: (row: Row) => T): AsyncIterable<readonly T[]> {
  let page: T[] = [];
  for (const row of rows) {
    page.push(toItem(row));
    if (page.length < rowsPerTurn) continue;
    yield page;
    page = [];
    await nextTurn();
  }
  if (page.length > 0) yield page;
}

/** The rows of a query that sorts. What does not fit in a few megabytes, SQLite keeps in a temporary file without a name. */
function* sorted<Row>(rows: Iterable<Row>, name: string): Iterable<Row> {
  try {
    yield* rows;
  } catch (error) {
    if (!hasNoRoom(error)) throw error;
    const text = `The store ${name} cannot be sorted: that takes a temporary file about as large as the store, for which there is no room`;
    const advice = "Make room in /var/tmp, or name another directory in SQLITE_TMPDIR";
    throw new StoreError("unavailable", `${text}. ${advice}. Nothing was written.`, error);
  }
}

/** There is no directory for temporary files that this process may write to (SQLITE_IOERR_GETTEMPPATH). */
const noDirectory = 6410;

function hasNoRoom(error: unknown): boolean {
  const code = primaryCode(error);
  const { errcode } = error as { readonly errcode?: unknown };
  return code === resultCodes.full || code === resultCodes.cannotOpen || errcode === noDirectory;
}

const selectEvents = (db: DatabaseSync) =>
  db
    .prepare(
      `SELECT position, aggregate_type AS aggregateType, aggregate_id AS aggregateId, sequence, type, version, payload,
      recorded_at AS recordedAt, actor, previous, append_position AS append, cause FROM events ORDER BY position`,
    )
    .iterate() as Iterable<unknown> as Iterable<StoredEvent>;

const selectAggregates = (db: DatabaseSync) =>
  db.prepare(selectStates).iterate() as Iterable<unknown> as Iterable<StoredState>;

const selectPlaces = (db: DatabaseSync) =>
  select<PlaceRow>(db, "SELECT position, recorded_at, append_position, cause FROM events ORDER BY position");

type PlaceRow = [position: number, recordedAt: number, append: number | null, cause: string | null];
const toPlace = ([position, recordedAt, append, cause]: PlaceRow): StoredPlace => ({
  position,
  recordedAt,
  append,
  cause,
});

// By an index, SQLite would look up each row elsewhere in the file, and an index may lack rows.
const partsOfEvents = `SELECT aggregate_type, aggregate_id, 0, position, sequence, version, recorded_at, previous, type, payload
  FROM events NOT INDEXED`;
const inOrder = "ORDER BY 1, 2, 3, 4";
const selectEventParts = `${partsOfEvents} ${inOrder}`;
const selectParts = `${partsOfEvents}
  UNION ALL SELECT type, id, 1, position, version, position_version, NULL, NULL,
      CASE WHEN digest_version = version THEN digest END, state
    FROM aggregates NOT INDEXED
  UNION ALL SELECT aggregate_type, aggregate_id, 2, NULL, NULL, NULL, NULL, NULL, kind, value FROM keys
  ${inOrder}`;
const selectHolder = "SELECT aggregate_type, aggregate_id FROM keys WHERE kind = ? AND value = ?";

function select<Row extends readonly unknown[]>(db: DatabaseSync, sql: string, ...values: string[]): Iterable<Row> {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement.iterate(...values) as Iterable<unknown> as Iterable<Row>;
}
