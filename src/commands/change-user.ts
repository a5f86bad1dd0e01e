import { DirectoryError } from "../policy/directory.ts";
import type { UserEvent } from "../policy/events.ts";
import type { Key, UserState } from "../policy/states.ts";
import type { AggregateRef, Store, View } from "../store/store.ts";

/**
 * Changes the user of that name, who is looked up in the same transaction. Resolves to the user's id. Rejects with a
 * DirectoryError where there is no such user or `decide` refuses.
 */
export async function changeUser(
  { store, actor }: { readonly store: Store; readonly actor: string },
  change: {
    readonly name: string;
    readonly reads?: readonly AggregateRef[];
    decide(user: UserState, view: View): readonly UserEvent[];
  },
): Promise<string> {
  const { name, reads = [] } = change;
  const key: Key = { kind: "user_name", value: name };
  const { value } = await store.execute({
    actor,
    reads: [key, ...reads],
    decide(view) {
      const found = view.find(key);
      if (found === undefined) throw new DirectoryError("user_missing", `there is no user named ${name}`);
      const events = change.decide(found.state as UserState, view);
      return { changes: [{ ref: found.ref, events }], value: found.ref.id };
    },
  });
  return value;
}
