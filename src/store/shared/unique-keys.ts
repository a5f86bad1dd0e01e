import type { AggregateType } from "../../domain/events.ts";
import type { State, UniqueKey } from "../../domain/states.ts";
import type { Projection, Snapshot } from "../store.ts";
import { nameOfUniqueKey } from "./view.ts";

/** The unique keys that an aggregate gives up and takes between two of its states. */
export function keyChanges(
  before: Snapshot,
  after: Snapshot,
  projection: Projection,
): { readonly freed: readonly UniqueKey[]; readonly taken: readonly UniqueKey[] } {
  const held = uniqueKeysByName(before.ref.type, before.state, projection);
  const kept = uniqueKeysByName(after.ref.type, after.state, projection);
  return {
    freed: [...held].flatMap(([name, key]) => (kept.has(name) ? [] : [key])),
    taken: [...kept].flatMap(([name, key]) => (held.has(name) ? [] : [key])),
  };
}

/** A state may have one key twice: nothing keeps two tokens of one user from having the same digest. */
export const uniqueKeysByName = (
  type: AggregateType,
  state: State | undefined,
  { uniqueKeysOf }: Projection,
): Map<string, UniqueKey> => new Map(uniqueKeysOf(type, state).map((key) => [nameOfUniqueKey(key), key]));
