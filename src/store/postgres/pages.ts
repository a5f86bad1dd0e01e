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
import { type Database, retryIfLost } from "./database.ts";
import { type StateRow, stateColumns, toNumber, toStoredState } from "./fetch.ts";
import { type FromPrimary, firstFromPrimary, isReplica } from "./head.ts";
import { fromText, toText } from "./text.ts";

/** Reads pages of what is committed, each in one statement, which sees one moment. */
export class Pages {
  readonly #database: Database;
  readonly #source: StateSource;

  constructor(database: Database, source: StateSource) {
    this.#database = database;
    this.#source = source;
  }

  async history(ref: AggregateRef, { before, limit }: HistoryOptions): Promise<RecordedEvent[] | undefined> {
    const name = [ref.type, toText(ref.id)];
    const [first, ...found] = await (before === undefined
      ? this.#select<StartRow>(fromNewest, [...name, limit])
      : this.#select<StartRow>(fromEvent, [...name, limit, before]));
    if (first.sequence === null) return before === undefined ? [] : undefined;
    const start = { sequence: Number(first.sequence), previous: toNumber(first.previous) };
    const events = (found as unknown as EventRow[]).map((row) => toStoredEvent(row, ref));
    const left = leftOut({ start, events }, limit);
    if (left !== undefined) {
      const rest = await this.#select<Joined<EventRow>>(selectBySequence, [...name, left.before, left.count]);
      events.push(...rest.flatMap((row) => (row.position === null ? [] : toStoredEvent(row, ref))));
    }
    return toHistoryPage({ start, events }, { ref, limit, source: this.#source });
  }

  async changes({ after, types, limit }: ChangesOptions): Promise<ChangesPage> {
    type Row = Joined<ChangeRow> & { readonly newest: string };
    const rows = await this.#select<Row>(selectChanges, [after, types ?? null, limit]);
    const events = rows.flatMap((row) => {
      if (row.position === null) return [];
      return toStoredEvent(row, { type: row.aggregate_type as AggregateType, id: fromText(row.aggregate_id) });
    });
    return toChangesPage(events, { after, limit, newest: Number(rows[0].newest), source: this.#source });
  }

  async list<T extends AggregateType>(type: T, page: ListPage | undefined): Promise<Snapshot<T>[]> {
    const limit = page?.limit ?? null;
    const rows = await (page?.after === undefined
      ? this.#select<Joined<StateRow>>(selectAll, [type, limit])
      : this.#select<Joined<StateRow>>(selectAfter, [type, limit, toText(page.after)]));
    return rows.flatMap((row) =>
      row.id === null ? [] : (toSnapshot(toStoredState(row), this.#source) as Snapshot<T>),
    );
  }

  async listByKey(kind: UniqueKeyKind, { startsWith, after = "", limit }: KeyPage): Promise<KeyHolder[]> {
    type Row = Joined<StateRow & { readonly value: string }>;
    const rows = await this.#select<Row>(selectByKey, [kind, limit, toText(startsWith), toText(after)]);
    const held = rows.flatMap((row) =>
      row.id === null ? [] : { value: fromText(row.value), stored: toStoredState(row) },
    );
    return toKeyHolders(held, { startsWith, source: this.#source });
  }

  /** There is always a row, that of the head. */
  #select<Row extends FromPrimary>(sql: string, values: readonly unknown[]): Promise<readonly [Row, ...Row[]]> {
    return retryIfLost(() =>
      this.#database.use(async (client) => {
        const { rows } = await client.query<Row>(sql, [...values]);
        return [firstFromPrimary(rows), ...rows.slice(1)];
      }),
    );
  }
}

// The statements run outside of a transaction, which would take as long again. So they name the schema of operators and functions: see
// begin.ts. Each joins what it selects to the head, which tells a replica from the primary.
const operator = (name: string): string => `OPERATOR(pg_catalog.${name})`;
const [is, isLess, isMore, isMost, plus, minus] = ["=", "<", ">", "<=", "+", "-"].map(operator);
const text = "pg_catalog.text";
const idInBytes = 'a.id COLLATE pg_catalog."C"';
const oneHead = `h.id ${is} 1`;

const eventColumns = (of: string): string =>
  `${of}.position, ${of}.sequence, ${of}.previous, ${of}.type, ${of}.version, ${of}.payload, ${of}.recorded_at, ${of}.actor,
    ${of}.append_position, ${of}.cause`;

const isOfAggregate = (of: string): string => `${of}.aggregate_type ${is} $1 AND ${of}.aggregate_id ${is} $2`;

/**
 * The first row is the start. Then come the events before it, each found by its position. OFFSET 0 keeps the planner from plans that read the
 * whole table for each.
 */
const walkBack = (start: { readonly sequence: string; readonly previous: string; readonly from: string }): string =>
  `WITH RECURSIVE walk AS (
    SELECT NULL::bigint AS position, ${start.sequence} AS sequence, ${start.previous} AS previous, NULL::${text} AS type,
      NULL::integer AS version, NULL::${text} AS payload, NULL::bigint AS recorded_at, NULL::${text} AS actor,
      NULL::bigint AS append_position, NULL::${text} AS cause, 0::bigint AS steps
    FROM portcullis.head AS h LEFT JOIN ${start.from} WHERE ${oneHead}
    UNION ALL
    SELECT ${eventColumns("e")}, w.steps ${plus} 1
    FROM walk AS w CROSS JOIN LATERAL (
      SELECT * FROM portcullis.events AS found WHERE found.position ${is} w.previous OFFSET 0
    ) AS e
    WHERE w.steps ${isLess} $3 AND ${isOfAggregate("e")} AND e.sequence ${is} (w.sequence ${minus} 1)
  ) SELECT ${eventColumns("w")}, ${isReplica} FROM walk AS w ORDER BY w.steps`;

/** As if there were one more event. */
const fromNewest = walkBack({
  sequence: `a.version ${plus} 1`,
  previous: `CASE WHEN a.position_version ${is} a.version THEN a.position END`,
  from: `portcullis.aggregates AS a ON a.type ${is} $1 AND a.id ${is} $2`,
});
const fromEvent = walkBack({
  sequence: "b.sequence",
  previous: "b.previous",
  from: `portcullis.events AS b ON b.position ${is} $4 AND ${isOfAggregate("b")}`,
});

const selectBySequence = `SELECT ${eventColumns("e")}, ${isReplica} FROM portcullis.head AS h LEFT JOIN LATERAL (
    SELECT * FROM portcullis.events AS found
    WHERE ${isOfAggregate("found")} AND found.sequence ${isLess} $3 ORDER BY found.sequence DESC LIMIT $4
  ) AS e ON true WHERE ${oneHead} ORDER BY e.sequence DESC`;

const selectChanges = `SELECT ${eventColumns("e")}, e.aggregate_type, e.aggregate_id, h.position AS newest, ${isReplica}
  FROM portcullis.head AS h LEFT JOIN LATERAL (
    SELECT * FROM portcullis.events AS found
    WHERE found.position ${isMore} $1 AND found.position ${isMost} ($1::bigint ${plus} ${maxLookedAt})
      AND ($2::${text}[] IS NULL OR found.aggregate_type ${is} ANY ($2::${text}[]))
    ORDER BY found.position LIMIT $3
  ) AS e ON true WHERE ${oneHead} ORDER BY e.position`;

const selectStates = (condition: string): string =>
  `SELECT ${stateColumns}, ${isReplica} FROM portcullis.head AS h LEFT JOIN LATERAL (
    SELECT * FROM portcullis.aggregates AS a WHERE a.type ${is} $1 ${condition} ORDER BY ${idInBytes} LIMIT $2
  ) AS a ON true WHERE ${oneHead} ORDER BY ${idInBytes}`;
const selectAll = selectStates("");
const selectAfter = selectStates(`AND ${idInBytes} ${isMore} $3`);

// No value is empty. Values that begin with the text follow it, without others between, so no upper bound is needed.
const valueInBytes = 'k.value COLLATE pg_catalog."C"';
const selectByKey = `SELECT a.*, ${isReplica} FROM portcullis.head AS h LEFT JOIN LATERAL (
    SELECT k.value, ${stateColumns} FROM (
      SELECT * FROM portcullis.keys AS k WHERE k.kind ${is} $1
        AND ${valueInBytes} OPERATOR(pg_catalog.>=) $3 AND ${valueInBytes} ${isMore} $4 ORDER BY ${valueInBytes} LIMIT $2
    ) AS k JOIN portcullis.aggregates AS a ON a.type ${is} k.aggregate_type AND a.id ${is} k.aggregate_id
  ) AS a ON true WHERE ${oneHead} ORDER BY a.value COLLATE pg_catalog."C"`;

/** Null where the head is joined to nothing. */
type Joined<Row> = FromPrimary & (Row | Readonly<Record<keyof Row, null>>);

type EventRow = Record<"position" | "sequence" | "type" | "payload" | "recorded_at" | "actor", string> & {
  readonly version: number;
} & Readonly<Record<"previous" | "append_position" | "cause", string | null>>;
interface StartRow extends FromPrimary {
  readonly position: null;
  readonly sequence: string | null;
  readonly previous: string | null;
}
type ChangeRow = EventRow & Record<"aggregate_type" | "aggregate_id", string>;

function toStoredEvent(row: EventRow, { type: aggregateType, id: aggregateId }: AggregateRef): StoredEvent {
  return {
    position: Number(row.position),
    aggregateType,
    aggregateId,
    sequence: Number(row.sequence),
    type: row.type,
    version: row.version,
    payload: row.payload,
    recordedAt: Number(row.recorded_at),
    actor: fromText(row.actor),
    previous: toNumber(row.previous),
    append: toNumber(row.append_position),
    cause: row.cause,
  };
}
