import { DirectoryError } from "../domain/directory/decide.ts";
import { checkOwnerStays, isOwner } from "../domain/directory/owners.ts";
import type { UserEvent } from "../domain/events.ts";
import { evolve } from "../domain/evolve.ts";
import type { UniqueKey, UserState } from "../domain/states.ts";
import type { AggregateRef, Clock, Snapshot, Store, View } from "../store/store.ts";

/** What takes something from a user that cannot be given back. */
export interface Removal {
  /** Whether it may leave no instance owner who can sign in. Default false: nobody could administer the instance over its API. */
  readonly force?: boolean;
}

/** The user of that name. */
export const named = (name: string) => ({
  key: { kind: "user_name", value: name } satisfies UniqueKey as UniqueKey,
  missing: () => new DirectoryError("user_missing", `there is no user named ${name}`),
});

/**
 * Changes the user who holds a key, looked up in the same transaction. Resolves to the user's id. Rejects with `missing` where
 * there is none, and with a DirectoryError where `decide` refuses, or where a `removal` must not leave the instance to nobody.
 */
export async function changeUser(
  { store, actor, clock = Date.now }: { readonly store: Store; readonly actor: string; readonly clock?: Clock },
  change: {
    readonly key: UniqueKey;
    readonly missing: () => DirectoryError;
    readonly reads?: readonly AggregateRef[];
    readonly removal?: Removal;
    decide(user: UserState, view: View): readonly UserEvent[];
  },
): Promise<string> {
  const { key, missing, reads = [], removal } = change;
  const isGuarded = removal !== undefined && removal.force !== true;
  // Who becomes an owner after this look does not count: at worst the change is refused, and can be repeated.
  const owners = isGuarded && (await isHeldByOwner(store, key)) ? await listOwners(store) : [];
  const now = clock();
  const { value } = await store.execute({
    actor,
    reads: [key, ...reads, ...owners.map(({ ref }) => ref)],
    decide(view) {
      const found = view.find(key);
      if (found === undefined) throw missing();
      const before = found.state as UserState;
      const events = change.decide(before, view);
      if (isGuarded) {
        const others = owners.flatMap(({ ref }) => (ref.id === found.ref.id ? [] : (view.get(ref).state ?? [])));
        checkOwnerStays({ before, after: after(before, events, now), others, now });
      }
      return { changes: [{ ref: found.ref, events }], value: found.ref.id };
    },
  });
  return value;
}

async function isHeldByOwner(store: Store, key: UniqueKey): Promise<boolean> {
  const holder = (await store.read([key])).find(key)?.state as UserState | undefined;
  return holder !== undefined && isOwner(holder);
}

/** Reads every user, so the damage of one keeps owners from being changed. */
const listOwners = async (store: Store): Promise<readonly Snapshot<"user">[]> =>
  (await store.list("user")).filter(({ state }) => state && isOwner(state));

function after(user: UserState, events: readonly UserEvent[], now: number): UserState {
  const origin = { sequence: 0, recordedAt: now };
  return events.reduce((state, event) => evolve("user", { state, event, origin }), user);
}
