import type { UniqueKey } from "../../domain/states.ts";
import { StoreError } from "../errors.ts";
import type {
  AggregateRef,
  Change,
  Clock,
  Command,
  CommandResult,
  Projection,
  Read,
  RecordChange,
  RecordedEvent,
  RecordRef,
  Snapshot,
  StoreRecord,
  View,
} from "../store.ts";
import { NameMap } from "./names.ts";
import { keyChanges } from "./unique-keys.ts";
import { collectView, isSameRef, type Moment } from "./view.ts";

/** A unique key that an aggregate gives up, takes, or hands to another. */
interface UniqueKeyMove {
  readonly key: UniqueKey;
  readonly from: AggregateRef | undefined;
  readonly to: AggregateRef | undefined;
}

/** What a batch writes. */
export interface Writes {
  readonly events: readonly RecordedEvent[];
  /** The last state of every aggregate that changed. */
  readonly aggregates: readonly Snapshot[];
  readonly keyMoves: readonly UniqueKeyMove[];
  /** The last value of every record that changed. */
  readonly records: readonly RecordChange[];
  /** Records that expired by then may be removed: milliseconds since 1970 UTC. */
  readonly now: number;
}

export const isEmpty = ({ events, records }: Writes): boolean => events.length === 0 && records.length === 0;

/** How a command of a batch ends once the batch is written. */
export type Ending = { readonly kind: "done"; readonly result: CommandResult<unknown> } | Failed;

interface Failed {
  readonly kind: "failed";
  readonly error: unknown;
}

export interface BatchContext {
  /** The store when the batch will be written. No one else may write before that. */
  readonly before: Moment;
  readonly projection: Projection;
  readonly clock: Clock;
}

/** The result of a batch, which is to be written as one. */
export interface DecidedBatch {
  /** In the order of the commands. */
  readonly endings: readonly Ending[];
  readonly writes: Writes;
  /** The store once the batch is written. */
  readonly after: AfterBatch;
}

/** The moment after a batch that may not be written yet. */
interface AfterBatch extends Moment {
  /** Called once the batch before it is written: its changes are found in the store now. */
  forgetBatchBefore(): void;
}

/** Thrown by a moment that cannot load these now: they are to be brought into it, and then it is asked again. */
export class NotHeld extends Error {
  readonly reads: readonly Read[];

  constructor(reads: readonly Read[]) {
    super("this is not in memory");
    this.reads = reads;
  }
}

/**
 * Decides commands one after the other, each on the moment before the batch and what those before it in the batch decided. A command that
 * fails leaves no trace for the next. Throws NotHeld with all that is missing.
 */
export function decideBatch(commands: readonly Command<unknown>[], context: BatchContext): DecidedBatch {
  const batch = new Draft(context.before);
  const missing: Read[] = [];
  const endings = commands.map((command): Ending => {
    try {
      const draft = new Draft(batch);
      const result = append(command, draft, context);
      draft.moveKeys(context.projection);
      batch.absorb(draft);
      return { kind: "done", result };
    } catch (error) {
      if (error instanceof NotHeld) missing.push(...error.reads);
      return { kind: "failed", error };
    }
  });
  if (missing.length > 0) throw new NotHeld(missing);
  return { endings, writes: batch.writes(context.clock()), after: batch };
}

function append(command: Command<unknown>, draft: Draft, context: BatchContext): CommandResult<unknown> {
  const view = collectView(command.reads, draft);
  const { changes, records = [], value } = command.decide(view);
  for (const change of changes) appendEvents(change, { command, view, draft, context });
  for (const change of records) draft.putRecord(change);
  return { value, events: draft.events };
}

function appendEvents(
  { ref, events }: Change,
  into: {
    readonly command: Command<unknown>;
    readonly view: View;
    readonly draft: Draft;
    readonly context: BatchContext;
  },
): void {
  const { command, view, draft, context } = into;
  view.get(ref);
  for (const event of events) {
    const before = draft.load(ref);
    const recordedAt = Math.max(Math.floor(context.clock()), draft.recordedAt);
    const origin = { sequence: before.version + 1, recordedAt };
    const state = context.projection.evolve(ref.type, { state: before.state, event, origin });
    const position = draft.position + 1;
    // A draft has the events of one command.
    const append = draft.events[0]?.position ?? position;
    const { actor, cause } = command;
    draft.add(
      { position, ref, previous: before.position, event, actor, append, cause, ...origin },
      { ref, version: origin.sequence, position, state },
    );
  }
}

