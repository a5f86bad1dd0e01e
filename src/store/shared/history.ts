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
  places(): PagesOf<Place>;
  /**
   * One aggregate after the other, in any order: its events in the order of their positions, then its state, then its keys. The engine
   * sorts on disk.
   */
  byAggregate(): PagesOf<Part>;
  /** The same without states and keys. */
  eventsByAggregate(): PagesOf<Part>;
  holderOf(key: UniqueKey): AggregateRef | undefined | Promise<AggregateRef | undefined>;
}

export type Place = Pick<StoredEvent, "position" | "recordedAt">;

/** A row with the aggregate that it belongs to. */
export type Part = EventPart | StatePart | KeyPart;
export interface EventPart extends Omit<StoredEvent, "aggregateType" | "aggregateId" | "actor"> {
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

/** A part as engines select it, since all parts are sorted together: the columns that one sort does not have are null. */
export type PartRow = [
  aggregateType: string,
  aggregateId: string,
  /** Their order within an aggregate. */
  part: 0 | 1 | 2,
  position: number | null,
  /** Of an event; of a state, the version that it is at. */
  sequence: number | null,
  version: number | null,
  recordedAt: number | null,
  /** Of an event, its type; of a state, its digest; of a key, its kind. */
  name: string | null,
  /** Of an event, its payload; of a state, itself; of a key, its value. */
  value: string,
];

export function toPart(row: PartRow): Part {
  const [aggregateType, id, part, position, sequence, version, recordedAt, name, value] = row;
  const ref = { type: aggregateType, id } as AggregateRef;
  switch (part) {
    case 0: {
      const event = { position, sequence, version, recordedAt, type: name } as Omit<
        EventPart,
        "of" | "ref" | "payload"
      >;
      return { of: "event", ref, ...event, payload: value };
    }
    case 1:
      return { of: "state", ref, version: sequence as number, state: value, digest: name };
    case 2:
      return { of: "key", ref, kind: name as UniqueKey["kind"], value };
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
