import type { UniqueKey } from "../../domain/states.ts";
import type { Projection, Snapshot } from "../store.ts";
import { nameOfUniqueKey } from "./view.ts";

interface KeyChanges {
  readonly freed: readonly UniqueKey[];
  readonly taken: readonly UniqueKey[];
}

const noChanges: KeyChanges = { freed: [], taken: [] };

/** The unique keys that an aggregate gives up and takes between two of its states. */
export function keyChanges(before: Snapshot, after: Snapshot, { uniqueKeysOf }: Projection): KeyChanges {
  const keysBefore = uniqueKeysOf(before.ref.type, before.state);
  const keysAfter = uniqueKeysOf(after.ref.type, after.state);
  if (areSame(keysBefore, keysAfter)) return noChanges;
  const held = uniqueKeysByName(keysBefore);
  const kept = uniqueKeysByName(keysAfter);
  return {
    freed: [...held].flatMap(([name, key]) => (kept.has(name) ? [] : [key])),
    taken: [...kept].flatMap(([name, key]) => (held.has(name) ? [] : [key])),
  };
}

/** True of nearly every change. */
const areSame = (some: readonly UniqueKey[], others: readonly UniqueKey[]): boolean =>
  some.length === others.length &&
  some.every(({ kind, value }, index) => kind === others[index]?.kind && value === others[index]?.value);

/** A state may have one key twice: nothing keeps two tokens of one user from having the same digest. */
export const uniqueKeysByName = (keys: readonly UniqueKey[]): Map<string, UniqueKey> =>
  new Map(keys.map((key) => [nameOfUniqueKey(key), key]));
