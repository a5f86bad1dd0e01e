import type { Snapshot } from "../store.ts";
import type { Writes } from "./batch.ts";
import { digestOf } from "./read-rows.ts";

// Rows as engines write them: arrays of plain values, which are cheap to copy between threads. `read-rows.ts` has them as they are read.

type EventRow = readonly [
  position: number,
  aggregateType: string,
  aggregateId: string,
  sequence: number,
  type: string,
  version: number,
  payload: string,
  recordedAt: number,
  actor: string,
  previous: number | null,
  append: number | null,
  cause: string | null,
];
type AggregateRow = readonly [
  type: string,
  id: string,
  version: number,
  state: string,
  digest: string,
  position: number | null,
];
type RecordRow = readonly [kind: string, id: string, value: string, expiresAt: number | null];
type KeyRow = readonly [kind: string, value: string, aggregateType: string, aggregateId: string];

/** What one transaction writes. */
export interface Rows {
  /** Empties the projection first. */
  readonly replacesProjection: boolean;
  /** Removes every record. */
  readonly removesRecords: boolean;
  readonly events: readonly EventRow[];
  readonly aggregates: readonly AggregateRow[];
  readonly freedKeys: readonly KeyRow[];
  readonly takenKeys: readonly KeyRow[];
  readonly removedRecords: readonly (readonly [kind: string, id: string])[];
  readonly putRecords: readonly RecordRow[];
  /** With each record that is put, some that expired by then are removed: milliseconds since 1970 UTC. */
  readonly now: number;
}

/** For a transaction whose rows were written already. */
export const noRows: Rows = toRows({ events: [], aggregates: [], keyMoves: [], records: [], now: 0 });

/** Whether events alone do not tell what was written: such commits are counted, for those who keep in memory what they read. */
export const isBesideEvents = ({ replacesProjection, removesRecords, removedRecords, putRecords }: Rows): boolean =>
  replacesProjection || removesRecords || removedRecords.length + putRecords.length > 0;

/** A mistake of the caller: an event, a state or a record holds what JSON cannot. */
export class NotJson extends Error {}

function toJson(value: unknown, name: string): string {
  let text: string | undefined;
  let cause: unknown;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    cause = error;
  }
  if (text === undefined) throw new NotJson(`${name} is no JSON`, { cause });
  return text;
}

/** Throws NotJson. */
export function toRows(writes: Writes, replacesProjection = false): Rows {
  const { events, aggregates, keyMoves, records, now } = writes;
  return {
    replacesProjection,
    removesRecords: false,
    events: events.map(({ position, ref, sequence, event, recordedAt, actor, previous, append, cause }) => [
      position,
      ref.type,
      ref.id,
      sequence,
      event.type,
      event.version,
      toJson(event.payload, `the payload of ${event.type}`),
      recordedAt,
      actor,
      previous ?? null,
      append ?? null,
      cause === undefined ? null : toJson(cause, `the cause of ${event.type}`),
    ]),
    aggregates: aggregates.map(toAggregateRow),
    freedKeys: keyMoves.flatMap(({ key, from }) => (from ? [[key.kind, key.value, from.type, from.id] as const] : [])),
    removedRecords: records.flatMap(({ ref, to }) => (to === undefined ? [[ref.record, ref.id] as const] : [])),
    putRecords: records.flatMap(({ ref, to }) =>
      to === undefined
        ? []
        : [[ref.record, ref.id, toJson(to.value, `a record of kind ${ref.record}`), to.expiresAt ?? null] as const],
    ),
    now,
    takenKeys: keyMoves.flatMap(({ key, to }) => (to ? [[key.kind, key.value, to.type, to.id] as const] : [])),
  };
}

/** Removes every record, and writes nothing. `now` is milliseconds since 1970 UTC. */
export const removalOfRecords = (now: number): Rows => ({
  ...noRows,
  now,
  removesRecords: true,
});

function toAggregateRow({ ref: { type, id }, version, position, state }: Snapshot): AggregateRow {
  const text = toJson(state, `the state of ${type} ${id}`);
  return [type, id, version, text, digestOf({ type, id, version, state: text }), position ?? null];
}
