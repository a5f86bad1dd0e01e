import type { UniqueKey } from "../../domain/states.ts";
import type { Projection, Snapshot } from "../store.ts";
import { nameOfUniqueKey } from "./view.ts";

/** The unique keys that an aggregate gives up and takes between two of its states. */
export function keyChanges(
  before: Snapshot,
  after: Snapshot,
  { uniqueKeysOf }: Projection,
): { readonly freed: readonly UniqueKey[]; readonly taken: readonly UniqueKey[] } {
  const held = uniqueKeysOf(before.ref.type, before.state);
  const kept = uniqueKeysOf(after.ref.type, after.state);
  const heldNames = new Set(held.map(nameOfUniqueKey));
  const keptNames = new Set(kept.map(nameOfUniqueKey));
  return {
    freed: held.filter((key) => !keptNames.has(nameOfUniqueKey(key))),
    taken: kept.filter((key) => !heldNames.has(nameOfUniqueKey(key))),
  };
}
