import type { ClientBase } from "pg";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import { type EventPart, type PartRow, type StoredHistory, toPart } from "../shared/history.ts";
import type { StateWithoutDigest } from "../shared/missing-digest.ts";
import type { StoredEvent, StoredState } from "../shared/read-rows.ts";
import { compare, Findings } from "../shared/verify.ts";
import type { AggregateRef, Projection, Store } from "../store.ts";
import { beginRead, longRun, patient } from "./begin.ts";
import { type StateRow, stateColumns, toNumber, toStoredState } from "./fetch.ts";
import { readHead } from "./head.ts";
import { fromText, toText } from "./text.ts";

// The history is read by pages of a few megabytes. The server hears nothing while a page is used, so its transaction has the limits of a
// long run.

const pageRows = 5000;

/** What a connection sees, in the transaction that it has begun. */
export const historyOf = (client: ClientBase): StoredHistory => ({
  events: () => selectEvents(client),
  aggregates: () => selectAggregates(client),
  places: () =>
    selectPages(client, selectPlaces, ([position, recordedAt, append, cause]) => ({
      position: Number(position),
      recordedAt: Number(recordedAt),
      append: append == null ? null : Number(append),
      cause: cause == null ? null : String(cause),
    })),
  byAggregate: () => selectPages(client, selectParts, (row) => toPart(toPartRow(row))),
  eventsByAggregate: () => selectPages(client, selectEventParts, (row) => toPart(toPartRow(row))),
  holderOf: (key) => findHolder(client, key),
});

/** See Store.verify. One transaction, so all of it is as of one moment. */
export async function verify(client: ClientBase, projection: Projection): ReturnType<Store["verify"]> {
  const findings = new Findings();
  await client.query(beginRead(longRun));
  await compare(historyOf(client), projection, findings);
  const { position } = await readHead(client);
  await client.query("COMMIT");
  if (position !== findings.last.position) {
    findings.problems.add(`The head is at position ${position}, and the last event at ${findings.last.position}.`);
  }
  return findings.toResult();
}

async function* selectEvents(client: ClientBase): AsyncIterable<StoredEvent> {
  for (let after = 0; ; ) {
    const page = patient(
      `SELECT position, aggregate_type AS "aggregateType", aggregate_id AS "aggregateId", sequence, type, version, payload,
        recorded_at AS "recordedAt", actor, previous, append_position AS append, cause
        FROM portcullis.events WHERE position > $1 ORDER BY position LIMIT $2`,
      [after, pageRows],
    );
    const { rows } = await client.query<Record<keyof StoredEvent, string>>(page);
    for (const row of rows) {
      after = Number(row.position);
      yield {
        ...row,
        position: after,
        aggregateId: fromText(row.aggregateId),
        sequence: Number(row.sequence),
        version: Number(row.version),
        recordedAt: Number(row.recordedAt),
        actor: fromText(row.actor),
        previous: toNumber(row.previous),
        append: toNumber(row.append),
      };
    }
    if (rows.length < pageRows) return;
  }
}

async function* selectAggregates(client: ClientBase): AsyncIterable<StoredState> {
  for (let after = ["", ""]; ; ) {
    const page = patient(
      `SELECT ${stateColumns} FROM portcullis.aggregates a WHERE (a.type, a.id) > ($1, $2)
        ORDER BY a.type, a.id LIMIT $3`,
      [...after, pageRows],
    );
    const { rows } = await client.query<StateRow>(page);
    for (const row of rows) {
      after = [row.type, row.id];
      yield toStoredState(row);
    }
    if (rows.length < pageRows) return;
  }
}

async function findHolder(client: ClientBase, { kind, value }: UniqueKey): Promise<AggregateRef | undefined> {
  const { rows } = await client.query<{ readonly type: AggregateType; readonly id: string }>(
    "SELECT aggregate_type AS type, aggregate_id AS id FROM portcullis.keys WHERE kind = $1 AND value = $2",
    [kind, toText(value)],
  );
  const [holder] = rows;
  return holder && { type: holder.type, id: fromText(holder.id) };
}

/**
 * The events of some aggregates, up to the versions that these have, by pages. The events of each are in the order of their sequences. Has
 * to be in a transaction, and be iterated to the end.
 */
export function selectEventsOf(
  client: ClientBase,
  states: readonly Pick<StateWithoutDigest, "type" | "id" | "version">[],
): AsyncIterable<readonly EventPart[]> {
  const columns = [
    states.map(({ type }) => type),
    states.map(({ id }) => toText(id)),
    states.map(({ version }) => version),
  ];
  return selectPages(client, selectSomeEvents, (row) => toPart(toPartRow(row)) as EventPart, columns);
}

const selectPlaces = "SELECT position, recorded_at, append_position, cause FROM portcullis.events ORDER BY position";

const partsOfEvents = `SELECT aggregate_type, aggregate_id, 0 AS part, position, sequence, version, recorded_at, previous, type,
    payload FROM portcullis.events`;
// Any order would do. That of bytes is the quickest.
const inOrder = (parts: string) =>
  `SELECT * FROM (${parts}) AS parts ORDER BY aggregate_type COLLATE "C", aggregate_id COLLATE "C", part, position`;
const selectEventParts = inOrder(partsOfEvents);
const selectSomeEvents = `SELECT aggregate_type, aggregate_id, 0 AS part, position, sequence, e.version, recorded_at, previous, e.type,
    payload FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (type, id, version)
  JOIN portcullis.events AS e ON aggregate_type = wanted.type AND aggregate_id = wanted.id AND sequence <= wanted.version
  ORDER BY sequence`;
const selectParts = inOrder(`${partsOfEvents}
  UNION ALL SELECT type, id, 1, position, version, position_version, NULL, NULL,
      CASE WHEN digest_version = version THEN digest END, state
    FROM portcullis.aggregates
  UNION ALL SELECT aggregate_type, aggregate_id, 2, NULL, NULL, NULL, NULL, NULL, kind, value FROM portcullis.keys`);

/** A column as the driver gives it: short numbers as such, and long ones as text. */
type Value = string | number | null;

function toPartRow([type, id, part, ...row]: readonly Value[]): PartRow {
  const [name, value] = row.splice(-2);
  const keyOrText = part === 2 ? fromText(String(value)) : value;
  const numbers = row.map((number) => (number === null ? null : Number(number)));
  return [type, fromText(String(id)), part, ...numbers, name, keyOrText] as PartRow;
}

/** The rows of a query by pages. The server runs it once, and keeps on its disk what it has sorted. */
async function* selectPages<T>(
  client: ClientBase,
  sql: string,
  toItem: (row: readonly Value[]) => T,
  values: readonly unknown[] = [],
): AsyncIterable<readonly T[]> {
  // Otherwise the server prefers a plan that gives the first rows soon and the last ones late.
  await client.query("SET LOCAL cursor_tuple_fraction = 1");
  await client.query(patient(`DECLARE pages NO SCROLL CURSOR FOR ${sql}`, values));
  for (;;) {
    const { rows } = await client.query<Value[]>({ ...patient(`FETCH ${pageRows} FROM pages`), rowMode: "array" });
    if (rows.length > 0) yield rows.map(toItem);
    if (rows.length < pageRows) break;
  }
  await client.query("CLOSE pages");
}
