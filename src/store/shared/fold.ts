import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import { StoreError } from "../errors.ts";
import type { AggregateRef, Problem, Projection, RecordedEvent, Snapshot } from "../store.ts";
import { parseJson, type StoredEvent } from "./read-rows.ts";
import { isSameRef, nameOfRef, nameOfUniqueKey } from "./view.ts";

/** More would not be read; the rest is counted. */
const maxProblems = 100;

/** Collects what is wrong, in sentences for an operator. */
export class ProblemList {
  readonly #listed: Problem[] = [];
  #left = 0;

  add(...problems: readonly Problem[]): void {
    for (const problem of problems) {
      if (this.#listed.length < maxProblems) this.#listed.push(problem);
      else this.#left += 1;
    }
  }

  list(): readonly Problem[] {
    return this.#left === 0 ? this.#listed : [...this.#listed, `There are ${this.#left} more problems.`];
  }
}

type Place = Pick<StoredEvent, "position" | "recordedAt">;

/** What is wrong with the place of an event after the last one of the store. */
export function orderProblems({ position, recordedAt }: Place, last: Place): Problem[] {
  const gap = `Event ${position} follows event ${last.position}: positions have a gap.`;
  const older = `Event ${position} is older than the event before it.`;
  return [...(position === last.position + 1 ? [] : [gap]), ...(recordedAt < last.recordedAt ? [older] : [])];
}

/** What is wrong with the sequence of an event of an aggregate that had this version before it. */
export function sequenceProblems(
  { position, ref, sequence }: { readonly position: number; readonly ref: AggregateRef; readonly sequence: number },
  version = 0,
): Problem[] {
  if (sequence === version + 1) return [];
  return [`Event ${position} of ${ref.type} ${ref.id} has sequence ${sequence} instead of ${version + 1}.`];
}

/**
 * The aggregate after one more event, of whatever version. Throws StoreError `corrupt` for an event that cannot be read, or cannot
 * follow.
 */
export function evolveRecorded(
  { ref, state }: Pick<Snapshot, "ref" | "state">,
  { position, sequence, recordedAt, event: written }: Omit<RecordedEvent, "ref" | "actor">,
  { upcast, evolve }: Projection,
): Snapshot {
  const event = attempt(
    () => upcast.event(ref.type, written),
    (error) => cannotRead({ position, ref }, error.message),
  );
  const after = attempt(
    () => evolve(ref.type, { state, event, origin: { sequence, recordedAt } } as never),
    () => `Event ${position} of ${ref.type} ${ref.id}, ${written.type}, cannot follow those before it.`,
  );
  return { ref, version: sequence, position, state: after };
}

const cannotRead = (
  { position, ref }: { readonly position: number; readonly ref: AggregateRef },
  reason: string,
): Problem => `Event ${position} of ${ref.type} ${ref.id} cannot be read: ${reason}.`;

function attempt<T>(work: () => T, toProblem: (error: Error) => Problem): T {
  try {
    return work();
  } catch (error) {
    throw new StoreError("corrupt", toProblem(error as Error), error);
  }
}

export interface Held {
  readonly key: UniqueKey;
  readonly to: AggregateRef;
}

/** Folds the whole history from its beginning, event by event, and notes where it breaks a rule. */
export class Fold {
  readonly problems = new ProblemList();
  readonly aggregates = new Map<string, Snapshot>();
  /** The names of aggregates with an event that could not be applied: there is nothing to compare them with. */
  readonly broken = new Set<string>();
  readonly projection: Projection;
  last: Place = { position: 0, recordedAt: Number.NEGATIVE_INFINITY };
  #events = 0;

  constructor(projection: Projection) {
    this.projection = projection;
  }

  get counts(): { readonly events: number; readonly aggregates: number } {
    return { events: this.#events, aggregates: this.aggregates.size };
  }

  /** Events come in the order of their positions. */
  async addAll(events: AsyncIterable<StoredEvent> | Iterable<StoredEvent>): Promise<void> {
    for await (const event of events) {
      this.#events += 1;
      this.problems.add(...orderProblems(event, this.last));
      this.last = { position: event.position, recordedAt: event.recordedAt };
      this.#evolve(event);
    }
  }

  #evolve({ position, aggregateType, aggregateId, sequence, type, version, payload, recordedAt }: StoredEvent): void {
    const ref: AggregateRef = { type: aggregateType as AggregateType, id: aggregateId };
    const name = nameOfRef(ref);
    if (this.broken.has(name)) return;
    const before = this.aggregates.get(name);
    this.problems.add(...sequenceProblems({ position, ref, sequence }, before?.version));
    try {
      const parsed = attempt(
        () => parseJson(payload),
        (error) => cannotRead({ position, ref }, error.message),
      );
      const recorded = { position, sequence, recordedAt, event: { type, version, payload: parsed } as never };
      this.aggregates.set(name, evolveRecorded({ ref, state: before?.state }, recorded, this.projection));
    } catch (error) {
      this.broken.add(name);
      this.problems.add((error as StoreError).message);
    }
  }

  /** Every unique key with the aggregate that holds it: the first, where two do. */
  holders(): Map<string, Held> {
    const holders = new Map<string, Held>();
    for (const { ref, state } of this.aggregates.values()) {
      for (const key of this.projection.uniqueKeysOf(ref.type, state)) {
        const holder = holders.get(nameOfUniqueKey(key))?.to;
        if (holder !== undefined && !isSameRef(holder, ref)) {
          this.problems.add(`${sentenceCase(holder)} and ${ref.type} ${ref.id} hold the same ${key.kind}.`);
        }
        holders.set(nameOfUniqueKey(key), { key, to: holder ?? ref });
      }
    }
    return holders;
  }
}

export const sentenceCase = ({ type, id }: AggregateRef): string =>
  `${type.charAt(0).toUpperCase()}${type.slice(1)} ${id}`;
