import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import type { Writes } from "../shared/batch.ts";
import type { CachedMoment } from "../shared/cached-moment.ts";
import { evolveRecorded, orderProblems, type StoredEvent, sequenceProblems } from "../shared/fold.ts";
import { parseJson } from "../shared/json.ts";
import { type Rows, toRows } from "../shared/rows.ts";
import { type StateSource, type StoredState, toSnapshot } from "../shared/stored-state.ts";
import { type Moment, nameOfRef, nameOfUniqueKey } from "../shared/view.ts";
import type { AggregateRef, History, Projection, RecordedEvent, Snapshot } from "../store.ts";

/** Rows of an engine as a history. The events keep the versions that they were written with. */
export function toHistory(
  rows: {
    readonly events: () => AsyncIterable<StoredEvent> | Iterable<StoredEvent>;
    readonly aggregates: () => AsyncIterable<StoredState> | Iterable<StoredState>;
  },
  source: StateSource,
): History {
  return {
    async *events() {
      for await (const row of rows.events()) yield toRecordedEvent(row, source.name);
    },
    async *aggregates() {
      for await (const row of rows.aggregates()) yield toSnapshot(row, source);
    },
  };
}

function toRecordedEvent(row: StoredEvent, name: string): RecordedEvent {
  const { position, aggregateType, aggregateId, sequence, type, version, payload, recordedAt, actor } = row;
  const ref = { type: aggregateType as AggregateType, id: aggregateId };
  try {
    const event = { type, version, payload: parseJson(payload) } as never;
    return { position, ref, sequence, event, recordedAt, actor };
  } catch (error) {
    const sentence = `Event ${position} in the store ${name} is damaged: restore it from a backup.`;
    throw new StoreError("corrupt", sentence, error);
  }
}

/** An empty store that is being filled, in a transaction that nobody else sees. */
export interface Filling {
  /** What was written so far. */
  readonly written: CachedMoment;
  /** What `make` comes to, which reads these from what was written. */
  load(refs: readonly AggregateRef[], make: () => Writes): Promise<Writes>;
  write(rows: Rows): Promise<void>;
}

const batchSize = 1000;

/** Writes all events with their projection, some at a time. See Store.import for what it rejects with. */
export async function fill(
  events: AsyncIterable<RecordedEvent>,
  { written, load, write }: Filling,
  projection: Projection,
): Promise<void> {
  for await (const batch of inBatches(events)) {
    written.trim();
    const refs = batch.map(({ ref }) => ref);
    const writes = await load(refs, () => foldOnto(written, batch, projection));
    await write(toRows(writes));
    written.advance(writes);
  }
}

/** What recorded events, with the aggregates that they make, add to what is there. */
export function foldOnto(before: Moment, events: readonly RecordedEvent[], projection: Projection): Writes {
  const after = new Map<string, Snapshot>();
  let last: Pick<RecordedEvent, "position" | "recordedAt"> = before;
  for (const recorded of events) {
    const { ref } = recorded;
    const snapshot = after.get(nameOfRef(ref)) ?? before.load(ref);
    refuse([...orderProblems(recorded, last), ...sequenceProblems(recorded, snapshot.version)]);
    after.set(nameOfRef(ref), evolveRecorded(snapshot, recorded, projection));
    last = recorded;
  }
  const aggregates = [...after.values()];
  const keyMoves = aggregates.flatMap((snapshot) => keyMovesTo(snapshot, before.load(snapshot.ref), projection));
  return { events, aggregates, keyMoves, records: [], now: 0 };
}

/** Whether another aggregate has a key that is taken is left to the engine, whose keys have one holder each. */
function keyMovesTo({ ref, state }: Snapshot, before: Snapshot, projection: Projection): Writes["keyMoves"] {
  const held = new Map(projection.uniqueKeysOf(ref.type, before.state).map((key) => [nameOfUniqueKey(key), key]));
  const kept = new Map(projection.uniqueKeysOf(ref.type, state).map((key) => [nameOfUniqueKey(key), key]));
  for (const { kind, value } of kept.values()) {
    if (typeof value === "string" && value.isWellFormed()) continue;
    refuse([`The ${kind} of ${ref.type} ${ref.id} is not well-formed Unicode.`]);
  }
  const freed = [...held].filter(([name]) => !kept.has(name));
  const taken = [...kept].filter(([name]) => !held.has(name));
  return [
    ...freed.map(([, key]) => ({ key, from: ref, to: undefined })),
    ...taken.map(([, key]) => ({ key, from: undefined, to: ref })),
  ];
}

function refuse([problem]: readonly string[]): void {
  if (problem !== undefined) throw new StoreError("corrupt", problem);
}

/** Throws StoreError `conflict` unless the store whose newest event this is has none. */
export function refuseFilled({ position }: { readonly position: number }, name: string): void {
  if (position === 0) return;
  const advice = "import into an empty one, on which no server was started";
  throw new StoreError("conflict", `The store ${name} has events already: ${advice}.`);
}

/** The engine's error for what ended an import. Positions and sequences are checked, so a conflict is one of keys. */
export function toImportError(error: StoreError): StoreError {
  if (error.code !== "conflict" || error.cause === undefined) return error;
  return new StoreError("corrupt", "The events give two aggregates the same name, token or key.", error.cause);
}

async function* inBatches(events: AsyncIterable<RecordedEvent>): AsyncIterable<readonly RecordedEvent[]> {
  let batch: RecordedEvent[] = [];
  for await (const event of events) {
    batch.push(event);
    if (batch.length < batchSize) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
