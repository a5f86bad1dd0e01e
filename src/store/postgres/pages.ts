import type { AggregateType } from "../../domain/events.ts";
import { maxLookedAt, toChangesPage, toHistoryPage } from "../shared/pages.ts";
import { type StateSource, type StoredEvent, toSnapshot } from "../shared/read-rows.ts";
import type {
  AggregateRef,
  ChangesOptions,
  ChangesPage,
  HistoryOptions,
  ListPage,
  RecordedEvent,
  Snapshot,
} from "../store.ts";
import { beginRead } from "./begin.ts";
import { type Database, retryIfLost } from "./database.ts";
import { type StateRow, stateColumns, toNumber, toStoredState } from "./fetch.ts";
import { readHead } from "./head.ts";
import { fromText, toText } from "./text.ts";

/** Reads pages of what is committed. */
export class Pages {
  readonly #database: Database;
  readonly #source: StateSource;

  constructor(database: Database, source: StateSource) {
    this.#database = database;
    this.#source = source;
  }

  async history({ type, id }: AggregateRef, { before, limit }: HistoryOptions): Promise<RecordedEvent[] | undefined> {
    const [sql, more] = before === undefined ? [fromNewest, []] : [fromEvent, [before]];
    const { rows } = await this.#select<WalkRow>(sql, [type, toText(id), limit, ...more]);
    const [start, ...found] = rows;
    if (start === undefined) return before === undefined ? [] : undefined;
    const events = (found as EventRow[]).map((row) => toStoredEvent(row, type, id));
    return toHistoryPage({ from: Number(start.sequence), events }, { ref: { type, id }, limit, source: this.#source });
  }

  async changes({ after, types, limit }: ChangesOptions): Promise<ChangesPage> {
    const { head, rows } = await this.#select<ChangeRow>(selectChanges, [after, types ?? null, limit]);
    const events = rows.map((row) => toStoredEvent(row, row.aggregateType, fromText(row.aggregateId)));
    return toChangesPage(events, { after, limit, newest: head.position, source: this.#source });
  }

  async list<T extends AggregateType>(type: T, page: ListPage | undefined): Promise<Snapshot<T>[]> {
    const [sql, more] = page?.after === undefined ? [list, []] : [listAfter, [toText(page.after)]];
    const { rows } = await this.#select<StateRow>(sql, [type, page?.limit ?? null, ...more]);
    return rows.map((row) => toSnapshot(toStoredState(row), this.#source) as Snapshot<T>);
  }

  /** In one round trip, as of one moment. */
  #select<Row extends object>(sql: string, values: readonly unknown[]) {
    return retryIfLost(() =>
      this.#database.use(async (client) => {
        const [, head, { rows }] = await Promise.all([
          client.query(beginRead(this.#database.limits)),
          readHead(client),
          client.query<Row>(sql, [...values]),
          client.query("COMMIT"),
        ]);
        return { head, rows };
      }),
    );
  }
}

const list = `SELECT ${stateColumns} FROM portcullis.aggregates a WHERE a.type = $1
    ORDER BY a.id COLLATE "C" LIMIT $2`;
const listAfter = `SELECT ${stateColumns} FROM portcullis.aggregates a WHERE a.type = $1 AND a.id COLLATE "C" > $3
    ORDER BY a.id COLLATE "C" LIMIT $2`;

/**
 * The first row is the start: the sequence of an event, and the position of the one before it. Then come the events before it, each found by
 * its position. An older version of this program may have left a position out, and then there is an index to find the event. OFFSET 0 keeps
 * the planner from a plan that reads the whole table for each step, which it may take for a small one.
 */
const walkBack = (start: string): string => `WITH RECURSIVE walk AS (
    ${start}
    UNION ALL
    SELECT e.position, e.sequence, e.previous, e.type, e.version, e.payload, e.recorded_at, e.actor, w.steps + 1
    FROM walk AS w CROSS JOIN LATERAL (
      SELECT * FROM portcullis.events AS found
      WHERE found.position = coalesce(w.previous, (
          SELECT b.position FROM portcullis.events AS b
          WHERE b.aggregate_type = $1 AND b.aggregate_id = $2 AND b.sequence = w.sequence - 1
        )) OFFSET 0
    ) AS e
    WHERE w.steps < $3 AND e.aggregate_type = $1 AND e.aggregate_id = $2 AND e.sequence = w.sequence - 1
  ) SELECT position, sequence, previous, type, version, payload, recorded_at AS "recordedAt", actor FROM walk ORDER BY steps`;

const startColumns = (sequence: string, previous: string): string =>
  `NULL::bigint AS position, ${sequence} AS sequence, ${previous} AS previous, NULL::text AS type, NULL::integer AS version,
    NULL::text AS payload, NULL::bigint AS recorded_at, NULL::text AS actor, 0 AS steps`;

/** As if there were one more event. */
const fromNewest = walkBack(
  `SELECT ${startColumns("version + 1", "CASE WHEN position_version = version THEN position END")}
    FROM portcullis.aggregates WHERE type = $1 AND id = $2`,
);
const fromEvent = walkBack(
  `SELECT ${startColumns("sequence", "previous")} FROM portcullis.events
    WHERE position = $4 AND aggregate_type = $1 AND aggregate_id = $2`,
);

const selectChanges = `SELECT position, sequence, previous, type, version, payload, recorded_at AS "recordedAt", actor,
    aggregate_type AS "aggregateType", aggregate_id AS "aggregateId" FROM portcullis.events
    WHERE position > $1 AND position <= $1::bigint + ${maxLookedAt} AND ($2::text[] IS NULL OR aggregate_type = ANY ($2))
    ORDER BY position LIMIT $3`;

type WalkRow = EventRow | { readonly position: null; readonly sequence: string };
interface EventRow extends Record<"position" | "sequence" | "type" | "payload" | "recordedAt" | "actor", string> {
  readonly version: number;
  readonly previous: string | null;
}
interface ChangeRow extends EventRow {
  readonly aggregateType: string;
  readonly aggregateId: string;
}

const toStoredEvent = (row: EventRow, aggregateType: string, aggregateId: string): StoredEvent => ({
  ...row,
  position: Number(row.position),
  aggregateType,
  aggregateId,
  sequence: Number(row.sequence),
  recordedAt: Number(row.recordedAt),
  actor: fromText(row.actor),
  previous: toNumber(row.previous),
});
