import { StoreError } from "../errors.ts";
import type { Writes } from "../shared/batch.ts";
import type { CachedMoment } from "../shared/cached-moment.ts";
import { evolveRecorded, orderProblems, sequenceProblems } from "../shared/fold.ts";
import type { Place } from "../shared/history.ts";
import { keyChanges } from "../shared/unique-keys.ts";
import { type Moment, nameOfRef } from "../shared/view.ts";
import { type Rows, toRows } from "../shared/written-rows.ts";
import type { AggregateRef, Projection, RecordedEvent, Snapshot } from "../store.ts";

/** An empty store that is being filled, in a transaction that no one else sees. */
export interface Filling {
  /** What was written so far. */
  readonly written: CachedMoment;
  /** Brings these into `written`, for an engine that cannot load them when they are needed. */
  fetch?(refs: readonly AggregateRef[]): Promise<void>;
  write(rows: Rows): Promise<void>;
}

const batchSize = 1000;

/** Writes all events with their projection, some at a time. See Store.import for what it rejects with. */
export async function fill(
  events: AsyncIterable<RecordedEvent>,
  filling: Filling,
  projection: Projection,
): Promise<void> {
  const { written } = filling;
  // An append may go on in the next batch.
  let last: Place = written;
  for await (const batch of inBatches(events)) {
    await filling.fetch?.(batch.map(({ ref }) => ref));
    const writes = foldOnto({ before: written, last }, batch, projection);
    last = batch.at(-1) ?? last;
    await filling.write(toRows(writes));
    written.advance(writes);
  }
}

/** What recorded events add to a store, with the aggregates that they make. `last` is the place of the event before them. */
export function foldOnto(
  { before, last }: { readonly before: Moment; readonly last: Place },
  events: readonly RecordedEvent[],
  projection: Projection,
): Writes {
  const after = new Map<string, Snapshot>();
  let place = last;
  const linked: RecordedEvent[] = [];
  for (const recorded of events) {
    const { ref } = recorded;
    const snapshot = after.get(nameOfRef(ref)) ?? before.load(ref);
    refuse([...orderProblems(recorded, place), ...sequenceProblems(recorded, snapshot.version)]);
    after.set(nameOfRef(ref), evolveRecorded(snapshot, recorded, projection));
    linked.push({ ...recorded, previous: snapshot.position });
    place = recorded;
  }
  const aggregates = [...after.values()];
  const keyMoves = aggregates.flatMap((snapshot) => keyMovesTo(snapshot, before.load(snapshot.ref), projection));
  return { events: linked, aggregates, keyMoves, records: [], now: 0 };
}

/** The table of keys refuses a key that another aggregate has: see `toImportError`. */
function keyMovesTo(after: Snapshot, before: Snapshot, projection: Projection): Writes["keyMoves"] {
  const { ref } = after;
  const { freed, taken } = keyChanges(before, after, projection);
  for (const { kind, value } of taken) {
    // The events come from elsewhere, and may be of another shape than their types say.
    if (typeof value === "string" && value.isWellFormed()) continue;
    refuse([`The ${kind} of ${ref.type} ${ref.id} is not well-formed Unicode.`]);
  }
  return [
    ...freed.map((key) => ({ key, from: ref, to: undefined })),
    ...taken.map((key) => ({ key, from: undefined, to: ref })),
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

/** The error of an import, from the engine's. Positions and sequences are checked before, so a conflict is one of unique keys. */
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
