import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import type { AggregateRef, Problem, Projection, Snapshot } from "../store.ts";
import { Fold, type Held, sentenceCase } from "./fold.ts";
import type { StoredHistory } from "./history.ts";
import { hasWrongDigest, parseJson, type StoredState, type StoredUniqueKey } from "./read-rows.ts";
import { isSameRef, nameOfRef } from "./view.ts";
import { type Rows, toRows } from "./written-rows.ts";

/** Folds a history, and adds every difference between it and the projection to the problems of the fold. */
export async function compare(stored: StoredHistory, fold: Fold): Promise<void> {
  await fold.addAll(stored.events());
  const holders = fold.holders();
  const missing = new Map(fold.aggregates);
  for await (const row of stored.aggregates()) {
    const name = nameOfRef({ type: row.type as AggregateType, id: row.id });
    missing.delete(name);
    if (!fold.broken.has(name)) fold.problems.add(...stateProblems(row, fold.aggregates.get(name), fold.projection));
  }
  const missingKeys = new Map(holders);
  for await (const row of stored.keys()) {
    const name = `${row.kind}:${row.value}`;
    missingKeys.delete(name);
    const ref = { type: row.aggregateType as AggregateType, id: row.aggregateId };
    if (!fold.broken.has(nameOfRef(ref))) fold.problems.add(...keyProblems(row, ref, holders.get(name)));
  }
  for (const [name, { ref }] of missing) {
    if (!fold.broken.has(name)) fold.problems.add(`${sentenceCase(ref)} is missing in the projection.`);
  }
  for (const { key, to } of missingKeys.values()) {
    if (!fold.broken.has(nameOfRef(to)))
      fold.problems.add(`The ${key.kind} of ${to.type} ${to.id} is missing in the projection.`);
  }
}

function stateProblems(stored: StoredState, folded: Snapshot | undefined, projection: Projection): Problem[] {
  const { type, id, version, state } = stored;
  const name = sentenceCase({ type: type as AggregateType, id });
  if (folded === undefined) return [`${name} is in the projection and has no events.`];
  if (folded.version !== version) {
    return [`${name} is at version ${version} in the projection and at ${folded.version} in the events.`];
  }
  if (!isSameState(folded, state, projection)) {
    return [`The state of ${type} ${id} in the projection differs from its events.`];
  }
  return hasWrongDigest(stored) ? [`The state of ${type} ${id} in the projection does not match its digest.`] : [];
}

/** As values, not as text: another version of this program may write the fields in another order, or without the newest. */
function isSameState({ ref, state }: Snapshot, stored: string, { upcast }: Projection): boolean {
  try {
    const kept = upcast.state(ref.type, parseJson(stored) as NonNullable<Snapshot["state"]>);
    return toSortedJson(state) === toSortedJson(kept);
  } catch {
    return false;
  }
}

function keyProblems({ kind }: StoredUniqueKey, holder: AggregateRef, expected: Held | undefined): Problem[] {
  if (expected !== undefined && isSameRef(expected.to, holder)) return [];
  return [`A key of kind ${kind} points to ${holder.type} ${holder.id}, which does not hold it.`];
}

/** JSON that is the same for the same value, whatever the order of its fields. */
export function toSortedJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** The rows of a projection rebuilt from the events. Rejects with StoreError `corrupt` where the history itself is broken. */
export async function rebuiltRows(
  stored: StoredHistory,
  { name, projection }: { readonly name: string; readonly projection: Projection },
): Promise<{ readonly rows: Rows; readonly events: number; readonly aggregates: number }> {
  const fold = new Fold(projection);
  await fold.addAll(stored.events());
  const keyMoves = [...fold.holders().values()].map((held) => ({ ...held, from: undefined }));
  const [first] = fold.problems.list();
  if (first !== undefined) {
    throw new StoreError("corrupt", `The history in the store ${name} is broken, so nothing was rebuilt. ${first}`);
  }
  const aggregates = [...fold.aggregates.values()];
  const rows = toRows({ events: [], aggregates, keyMoves, records: [], now: 0 }, true);
  return { rows, ...fold.counts };
}
