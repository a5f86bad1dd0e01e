import type { UniqueKey } from "../../domain/states.ts";
import type { Problem, Projection, Snapshot, Store } from "../store.ts";
import { AggregateFold, causeProblems, orderProblems, ProblemList, sentenceCase } from "./fold.ts";
import type { KeyPart, Part, Place, StatePart, StoredHistory } from "./history.ts";
import { hasWrongDigest, parseJson, positionOf } from "./read-rows.ts";
import { uniqueKeysByName } from "./unique-keys.ts";
import { isSameRef, nameOfUniqueKey } from "./view.ts";

/** What was found so far. It stays where the rest cannot be read. */
export class Findings {
  readonly problems = new ProblemList();
  last: Place = { position: 0, recordedAt: Number.NEGATIVE_INFINITY };
  events = 0;
  aggregates = 0;

  toResult(): Awaited<ReturnType<Store["verify"]>> {
    return { problems: this.problems.list(), events: this.events, aggregates: this.aggregates };
  }
}

/** Checks that positions and appends have no gap, that no event is older than the one before it, and that causes can be read. */
export async function checkOrder(stored: StoredHistory, findings: Findings): Promise<void> {
  for await (const places of stored.places()) {
    for (const place of places) {
      findings.problems.add(...orderProblems(place, findings.last), ...causeProblems(place));
      findings.last = place;
    }
    findings.events += places.length;
  }
}

/**
 * Folds a history, and adds every difference between it and the projection to the findings. It keeps one aggregate in memory at a time.
 * Sequences that count from 1 in each aggregate also prove that none comes twice.
 */
export async function compare(stored: StoredHistory, projection: Projection, findings: Findings): Promise<void> {
  await checkOrder(stored, findings);
  let comparison: Comparison | undefined;
  for await (const parts of stored.byAggregate()) {
    for (const part of parts) {
      if (comparison === undefined || !isSameRef(comparison.ref, part.ref)) {
        await comparison?.end();
        comparison = new Comparison(part, { stored, projection, findings });
      }
      comparison.add(part);
    }
  }
  await comparison?.end();
}

/** Of one aggregate: its events with what the projection has of it. */
class Comparison {
  readonly #stored: StoredHistory;
  readonly #projection: Projection;
  readonly #findings: Findings;
  readonly #fold: AggregateFold;
  #isKept = false;
  /** The keys of the folded state that were not seen yet. */
  #keys: Map<string, UniqueKey> | undefined;

  constructor(
    { ref }: Part,
    context: { readonly stored: StoredHistory; readonly projection: Projection; readonly findings: Findings },
  ) {
    const { stored, projection, findings } = context;
    this.#stored = stored;
    this.#projection = projection;
    this.#findings = findings;
    this.#fold = new AggregateFold(ref, { projection, problems: findings.problems });
  }

  get ref() {
    return this.#fold.ref;
  }

  add(part: Part): void {
    if (part.of === "event") {
      this.#fold.add(part);
      return;
    }
    if (part.of === "state") this.#isKept = true;
    if (this.#fold.isBroken) return;
    const problems =
      part.of === "state" ? stateProblems(part, this.#fold.snapshot, this.#projection) : this.#keyProblems(part);
    this.#findings.problems.add(...problems);
  }

  /** Adds what the projection does not have. */
  async end(): Promise<void> {
    const { snapshot, isBroken, ref } = this.#fold;
    const { problems } = this.#findings;
    if (snapshot === undefined) return;
    this.#findings.aggregates += 1;
    if (isBroken) return;
    if (!this.#isKept) problems.add(`${sentenceCase(ref)} is missing in the projection.`);
    for (const key of this.#missingKeys().values()) {
      const holder = problems.isFull ? undefined : await this.#stored.holderOf(key);
      const where =
        holder === undefined
          ? "is missing in the projection"
          : `is that of ${holder.type} ${holder.id} in the projection`;
      problems.add(`The ${key.kind} of ${ref.type} ${ref.id} ${where}.`);
    }
  }

  #keyProblems(key: KeyPart): Problem[] {
    if (this.#missingKeys().delete(nameOfUniqueKey(key))) return [];
    return [`A key of kind ${key.kind} points to ${key.ref.type} ${key.ref.id}, which does not hold it.`];
  }

  #missingKeys(): Map<string, UniqueKey> {
    this.#keys ??= uniqueKeysByName(this.#projection.uniqueKeysOf(this.ref.type, this.#fold.snapshot?.state));
    return this.#keys;
  }
}

function stateProblems(stored: StatePart, folded: Snapshot | undefined, projection: Projection): Problem[] {
  const { ref, version, state } = stored;
  const name = sentenceCase(ref);
  if (folded === undefined) return [`${name} is in the projection and has no events.`];
  if (folded.version !== version) {
    return [`${name} is at version ${version} in the projection and at ${folded.version} in the events.`];
  }
  if (!isSameState(folded, state, projection)) {
    return [`The state of ${ref.type} ${ref.id} in the projection differs from its events.`];
  }
  const row = { ...ref, ...stored };
  if (hasWrongDigest(row)) return [`The state of ${ref.type} ${ref.id} in the projection does not match its digest.`];
  const position = positionOf(row) ?? folded.position;
  if (position === folded.position) return [];
  const events = `event ${position} in the projection and event ${folded.position} in the events`;
  return [`The last event of ${ref.type} ${ref.id} is ${events}.`];
}

/** As values, not as text: another version of this program may write the fields in another order, or without the newest. */
export function isSameState({ ref, state }: Snapshot, stored: string, { upcast }: Projection): boolean {
  if (JSON.stringify(state) === stored) return true;
  try {
    const kept = upcast.state(ref.type, parseJson(stored) as NonNullable<Snapshot["state"]>);
    return toSortedJson(state) === toSortedJson(kept);
  } catch {
    return false;
  }
}

/** JSON that is the same for the same value, whatever the order of its fields. */
export function toSortedJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
