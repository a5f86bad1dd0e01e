import type { History } from "../store.ts";
import {
  type StateSource,
  type StoredEvent,
  type StoredState,
  type StoredUniqueKey,
  toRecordedEvent,
  toSnapshot,
} from "./read-rows.ts";

type RowsOf<T> = AsyncIterable<T> | Iterable<T>;

/** All rows of a store but its records, as of one moment. */
export interface StoredHistory {
  /** In the order of their positions. */
  events(): RowsOf<StoredEvent>;
  aggregates(): RowsOf<StoredState>;
  keys(): RowsOf<StoredUniqueKey>;
}

export const toHistory = (stored: StoredHistory, source: StateSource): History => ({
  async *events() {
    for await (const row of stored.events()) yield toRecordedEvent(row, source.name);
  },
  async *aggregates() {
    for await (const row of stored.aggregates()) yield toSnapshot(row, source);
  },
});
