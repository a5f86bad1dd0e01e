import type { Key } from "../policy/states.ts";
import type { AggregateRef, Read, Snapshot, View } from "./store.ts";

/** What a view is made from: everything in it is as of `position`. */
export interface Moment {
  readonly position: number;
  readonly recordedAt: number;
  load(ref: AggregateRef): Snapshot;
  findHolder(key: Key): AggregateRef | undefined;
}

/** One text per aggregate: no type has a colon in its name. */
export const nameOfRef = (ref: AggregateRef): string => `${ref.type}:${ref.id}`;
/** One text per key: no kind has a colon in its name. */
export const nameOfKey = (key: Key): string => `${key.kind}:${key.value}`;

export const isKey = (read: Read): read is Key => "kind" in read;

export const isSameRef = (a: AggregateRef, b: AggregateRef): boolean => a.type === b.type && a.id === b.id;

/** Reads everything now. An aggregate found by a key counts as read, so it may be got, and changed, by its id as well. */
export function collectView(reads: readonly Read[], moment: Moment): View {
  const aggregates = new Map<string, Snapshot>();
  const found = new Map<string, Snapshot | undefined>();
  for (const read of reads) {
    const ref = isKey(read) ? moment.findHolder(read) : read;
    const snapshot = ref && moment.load(ref);
    if (snapshot !== undefined) aggregates.set(nameOfRef(snapshot.ref), snapshot);
    if (isKey(read)) found.set(nameOfKey(read), snapshot);
  }
  return new CollectedView({ aggregates, found, moment });
}

class CollectedView implements View {
  readonly position: number;
  readonly recordedAt: number;
  readonly #aggregates: ReadonlyMap<string, Snapshot>;
  readonly #found: ReadonlyMap<string, Snapshot | undefined>;

  constructor(collected: {
    readonly aggregates: ReadonlyMap<string, Snapshot>;
    readonly found: ReadonlyMap<string, Snapshot | undefined>;
    readonly moment: Moment;
  }) {
    this.#aggregates = collected.aggregates;
    this.#found = collected.found;
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
}
