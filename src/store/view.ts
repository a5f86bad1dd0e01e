import type { Key } from "../policy/states.ts";
import type { AggregateRef, Read, RecordRef, Snapshot, StoreRecord, View } from "./store.ts";

/** What a view is made from: everything in it is as of `position`. */
export interface Moment {
  readonly position: number;
  readonly recordedAt: number;
  load(ref: AggregateRef): Snapshot;
  findHolder(key: Key): AggregateRef | undefined;
  loadRecord(ref: RecordRef): StoreRecord | undefined;
}

/** One text per aggregate: no type has a colon in its name. */
export const nameOfRef = (ref: AggregateRef): string => `${ref.type}:${ref.id}`;
/** One text per key: no kind has a colon in its name. */
export const nameOfKey = (key: Key): string => `${key.kind}:${key.value}`;

/** One text per record: no kind has a colon in its name. */
export const nameOfRecord = (ref: RecordRef): string => `${ref.record}:${ref.id}`;

export const isKey = (read: Read): read is Key => "kind" in read;
export const isRecordRef = (read: Read): read is RecordRef => "record" in read;

export const isSameRef = (a: AggregateRef, b: AggregateRef): boolean => a.type === b.type && a.id === b.id;

/** Reads everything now. An aggregate found by a key counts as read, so it may be got, and changed, by its id as well. */
export function collectView(reads: readonly Read[], moment: Moment): View {
  const aggregates = new Map<string, Snapshot>();
  const found = new Map<string, Snapshot | undefined>();
  const records = new Map<string, StoreRecord | undefined>();
  for (const read of reads) {
    if (isRecordRef(read)) {
      records.set(nameOfRecord(read), moment.loadRecord(read));
      continue;
    }
    const ref = isKey(read) ? moment.findHolder(read) : read;
    const snapshot = ref && moment.load(ref);
    if (snapshot !== undefined) aggregates.set(nameOfRef(snapshot.ref), snapshot);
    if (isKey(read)) found.set(nameOfKey(read), snapshot);
  }
  return new CollectedView({ aggregates, found, records, moment });
}

class CollectedView implements View {
  readonly position: number;
  readonly recordedAt: number;
  readonly #aggregates: ReadonlyMap<string, Snapshot>;
  readonly #found: ReadonlyMap<string, Snapshot | undefined>;
  readonly #records: ReadonlyMap<string, StoreRecord | undefined>;

  constructor(collected: {
    readonly aggregates: ReadonlyMap<string, Snapshot>;
    readonly found: ReadonlyMap<string, Snapshot | undefined>;
    readonly records: ReadonlyMap<string, StoreRecord | undefined>;
    readonly moment: Moment;
  }) {
    this.#aggregates = collected.aggregates;
    this.#found = collected.found;
    this.#records = collected.records;
    this.position = collected.moment.position;
    this.recordedAt = collected.moment.recordedAt;
  }

  get: View["get"] = (ref) => {
    const snapshot = this.#aggregates.get(nameOfRef(ref));
    if (snapshot === undefined) throw new Error(`${ref.type} ${ref.id} is not among the reads`);
    return snapshot as never;
  };

  find(key: Key): Snapshot | undefined {
    const name = nameOfKey(key);
    if (!this.#found.has(name)) throw new Error(`a key of kind ${key.kind} is not among the reads`);
    return this.#found.get(name);
  }

  record(ref: RecordRef): StoreRecord | undefined {
    const name = nameOfRecord(ref);
    if (!this.#records.has(name)) throw new Error(`a record of kind ${ref.record} is not among the reads`);
    return this.#records.get(name);
  }
}
