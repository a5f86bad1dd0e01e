import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKey } from "../../domain/states.ts";
import { StoreError } from "../errors.ts";
import type { AggregateRef, Problem, Projection, RecordedEvent, Snapshot } from "../store.ts";
import type { Writes } from "./batch.ts";
import { parseJson } from "./json.ts";
import { type Rows, toRows } from "./rows.ts";
import { hasWrongDigest, type StoredState } from "./stored-state.ts";
import { isSameRef, nameOfRef, nameOfUniqueKey } from "./view.ts";

/** An event as an engine keeps it. */
export interface StoredEvent {
  readonly position: number;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly sequence: number;
  readonly type: string;
  readonly version: number;
  /** JSON. */
  readonly payload: string;
  readonly recordedAt: number;
  readonly actor: string;
}

export interface StoredUniqueKey {
  readonly kind: string;
  readonly value: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
}

/** More would not be read; the rest is counted. */
const maxProblems = 100;

/** Collects what is wrong, in sentences for an operator. */
export class ProblemList {
  readonly #listed: Problem[] = [];
  #left = 0;

  add(problem: Problem): void {
    if (this.#listed.length < maxProblems) this.#listed.push(problem);
    else this.#left += 1;
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

/** What is wrong with the place of an event after the last one of its aggregate, which made it this version. */
export function sequenceProblems(
  { position, ref, sequence }: { readonly position: number; readonly ref: AggregateRef; readonly sequence: number },
  version = 0,
): Problem[] {
  if (sequence === version + 1) return [];
  return [`Event ${position} of ${ref.type} ${ref.id} has sequence ${sequence} instead of ${version + 1}.`];
}

/**
 * The aggregate after one more event that was read, of whatever version. Throws StoreError `corrupt`, whose message says what is
 * wrong with the event.
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
  return { ref, version: sequence, state: after };
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

interface Held {
  readonly key: UniqueKey;
  readonly to: AggregateRef;
}

/** Folds the whole history from its beginning, event by event, and notes where it breaks a rule. */
export class Fold {
  events = 0;
  readonly #projection: Projection;
  readonly #problems: ProblemList;
  readonly #aggregates = new Map<string, Snapshot>();
  /** Those whose history makes no sense from some event on: there is nothing to compare them with. */
  readonly #broken = new Set<string>();
  #last = { position: 0, recordedAt: Number.NEGATIVE_INFINITY };

  constructor(projection: Projection, problems: ProblemList) {
    this.#projection = projection;
    this.#problems = problems;
  }

  /** 0 where there is no event. */
  get lastPosition(): number {
    return this.#last.position;
  }

  get aggregates(): number {
    return this.#aggregates.size;
  }

  /** Events come in the order of their positions. */
  add(event: StoredEvent): void {
    const { position, recordedAt } = event;
    this.events += 1;
    for (const problem of orderProblems(event, this.#last)) this.#problems.add(problem);
    this.#last = { position, recordedAt };
    const ref: AggregateRef = { type: event.aggregateType as AggregateType, id: event.aggregateId };
    if (!this.#broken.has(nameOfRef(ref))) this.#evolve(ref, event);
  }

  #evolve(ref: AggregateRef, { position, sequence, type, version, payload, recordedAt }: StoredEvent): void {
    const before = this.#aggregates.get(nameOfRef(ref));
    for (const problem of sequenceProblems({ position, ref, sequence }, before?.version)) this.#problems.add(problem);
    try {
      const parsed = attempt(
        () => parseJson(payload),
        (error) => cannotRead({ position, ref }, error.message),
      );
      const recorded = { position, sequence, recordedAt, event: { type, version, payload: parsed } as never };
      this.#aggregates.set(nameOfRef(ref), evolveRecorded({ ref, state: before?.state }, recorded, this.#projection));
    } catch (error) {
      this.#broken.add(nameOfRef(ref));
      this.#problems.add((error as StoreError).message);
    }
  }

  /** The projection as the history makes it. */
  toProjection(): Writes {
    const aggregates = [...this.#aggregates.values()];
    const keyMoves = this.#holders().map((held) => ({ ...held, from: undefined }));
    return { events: [], aggregates, keyMoves, records: [], now: 0 };
  }

  #holders(): Held[] {
    const holders = new Map<string, Held>();
    for (const { ref, state } of this.#aggregates.values()) {
      for (const key of this.#projection.uniqueKeysOf(ref.type, state)) {
        const holder = holders.get(nameOfUniqueKey(key))?.to;
        if (holder !== undefined && !isSameRef(holder, ref)) {
          this.#problems.add(`${sentenceCase(holder)} and ${ref.type} ${ref.id} hold the same ${key.kind}.`);
        }
        holders.set(nameOfUniqueKey(key), { key, to: holder ?? ref });
      }
    }
    return [...holders.values()];
  }

  /** Notes every difference between the history, when all of it was added, and what is kept beside it. */
  comparison(): Comparison {
    return new Comparison({
      projection: this.#projection,
      aggregates: this.#aggregates,
      holders: this.#holders(),
      broken: this.#broken,
      problems: this.#problems,
    });
  }
}

/**
 * The rows that make the projection of a store anew, when all its events were added. Throws StoreError `corrupt` where the
 * history itself is broken.
 */
export function rebuiltRows(
  fold: Fold,
  { problems, name }: { readonly problems: ProblemList; readonly name: string },
): Rows {
  const rows = toRows(fold.toProjection(), true);
  const [first] = problems.list();
  if (first === undefined) return rows;
  throw new StoreError("corrupt", `The history in the store ${name} is broken, so nothing was rebuilt. ${first}`);
}

/** The whole projection is given to it, then its end. */
export class Comparison {
  readonly #projection: Projection;
  readonly #folded: ReadonlyMap<string, Snapshot>;
  readonly #broken: ReadonlySet<string>;
  readonly #problems: ProblemList;
  readonly #missing: Map<string, Snapshot>;
  readonly #missingKeys: Map<string, Held>;

  constructor(of: {
    readonly projection: Projection;
    readonly aggregates: ReadonlyMap<string, Snapshot>;
    readonly holders: readonly Held[];
    readonly broken: ReadonlySet<string>;
    readonly problems: ProblemList;
  }) {
    this.#projection = of.projection;
    this.#folded = of.aggregates;
    this.#broken = of.broken;
    this.#problems = of.problems;
    this.#missing = new Map(of.aggregates);
    this.#missingKeys = new Map(of.holders.map((held) => [nameOfUniqueKey(held.key), held]));
  }

  aggregate(stored: StoredState): void {
    const { type, id, version, state } = stored;
    const ref: AggregateRef = { type: type as AggregateType, id };
    const folded = this.#folded.get(nameOfRef(ref));
    this.#missing.delete(nameOfRef(ref));
    if (this.#broken.has(nameOfRef(ref))) return;
    if (folded === undefined) this.#problems.add(`${sentenceCase(ref)} is in the projection and has no events.`);
    else if (folded.version !== version) {
      this.#problems.add(
        `${sentenceCase(ref)} is at version ${version} in the projection and at ${folded.version} in the events.`,
      );
    } else if (!this.#isSameState(folded, state)) {
      this.#problems.add(`The state of ${type} ${id} in the projection differs from its events.`);
    } else if (hasWrongDigest(stored)) {
      this.#problems.add(`The state of ${type} ${id} in the projection does not match its digest.`);
    }
  }

  key({ kind, value, aggregateType, aggregateId }: StoredUniqueKey): void {
    const name = `${kind}:${value}`;
    const holder: AggregateRef = { type: aggregateType as AggregateType, id: aggregateId };
    const expected = this.#missingKeys.get(name)?.to;
    this.#missingKeys.delete(name);
    if (this.#broken.has(nameOfRef(holder))) return;
    if (expected === undefined || !isSameRef(expected, holder)) {
      this.#problems.add(`A key of kind ${kind} points to ${aggregateType} ${aggregateId}, which does not hold it.`);
    }
  }

  /** As values, not as text: another version of this program may write the fields in another order, or without the newest. */
  #isSameState({ ref, state }: Snapshot, stored: string): boolean {
    try {
      return (
        toSortedJson(state) ===
        toSortedJson(this.#projection.upcast.state(ref.type, parseJson(stored) as NonNullable<Snapshot["state"]>))
      );
    } catch {
      return false;
    }
  }

  end(): void {
    for (const [name, { ref }] of this.#missing) {
      if (!this.#broken.has(name)) this.#problems.add(`${sentenceCase(ref)} is missing in the projection.`);
    }
    for (const { key, to } of this.#missingKeys.values()) {
      if (!this.#broken.has(nameOfRef(to)))
        this.#problems.add(`The ${key.kind} of ${to.type} ${to.id} is missing in the projection.`);
    }
  }
}

/** JSON that is the same for the same value, whatever the order of its fields. */
export function toSortedJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function sentenceCase({ type, id }: AggregateRef): string {
  return `${type.charAt(0).toUpperCase()}${type.slice(1)} ${id}`;
}
