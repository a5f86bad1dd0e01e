import type { UniqueKey } from "../../domain/states.ts";
import type { Projection, Snapshot } from "../store.ts";
import { nameOfUniqueKey } from "./view.ts";

/** The unique keys that an aggregate gives up and takes between two of its states. */
export function keyChanges(
  before: Snapshot,
  after: Snapshot,
  { uniqueKeysOf }: Projection,
): { readonly freed: readonly UniqueKey[]; readonly taken: readonly UniqueKey[] } {
  const held = byName(uniqueKeysOf(before.ref.type, before.state));
  const kept = byName(uniqueKeysOf(after.ref.type, after.state));
  return {
    freed: [...held].flatMap(([name, key]) => (kept.has(name) ? [] : [key])),
    taken: [...kept].flatMap(([name, key]) => (held.has(name) ? [] : [key])),
  };
}

/** A state may have one key twice: nothing keeps two tokens of one user from having the same digest. */
const byName = (keys: readonly UniqueKey[]): ReadonlyMap<string, UniqueKey> =>
  new Map(keys.map((key) => [nameOfUniqueKey(key), key]));
