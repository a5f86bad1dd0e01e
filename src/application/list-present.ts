import type { Snapshot, Store } from "../store/store.ts";

/** The aggregates of a type that have not been removed, in the order of their ids. */
export async function listPresent<T extends "organization" | "user" | "client">(store: Store, type: T) {
  const all: readonly Snapshot<T>[] = await store.list(type);
  return all.flatMap(({ ref, state }) => (state === undefined || state.removed ? [] : [{ id: ref.id, state }]));
}
