import { DirectoryError } from "../domain/directory/errors.ts";
import { checkOwnerStays, isOwner } from "../domain/directory/owners.ts";
import type { UserEvent } from "../domain/events.ts";
import { evolve } from "../domain/evolve.ts";
import type { UniqueKey, UserState } from "../domain/states.ts";
import type { AggregateRef, Snapshot, Store, View } from "../store/store.ts";
import type { CommandOptions } from "./command-options.ts";

/** A change that takes a role or a credential from a user. */
export interface Removal {
  /** Allows the change even if no instance owner can sign in after it. Default false: the API could not administer the instance. */
  readonly force?: boolean;
}

/** The user of that name. */
export const named = (name: string) => ({
  key: { kind: "user_name", value: name } satisfies UniqueKey as UniqueKey,
  missing: () => new DirectoryError("user_missing", `there is no user named ${name}: user list shows all names`),
});

/**
 * Changes the user with a unique key, found in the same transaction. Resolves to the user's id. Rejects with `missing` if
 * there is no such user, and with a DirectoryError if `decide` refuses or a `removal` takes away the last instance owner.
 */
export async function changeUser(
  { store, actor, clock = Date.now }: CommandOptions,
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
  // An owner added after this read is missed. At worst the change is refused, and can be repeated.
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

/** Reads every user, so one damaged user blocks this change to owners. */
const listOwners = async (store: Store): Promise<readonly Snapshot<"user">[]> =>
  (await store.list("user")).filter(({ state }) => state && isOwner(state));

function after(user: UserState, events: readonly UserEvent[], now: number): UserState {
  const origin = { sequence: 0, recordedAt: now };
  return events.reduce((state, event) => evolve("user", { state, event, origin }), user);
}
