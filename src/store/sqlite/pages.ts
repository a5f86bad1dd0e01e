import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKeyKind } from "../../domain/states.ts";
import { leftOut, maxLookedAt, toChangesPage, toHistoryPage, toKeyHolders } from "../shared/pages.ts";
import { type StateSource, type StoredEvent, toSnapshot } from "../shared/read-rows.ts";
import type {
  AggregateRef,
  ChangesOptions,
  ChangesPage,
  HistoryOptions,
  KeyHolder,
  KeyPage,
  ListPage,
  RecordedEvent,
  Snapshot,
} from "../store.ts";
import { prepare, row, type StateRow, selectStates, toStoredState } from "./load.ts";

/** Reads pages of what is committed. Events never change, so those of a page need no transaction. */
export class Pages {
  readonly #source: StateSource;
  readonly #statements: Record<
    "fromNewest" | "fromEvent" | "bySequence" | "newest" | "changes" | "list" | "listAfter" | "listByKey",
    StatementSync
  >;

  constructor(db: DatabaseSync, source: StateSource) {
    this.#source = source;
    this.#statements = {
      fromNewest: prepare(db, walkBack(newestOfAggregate)),
      fromEvent: prepare(db, walkBack(eventOfAggregate)),
      bySequence: prepare(db, selectBySequence),
      newest: prepare(db, "SELECT max(position) FROM events"),
      changes: prepare(db, selectChanges),
      list: prepare(db, `${selectStates} WHERE type = ? ORDER BY id LIMIT ?`),
      listAfter: prepare(db, `${selectStates} WHERE type = ? AND id > ? ORDER BY id LIMIT ?`),
      listByKey: prepare(db, selectByKey),
    };
  }

  history(ref: AggregateRef, { before, limit }: HistoryOptions): RecordedEvent[] | undefined {
    const { type, id } = ref;
    const { fromNewest, fromEvent } = this.#statements;
    const rows = before === undefined ? fromNewest.all(type, id, limit) : fromEvent.all(type, id, limit, before);
    const [start, ...events] = (rows as unknown as EventRow[]).map((columns) => toStoredEvent(columns, type, id));
    if (start === undefined) return before === undefined ? [] : undefined;
    const left = leftOut({ start, events }, limit);
    if (left !== undefined) {
      const rest = this.#statements.bySequence.all(type, id, left.before, left.count) as unknown as EventRow[];
      events.push(...rest.map((columns) => toStoredEvent(columns, type, id)));
    }
    return toHistoryPage({ start, events }, { ref, limit, source: this.#source });
  }

  changes({ after, types, limit }: ChangesOptions): ChangesPage {
    const newest = row<[number | null]>(this.#statements.newest)?.[0] ?? 0;
    const rows = this.#statements.changes.all(after, types === undefined ? null : JSON.stringify(types), limit);
    const events = (rows as unknown as ChangeRow[]).map((columns) => toStoredEvent(columns, columns[10], columns[11]));
    return toChangesPage(events, { after, limit, newest, source: this.#source });
  }

  list<T extends AggregateType>(type: T, page: ListPage | undefined): Snapshot<T>[] {
    const { list, listAfter } = this.#statements;
    const rows =
      page?.after === undefined
        ? list.all(type, page?.limit ?? unlimited)
        : listAfter.all(type, page.after, page.limit);
    return (rows as unknown as StateRow[]).map(
      (columns) => toSnapshot(toStoredState(columns), this.#source) as Snapshot<T>,
    );
  }

  listByKey(kind: UniqueKeyKind, { startsWith, after = "", limit }: KeyPage): KeyHolder[] {
    const rows = this.#statements.listByKey.all(kind, startsWith, after, limit) as unknown as KeyRow[];
    const held = rows.map(([value, ...columns]) => ({ value, stored: toStoredState(columns) }));
    return toKeyHolders(held, { startsWith, source: this.#source });
  }
}

const unlimited = -1;

type KeyRow = [value: string, ...StateRow];
// No value is empty. Values that begin with the text follow it, without others between, so no upper bound is needed.
const selectByKey = `SELECT value, held.* FROM (
    SELECT value, aggregate_type, aggregate_id FROM keys WHERE kind = ?1 AND value >= ?2 AND value > ?3 ORDER BY value LIMIT ?4
  ) JOIN (${selectStates}) AS held ON held.type = aggregate_type AND held.id = aggregate_id ORDER BY value`;

const eventColumns = [
  "position",
  "sequence",
  "previous",
  "type",
  "version",
  "payload",
  "recorded_at",
  "actor",
  "append_position",
  "cause",
];
const noEvent = "NULL, NULL, NULL, NULL, NULL, NULL, NULL";

/** The first row is the start. Then come the events before it, each found by its position. */
const walkBack = (start: string): string => `WITH RECURSIVE walk (${eventColumns.join(", ")}) AS (
    ${start}
    UNION ALL
    SELECT ${eventColumns.map((column) => `e.${column}`).join(", ")}
    FROM walk AS w JOIN events AS e ON e.position = w.previous
      AND e.aggregate_type = ?1 AND e.aggregate_id = ?2 AND e.sequence = w.sequence - 1
    LIMIT ?3 + 1
  ) SELECT ${eventColumns.join(", ")} FROM walk`;

/** As if there were one more event. */
const newestOfAggregate = `SELECT NULL, version + 1, CASE WHEN position_version = version THEN position END,
    ${noEvent} FROM aggregates WHERE type = ?1 AND id = ?2`;

const eventOfAggregate = `SELECT NULL, sequence, previous, ${noEvent} FROM events
    WHERE position = ?4 AND aggregate_type = ?1 AND aggregate_id = ?2`;

const selectBySequence = `SELECT ${eventColumns.join(", ")} FROM events
    WHERE aggregate_type = ?1 AND aggregate_id = ?2 AND sequence < ?3 ORDER BY sequence DESC LIMIT ?4`;

const selectChanges = `SELECT ${eventColumns.join(", ")}, aggregate_type, aggregate_id FROM events
    WHERE position > ?1 AND position <= ?1 + ${maxLookedAt}
      AND (?2 IS NULL OR aggregate_type IN (SELECT value FROM json_each(?2)))
    ORDER BY position LIMIT ?3`;

type EventRow = [
  position: number,
  sequence: number,
  previous: number | null,
  type: string,
  version: number,
  payload: string,
  recordedAt: number,
  actor: string,
  append: number | null,
  cause: string | null,
];
type ChangeRow = [...EventRow, aggregateType: string, aggregateId: string];

function toStoredEvent(row: EventRow | ChangeRow, aggregateType: string, aggregateId: string): StoredEvent {
  const [position, sequence, previous, type, version, payload, recordedAt, actor, append, cause] = row;
  const place = { position, aggregateType, aggregateId, sequence, recordedAt, actor, previous, append, cause };
  return { ...place, type, version, payload };
}
