import type { UniqueKey } from "../../domain/states.ts";
import type { AggregateRef, History } from "../store.ts";
import { type StateSource, type StoredEvent, type StoredState, toRecordedEvent, toSnapshot } from "./read-rows.ts";

type RowsOf<T> = AsyncIterable<T> | Iterable<T>;
/** A page is never empty, and has no more than some thousand rows. */
type PagesOf<T> = RowsOf<readonly T[]>;

/** All rows of a store but its records, as of one moment. Its size is no bound: they are read as they are iterated. */
export interface StoredHistory {
  /** In the order of their positions. */
  events(): RowsOf<StoredEvent>;
  aggregates(): RowsOf<StoredState>;
  /** Of every event, in the order of their positions. */
  places(): PagesOf<StoredPlace>;
  /**
   * One aggregate after the other, in any order: its events in the order of their positions, then its state, then its keys. The engine
   * sorts on disk.
   */
  byAggregate(): PagesOf<Part>;
  /** The same without states and keys. */
  eventsByAggregate(): PagesOf<Part>;
  holderOf(key: UniqueKey): AggregateRef | undefined | Promise<AggregateRef | undefined>;
}

export interface Place extends Pick<StoredEvent, "position" | "recordedAt"> {
  /** Position of the first event of its append; none where an older version wrote it. */
  readonly append?: number | null | undefined;
}

export type StoredPlace = Pick<StoredEvent, "position" | "recordedAt" | "append" | "cause">;

/** A row with the aggregate that it belongs to. */
export type Part = EventPart | StatePart | KeyPart;
export interface EventPart extends Omit<StoredEvent, "aggregateType" | "aggregateId" | "actor" | "append" | "cause"> {
  readonly of: "event";
  readonly ref: AggregateRef;
}
export interface StatePart extends Omit<StoredState, "type" | "id"> {
  readonly of: "state";
  readonly ref: AggregateRef;
}
export interface KeyPart extends UniqueKey {
  readonly of: "key";
  readonly ref: AggregateRef;
}

/** Parts as engines select them: with the same columns, since all are sorted together. The third is their order in an aggregate. */
export type PartRow =
  | [
      ...Owner,
      part: 0,
      position: number,
      sequence: number,
      version: number,
      recordedAt: number,
      previous: number | null,
      type: string,
      payload: string,
    ]
  | [
      ...Owner,
      part: 1,
      position: number | null,
      version: number,
      positionVersion: number | null,
      none: null,
      none: null,
      digest: string | null,
      state: string,
    ]
  | [...Owner, part: 2, none: null, none: null, none: null, none: null, none: null, kind: string, value: string];
type Owner = [aggregateType: string, aggregateId: string];

export function toPart(row: PartRow): Part {
  const ref = { type: row[0], id: row[1] } as AggregateRef;
  switch (row[2]) {
    case 0: {
      const [, , , position, sequence, version, recordedAt, previous, type, payload] = row;
      return { of: "event", ref, position, sequence, version, recordedAt, previous, type, payload };
    }
    case 1: {
      const [, , , position, version, positionVersion, , , digest, state] = row;
      return { of: "state", ref, version, state, digest, position, positionVersion };
    }
    case 2:
      return { of: "key", ref, kind: row[8] as UniqueKey["kind"], value: row[9] };
  }
}

export const toHistory = (stored: StoredHistory, source: StateSource): History => ({
  async *events() {
    for await (const row of stored.events()) yield toRecordedEvent(row, source.name);
  },
  async *aggregates() {
    for await (const row of stored.aggregates()) yield toSnapshot(row, source);
  },
});
