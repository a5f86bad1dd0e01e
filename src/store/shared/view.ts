import type { UniqueKey } from "../../domain/states.ts";
import type { AggregateRef, Read, ReadOptions, RecordRef, Snapshot, StoreRecord, View } from "../store.ts";

/** The store as of one `position`: views are collected from it. */
export interface Moment {
  readonly position: number;
  readonly recordedAt: number;
  load(ref: AggregateRef): Snapshot;
  findHolder(key: UniqueKey): AggregateRef | undefined;
  loadRecord(ref: RecordRef): StoreRecord | undefined;
}

// Keys of maps. No type and no kind has a colon in its name.
export const nameOfRef = (ref: AggregateRef): string => `${ref.type}:${ref.id}`;
export const nameOfUniqueKey = (key: UniqueKey): string => `${key.kind}:${key.value}`;

export const isUniqueKey = (read: Read): read is UniqueKey => "kind" in read;
export const isRecordRef = (read: Read): read is RecordRef => "record" in read;

export const isSameRef = (a: AggregateRef, b: AggregateRef): boolean => a.type === b.type && a.id === b.id;

/** Reads everything now. An aggregate found by a key counts as read: it can be got and changed by its id, too. */
export function collectView(reads: readonly Read[], moment: Moment, follow?: ReadOptions["follow"]): View {
  const view = new CollectedView(moment);
  view.add(reads, moment);
  if (follow !== undefined) view.add(follow(view), moment);
  return view;
}

/** With lists instead of maps: a view holds two or three things, and nearly every call makes one. */
class CollectedView implements View {
  readonly position: number;
  readonly recordedAt: number;
  readonly snapshots: Snapshot[] = [];
  readonly found: { readonly key: UniqueKey; readonly snapshot: Snapshot | undefined }[] = [];
  readonly records: { readonly ref: RecordRef; readonly record: StoreRecord | undefined }[] = [];

  constructor({ position, recordedAt }: Moment) {
    this.position = position;
    this.recordedAt = recordedAt;
  }

  add(reads: readonly Read[], moment: Moment): void {
    for (const read of reads) {
      if (isRecordRef(read)) {
        this.records.push({ ref: read, record: moment.loadRecord(read) });
        continue;
      }
      const ref = isUniqueKey(read) ? moment.findHolder(read) : read;
      const snapshot = ref && moment.load(ref);
      if (snapshot !== undefined) this.snapshots.push(snapshot);
      if (isUniqueKey(read)) this.found.push({ key: read, snapshot });
    }
  }

  get: View["get"] = (ref) => {
    const snapshot = this.snapshots.find((one) => isSameRef(one.ref, ref));
    if (snapshot === undefined) throw new Error(`${ref.type} ${ref.id} is not among the reads`);
    return snapshot as never;
  };

  find(key: UniqueKey): Snapshot | undefined {
    const found = this.found.find((one) => one.key.kind === key.kind && one.key.value === key.value);
    if (found === undefined) throw new Error(`a key of kind ${key.kind} is not among the reads`);
    return found.snapshot;
  }

  record(ref: RecordRef): StoreRecord | undefined {
    const found = this.records.find((one) => one.ref.record === ref.record && one.ref.id === ref.id);
    if (found === undefined) throw new Error(`a record of kind ${ref.record} is not among the reads`);
    return found.record;
  }
}