/** Changes that are not written yet, over what they build on: a command's over its batch's, and a batch's over the store. */
class Draft implements AfterBatch {
  readonly events: RecordedEvent[] = [];
  #below: Moment;
  readonly #aggregates = new NameMap<Snapshot>();
  readonly #keyMoves = new NameMap<UniqueKeyMove>();
  readonly #records = new NameMap<RecordChange>();

  constructor(below: Moment) {
    this.#below = below;
  }

  forgetBatchBefore(): void {
    if (this.#below instanceof Draft) this.#below = this.#below.#below;
  }

  get position(): number {
    return this.events.at(-1)?.position ?? this.#below.position;
  }

  get recordedAt(): number {
    return this.events.at(-1)?.recordedAt ?? this.#below.recordedAt;
  }

  load(ref: AggregateRef): Snapshot {
    return this.#aggregates.get(ref.type, ref.id) ?? this.#below.load(ref);
  }

  findHolder(key: UniqueKey): AggregateRef | undefined {
    const moved = this.#keyMoves.get(key.kind, key.value);
    return moved === undefined ? this.#below.findHolder(key) : moved.to;
  }

  loadRecord(ref: RecordRef): StoreRecord | undefined {
    const change = this.#records.get(ref.record, ref.id);
    return change === undefined ? this.#below.loadRecord(ref) : change.to;
  }

  putRecord(change: RecordChange): void {
    const { record, id } = change.ref;
    // A database would store a lone surrogate as another character, and not find the record again.
    if (!id.isWellFormed()) throw new Error(`the id of a record of kind ${record} is not well-formed Unicode`);
    this.#records.put(record, id, change);
  }

  add(event: RecordedEvent, after: Snapshot): void {
    this.events.push(event);
    this.#aggregates.put(after.ref.type, after.ref.id, after);
  }

  /** Moves the unique keys of what changed. Gives keys up before it takes any, so that one command can pass a key to another aggregate. */
  moveKeys(projection: Projection): void {
    const taken: { readonly key: UniqueKey; readonly ref: AggregateRef }[] = [];
    for (const after of this.#aggregates.values()) {
      const { ref } = after;
      const changes = keyChanges(this.#below.load(ref), after, projection);
      for (const key of changes.freed) this.#moveKey({ key, from: ref, to: undefined });
      for (const key of changes.taken) taken.push({ key, ref });
    }
    if (taken.length > 0) this.#takeKeys(taken);
  }

  #takeKeys(taken: readonly { readonly key: UniqueKey; readonly ref: AggregateRef }[]): void {
    const missing: Read[] = [];
    for (const { key, ref } of taken) {
      let holder: AggregateRef | undefined;
      try {
        holder = this.findHolder(key);
      } catch (error) {
        if (!(error instanceof NotHeld)) throw error;
        missing.push(...error.reads);
      }
      if (holder !== undefined && !isSameRef(holder, ref)) {
        // The value stays out of the message: it may be a token's digest.
        const text = `The ${key.kind} of ${ref.type} ${ref.id} belongs to another ${holder.type}.`;
        throw new StoreError("conflict", text);
      }
      // A database would store a lone surrogate as another character, and not find the key again.
      if (!key.value.isWellFormed()) throw new Error(`a key of kind ${key.kind} is not well-formed Unicode`);
      this.#moveKey({ key, from: holder, to: ref });
    }
    if (missing.length > 0) throw new NotHeld(missing);
  }

  /** From where it was before all of this. */
  #moveKey(move: UniqueKeyMove): void {
    const { kind, value } = move.key;
    const before = this.#keyMoves.get(kind, value);
    this.#keyMoves.put(kind, value, before === undefined ? move : { ...move, from: before.from });
  }

  absorb(above: Draft): void {
    this.events.push(...above.events);
    for (const snapshot of above.#aggregates.values()) {
      this.#aggregates.put(snapshot.ref.type, snapshot.ref.id, snapshot);
    }
    for (const move of above.#keyMoves.values()) this.#moveKey(move);
    for (const change of above.#records.values()) this.#records.put(change.ref.record, change.ref.id, change);
  }

  writes(now: number): Writes {
    const moves = [...this.#keyMoves.values()];
    return {
      events: this.events,
      aggregates: [...this.#aggregates.values()],
      keyMoves: moves.filter(({ from, to }) => !(from === to || (from && to && isSameRef(from, to)))),
      records: [...this.#records.values()],
      now,
    };
  }
}
