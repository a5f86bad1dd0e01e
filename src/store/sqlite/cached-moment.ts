import type { Key } from "../../policy/states.ts";
import type { Writes } from "../batch.ts";
import type { AggregateRef, Read, RecordRef, Snapshot, StoreRecord } from "../store.ts";
import { isKey, isRecordRef, type Moment, nameOfKey, nameOfRecord, nameOfRef } from "../view.ts";

/** Enough for the callers of a busy server; a full cache starts over. */
const maxCached = 4096;

type Loads = Pick<Moment, "load" | "findHolder" | "loadRecord">;

/** Keeps what was loaded of one moment. Its owner knows when that moment has passed. */
export class CachedMoment implements Moment {
  position = 0;
  recordedAt = 0;
  readonly #loads: Loads;
  readonly #aggregates = new Map<string, Snapshot>();
  readonly #holders = new Map<string, AggregateRef | undefined>();
  readonly #records = new Map<string, StoreRecord | undefined>();

  constructor(loads: Loads) {
    this.#loads = loads;
  }

  startOver({ position, recordedAt }: { readonly position: number; readonly recordedAt: number }): void {
    this.position = position;
    this.recordedAt = recordedAt;
    this.#aggregates.clear();
    this.#holders.clear();
    this.#records.clear();
  }

  /** Moves on to the moment after these writes. */
  advance({ events, aggregates, keyMoves, records }: Writes): void {
    const last = events.at(-1);
    if (last !== undefined) ({ position: this.position, recordedAt: this.recordedAt } = last);
    for (const snapshot of aggregates) put(this.#aggregates, nameOfRef(snapshot.ref), snapshot);
    for (const { key, to } of keyMoves) put(this.#holders, nameOfKey(key), to);
    for (const { ref, to } of records) put(this.#records, nameOfRecord(ref), to);
  }

  /** Whether all of it can be had without another read. */
  holdsAll(reads: readonly Read[]): boolean {
    return reads.every((read) => {
      if (isRecordRef(read)) return this.#records.has(nameOfRecord(read));
      if (!isKey(read)) return this.#aggregates.has(nameOfRef(read));
      const holder = this.#holders.get(nameOfKey(read));
      return holder === undefined ? this.#holders.has(nameOfKey(read)) : this.#aggregates.has(nameOfRef(holder));
    });
  }

  load(ref: AggregateRef): Snapshot {
    return keep(this.#aggregates, nameOfRef(ref), () => this.#loads.load(ref));
  }

  findHolder(key: Key): AggregateRef | undefined {
    return keep(this.#holders, nameOfKey(key), () => this.#loads.findHolder(key));
  }

  loadRecord(ref: RecordRef): StoreRecord | undefined {
    return keep(this.#records, nameOfRecord(ref), () => this.#loads.loadRecord(ref));
  }
}

function keep<T>(cache: Map<string, T>, name: string, load: () => T): T {
  const cached = cache.get(name);
  if (cached !== undefined || cache.has(name)) return cached as T;
  const loaded = load();
  put(cache, name, loaded);
  return loaded;
}

function put<T>(cache: Map<string, T>, name: string, value: T): void {
  if (cache.size >= maxCached) cache.clear();
  cache.set(name, value);
}
