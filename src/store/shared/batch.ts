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
import { keyChanges } from "./unique-keys.ts";
import { collectView, isSameRef, type Moment, nameOfRecord, nameOfRef, nameOfUniqueKey } from "./view.ts";

/** A unique key that an aggregate gives up, takes, or hands to another. */
export interface UniqueKeyMove {
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
  /** The store as committed. No one else may write until the batch is written. */
  readonly committed: Moment;
  /** Brings these into `committed`, for an engine that cannot load them while a command is decided. */
  readonly fetch?: (reads: readonly Read[]) => Promise<void>;
  readonly projection: Projection;
  readonly clock: Clock;
}

/** The result of a batch, which is to be written as one. */
export interface DecidedBatch {
  /** In the order of the commands. */
  readonly endings: readonly Ending[];
  readonly writes: Writes;
}

/**
 * Decides commands one after the other, each on what is committed and what those before it in the batch decided. A command that
 * fails leaves no trace for the next. Rejects only where `fetch` does.
 */
export async function decideBatch(commands: readonly Command<unknown>[], context: BatchContext): Promise<DecidedBatch> {
  await context.fetch?.(commands.flatMap(({ reads }) => reads));
  const batch = new Draft(context.committed);
  const endings: Ending[] = [];
  for (const command of commands) endings.push(await decide(command, batch, context));
  return { endings, writes: batch.writes(context.clock()) };
}

async function decide(command: Command<unknown>, batch: Draft, context: BatchContext): Promise<Ending> {
  const draft = new Draft(batch);
  const decided = attempt(() => {
    const result = append(command, draft, context);
    return { result, changes: draft.keyChanges(context.projection) };
  });
  if (decided.kind === "failed") return decided;
  const { result, changes } = decided.result;
  if (changes.length > 0) await context.fetch?.(changes.flatMap(({ freed, taken }) => [...freed, ...taken]));
  return attempt(() => {
    draft.moveKeys(changes);
    batch.absorb(draft);
    return result;
  });
}

function attempt<T>(work: () => T): { readonly kind: "done"; readonly result: T } | Failed {
  try {
    return { kind: "done", result: work() };
  } catch (error) {
    return { kind: "failed", error };
  }
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
    draft.add(
      { position, ref, previous: before.position, event, actor: command.actor, ...origin },
      { ref, version: origin.sequence, position, state },
    );
  }
}

interface KeyChanges extends ReturnType<typeof keyChanges> {
  readonly ref: AggregateRef;
}

/** Changes that are not written yet, over what they build on: a command's over its batch's, and a batch's over the store. */
class Draft implements Moment {
  readonly events: RecordedEvent[] = [];
  readonly #below: Moment;
  readonly #aggregates = new Map<string, Snapshot>();
  readonly #holders = new Map<string, { readonly key: UniqueKey; readonly holder: AggregateRef | undefined }>();
  readonly #records = new Map<string, RecordChange>();

  constructor(below: Moment) {
    this.#below = below;
  }

  get position(): number {
    return this.events.at(-1)?.position ?? this.#below.position;
  }

  get recordedAt(): number {
    return this.events.at(-1)?.recordedAt ?? this.#below.recordedAt;
  }

  load(ref: AggregateRef): Snapshot {
    return this.#aggregates.get(nameOfRef(ref)) ?? this.#below.load(ref);
  }

  findHolder(key: UniqueKey): AggregateRef | undefined {
    const moved = this.#holders.get(nameOfUniqueKey(key));
    return moved === undefined ? this.#below.findHolder(key) : moved.holder;
  }

  loadRecord(ref: RecordRef): StoreRecord | undefined {
    const changed = this.#records.get(nameOfRecord(ref));
    return changed === undefined ? this.#below.loadRecord(ref) : changed.to;
  }

  putRecord(change: RecordChange): void {
    const { record, id } = change.ref;
    // A database would store a lone surrogate as another character, and not find the record again.
    if (!id.isWellFormed()) throw new Error(`the id of a record of kind ${record} is not well-formed Unicode`);
    this.#records.set(nameOfRecord(change.ref), change);
  }

  add(event: RecordedEvent, after: Snapshot): void {
    this.events.push(event);
    this.#aggregates.set(nameOfRef(after.ref), after);
  }

  /** Lists the aggregates whose unique keys change. */
  keyChanges(projection: Projection): readonly KeyChanges[] {
    return [...this.#aggregates.values()]
      .map((after) => ({ ref: after.ref, ...keyChanges(this.#below.load(after.ref), after, projection) }))
      .filter(({ freed, taken }) => freed.length + taken.length > 0);
  }

  /** Gives keys up before it takes any, so that one command can pass a key from one aggregate to another. */
  moveKeys(changes: readonly KeyChanges[]): void {
    for (const key of changes.flatMap(({ freed }) => freed)) {
      this.#holders.set(nameOfUniqueKey(key), { key, holder: undefined });
    }
    for (const { ref, taken } of changes) {
      for (const key of taken) {
        const holder = this.findHolder(key);
        if (holder !== undefined && !isSameRef(holder, ref)) {
          // The value stays out of the message: it may be a token's digest.
          throw new StoreError(
            "conflict",
            `The ${key.kind} of ${ref.type} ${ref.id} belongs to another ${holder.type}.`,
          );
        }
        // A database would store a lone surrogate as another character, and not find the key again.
        if (!key.value.isWellFormed()) throw new Error(`a key of kind ${key.kind} is not well-formed Unicode`);
        this.#holders.set(nameOfUniqueKey(key), { key, holder: ref });
      }
    }
  }

  absorb(above: Draft): void {
    this.events.push(...above.events);
    for (const [name, snapshot] of above.#aggregates) this.#aggregates.set(name, snapshot);
    for (const [name, moved] of above.#holders) this.#holders.set(name, moved);
    for (const [name, change] of above.#records) this.#records.set(name, change);
  }

  writes(now: number): Writes {
    const keyMoves = [...this.#holders.values()]
      .map(({ key, holder }) => ({ key, from: this.#below.findHolder(key), to: holder }))
      .filter(({ from, to }) => !(from === to || (from && to && isSameRef(from, to))));
    const records = [...this.#records.values()];
    return { events: this.events, aggregates: [...this.#aggregates.values()], keyMoves, records, now };
  }
}
