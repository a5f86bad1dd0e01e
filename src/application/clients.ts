import * as decide from "../domain/directory/decide.ts";
import { DirectoryError } from "../domain/directory/decide.ts";
import type { ClientRegistration } from "../domain/events.ts";
import type { UniqueKey } from "../domain/states.ts";
import { clientRef, type Store } from "../store/store.ts";
import { present } from "./directory.ts";
import type { IdSource } from "./ids.ts";

export interface RegisteredClient {
  readonly id: string;
  readonly name: string;
  readonly redirectUris: readonly string[];
  /** Whether it has a secret. */
  readonly isConfidential: boolean;
}

/** Applications that sign people in at the built-in issuer. Each call rejects with a DirectoryError where it is refused. */
export type Clients = ReturnType<typeof createClients>;

export function createClients(options: { readonly store: Store; readonly newId: IdSource; readonly actor: string }) {
  const { store, newId, actor } = options;

  return {
    /** Registers an application. Resolves to its id. */
    async add(registration: ClientRegistration): Promise<string> {
      const ref = clientRef(newId());
      const key: UniqueKey = { kind: "client_name", value: registration.name };
      await store.execute({
        actor,
        reads: [ref, key],
        decide(view) {
          const events = decide.addClient(registration, { nameTaken: view.find(key) !== undefined });
          return { changes: [{ ref, events }], value: undefined };
        },
      });
      return ref.id;
    },

    /** In the order of their ids; without removed ones. */
    async list(): Promise<readonly RegisteredClient[]> {
      return present(await store.list("client")).map(({ ref: { id }, state }) => {
        const { name, redirectUris, secretDigest } = state;
        return { id, name, redirectUris, isConfidential: secretDigest !== undefined };
      });
    },

    /** Removes an application; the tokens it was given end. */
    async remove(id: string): Promise<void> {
      const ref = clientRef(id);
      await store.execute({
        actor,
        reads: [ref],
        decide(view) {
          const { state } = view.get(ref);
          if (state === undefined || state.removed) {
            throw new DirectoryError("client_missing", `there is no application ${id}`);
          }
          return { changes: [{ ref, events: decide.removeClient() }], value: undefined };
        },
      });
    },
  };
}
