import type { UniqueKey } from "../../domain/states.ts";
import { StoreError } from "../errors.ts";
import type { AggregateRef, Read, ReadOptions, RecordRef, Snapshot, StoreRecord, View } from "../store.ts";
import type { Writes } from "./batch.ts";
import { NameMap } from "./names.ts";
import { collectView, isRecordRef, isUniqueKey, type Moment, nameOfRef } from "./view.ts";

/** Enough for the callers of a busy server. */
const maxCached = 4096;

/** How to load what is not in memory. */
export type Loads = Pick<Moment, "load" | "findHolder" | "loadRecord">;

/** Stands in for what was loaded and is damaged. It fails only those who ask for it. */
class Damaged {
  readonly error: StoreError;

  constructor(error: StoreError) {
    this.error = error;
  }
}

/** What is loaded, or Damaged for a StoreError. */
export function orDamaged<T>(load: () => T): T | Damaged {
  try {
    return load();
  } catch (error) {
    if (error instanceof StoreError) return new Damaged(error);
    throw error;
  }
}

/** Keeps in memory what was loaded of one moment. Its owner knows when that moment has passed. */
export class CachedMoment implements Moment {
  position = 0;
  recordedAt = 0;
  /** How many times something was forgotten. */
  forgotten = 0;
  readonly #loads: Loads;
  readonly #aggregates = new NameMap<Snapshot | Damaged>();
  readonly #holders = new NameMap<AggregateRef | undefined>();
  readonly #records = new NameMap<StoreRecord | undefined | Damaged>();

  constructor(loads: Loads) {
    this.#loads = loads;
  }

  startOver({ position, recordedAt }: { readonly position: number; readonly recordedAt: number }): void {
    this.position = position;
    this.recordedAt = recordedAt;
    this.#clear();
  }

  /** Forgets everything if it has become too much. Call it only while nothing relies on what is in memory. */
  trim(): void {
    if (this.#aggregates.size + this.#holders.size + this.#records.size > maxCached) this.#clear();
  }

  #clear(): void {
    this.forgotten += 1;
    this.#aggregates.clear();
    this.#holders.clear();
    this.#records.clear();
  }

  putAggregate({ type, id }: AggregateRef, snapshot: Snapshot | Damaged): void {
    this.#aggregates.put(type, id, snapshot);
  }

  putHolder({ kind, value }: UniqueKey, holder: AggregateRef | undefined): void {
    this.#holders.put(kind, value, holder);
  }

  putRecord({ record, id }: RecordRef, value: StoreRecord | undefined | Damaged): void {
    this.#records.put(record, id, value);
  }

  /**
   * Takes over what was loaded of an earlier moment, where it has nothing. Since that moment, it must have advanced over known writes
   * alone, and forgotten nothing.
   */
  putMissing(earlier: CachedMoment): void {
    this.#aggregates.putMissing(earlier.#aggregates);
    this.#holders.putMissing(earlier.#holders);
    this.#records.putMissing(earlier.#records);
  }

  /** Moves to the moment after these writes. As with `trim`, nothing may rely on what is in memory. */
  advance({ events, aggregates, keyMoves, records }: Writes): void {
    const last = events.at(-1);
    if (last !== undefined) ({ position: this.position, recordedAt: this.recordedAt } = last);
    for (const snapshot of aggregates) this.putAggregate(snapshot.ref, snapshot);
    for (const { key, to } of keyMoves) this.putHolder(key, to);
    for (const { ref, to } of records) this.putRecord(ref, to);
    // Perhaps nobody reads between many commits.
    this.trim();
  }

  /** Moves to a later moment, at which only these aggregates are others. */
  moveTo(
    { position, recordedAt }: { readonly position: number; readonly recordedAt: number },
    changed: readonly AggregateRef[],
  ): void {
    this.position = position;
    this.recordedAt = recordedAt;
    if (changed.length === 0) return;
    this.forgotten += 1;
    const names = new Set(changed.map(nameOfRef));
    for (const { type, id } of changed) this.#aggregates.delete(type, id);
    // They may have given up keys, and taken others.
    this.#holders.deleteWhere((holder) => holder === undefined || names.has(nameOfRef(holder)));
  }

  forgetRecords(): void {
    this.forgotten += 1;
    this.#records.clear();
  }

  /** The view, if all of it is in memory. */
  view(reads: readonly Read[], follow?: ReadOptions["follow"]): View | undefined {
    if (!reads.every((read) => this.holds(read))) return undefined;
    const view = collectView(reads, this);
    const others = follow?.(view) ?? [];
    if (others.length === 0) return view;
    return others.every((read) => this.holds(read)) ? collectView([...reads, ...others], this) : undefined;
  }

  holds(read: Read): boolean {
    if (isRecordRef(read)) return this.#records.has(read.record, read.id);
    if (!isUniqueKey(read)) return this.#aggregates.has(read.type, read.id);
    const holder = this.#holders.get(read.kind, read.value);
    return holder === undefined
      ? this.#holders.has(read.kind, read.value)
      : this.#aggregates.has(holder.type, holder.id);
  }

  load(ref: AggregateRef): Snapshot {
    const cached = this.#aggregates.get(ref.type, ref.id);
    if (cached !== undefined) return orThrow(cached);
    const loaded = this.#loads.load(ref);
    this.putAggregate(ref, loaded);
    return loaded;
  }

  findHolder(key: UniqueKey): AggregateRef | undefined {
    if (this.#holders.has(key.kind, key.value)) return this.#holders.get(key.kind, key.value);
    const holder = this.#loads.findHolder(key);
    this.putHolder(key, holder);
    return holder;
  }

  loadRecord(ref: RecordRef): StoreRecord | undefined {
    if (this.#records.has(ref.record, ref.id)) return orThrow(this.#records.get(ref.record, ref.id));
    const loaded = this.#loads.loadRecord(ref);
    this.putRecord(ref, loaded);
    return loaded;
  }
}

function orThrow<T>(loaded: T | Damaged): T {
  if (loaded instanceof Damaged) throw loaded.error;
  return loaded;
}
