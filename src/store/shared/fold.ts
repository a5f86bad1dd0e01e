import { StoreError } from "../errors.ts";
import type { AggregateRef, Problem, Projection, RecordedEvent, Snapshot } from "../store.ts";
import type { EventPart, Place, StoredPlace } from "./history.ts";
import { parseJson } from "./read-rows.ts";

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

  /** Whether more would only be counted. */
  get isFull(): boolean {
    return this.#listed.length === maxProblems;
  }

  list(): readonly Problem[] {
    return this.#left === 0 ? this.#listed : [...this.#listed, `There are ${this.#left} more problems.`];
  }
}

/** What is wrong with the place of an event after the last one of the store. */
export function orderProblems({ position, recordedAt, append }: Place, last: Place): Problem[] {
  const problems: Problem[] = [];
  if (position !== last.position + 1) {
    problems.push(`Event ${position} follows event ${last.position}: positions have a gap.`);
  }
  if (recordedAt < last.recordedAt) problems.push(`Event ${position} is older than the event before it.`);
  if (append != null && append !== position && append !== last.append) {
    problems.push(
      `Event ${position} names event ${append} as the first of its append, and the event before it does not.`,
    );
  }
  return problems;
}

/** What is wrong with the cause of an event as it is kept. Where it is damaged, the event cannot be read. */
export function causeProblems({ position, cause }: StoredPlace): Problem[] {
  try {
    if (cause !== null) parseJson(cause);
    return [];
  } catch (error) {
    return [`The cause of event ${position} cannot be read: ${(error as Error).message}.`];
  }
}

/** What is wrong with the sequence of an event of an aggregate that had this version before it. */
export function sequenceProblems(
  { position, ref, sequence }: { readonly position: number; readonly ref: AggregateRef; readonly sequence: number },
  version = 0,
): Problem[] {
  if (sequence === version + 1) return [];
  return [`Event ${position} of ${ref.type} ${ref.id} has sequence ${sequence} instead of ${version + 1}.`];
}

/** What is wrong with the link of an event of an aggregate whose event before it is there. An older version leaves the link out. */
function linkProblems(
  { position, ref, previous }: Pick<EventPart, "position" | "ref" | "previous">,
  before = 0,
): readonly Problem[] {
  if (previous === null || previous === before) return [];
  const name = (event: number): string => (event === 0 ? "no event" : `event ${event}`);
  return [
    `Event ${position} of ${ref.type} ${ref.id} names ${name(previous)} as the one before it instead of ${name(before)}.`,
  ];
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

/** Folds the events of one aggregate, which come in the order of their positions, and notes where they break a rule. */
export class AggregateFold {
  readonly ref: AggregateRef;
  /** Undefined before the first event that could be applied. */
  snapshot: Snapshot | undefined;
  /** Whether an event could not be applied: then there is nothing to compare with. */
  isBroken = false;
  readonly #projection: Projection;
  readonly #problems: ProblemList;

  constructor(
    ref: AggregateRef,
    { projection, problems }: { readonly projection: Projection; readonly problems: ProblemList },
  ) {
    this.ref = ref;
    this.#projection = projection;
    this.#problems = problems;
  }

  add({ position, sequence, previous, type, version, payload, recordedAt }: EventPart): void {
    if (this.isBroken) return;
    const { ref, snapshot } = this;
    this.#problems.add(...sequenceProblems({ position, ref, sequence }, snapshot?.version));
    this.#problems.add(...linkProblems({ position, ref, previous }, snapshot?.position));
    try {
      const parsed = attempt(
        () => parseJson(payload),
        (error) => cannotRead({ position, ref }, error.message),
      );
      const recorded = { position, sequence, recordedAt, event: { type, version, payload: parsed } as never };
      this.snapshot = evolveRecorded({ ref, state: snapshot?.state }, recorded, this.#projection);
    } catch (error) {
      this.isBroken = true;
      this.#problems.add((error as StoreError).message);
    }
  }
}

export const sentenceCase = ({ type, id }: AggregateRef): string =>
  `${type.charAt(0).toUpperCase()}${type.slice(1)} ${id}`;
