import { addClient, removeClient } from "../domain/directory/clients.ts";
import { DirectoryError } from "../domain/directory/errors.ts";
import type { ClientRegistration } from "../domain/events.ts";
import type { UniqueKey } from "../domain/states.ts";
import { clientRef } from "../store/store.ts";
import type { CommandOptions } from "./command-options.ts";
import { listPresent } from "./list-present.ts";

export interface RegisteredClient {
  readonly id: string;
  readonly name: string;
  readonly redirectUris: readonly string[];
  /** Whether it has a secret. */
  readonly isConfidential: boolean;
}

/** Commands and queries on the applications that sign people in at the built-in issuer. A refused command rejects with a DirectoryError. */
export type Clients = ReturnType<typeof createClients>;

export function createClients({ store, newId, actor }: CommandOptions) {
  return {
    /** Registers an application. Resolves to its id. */
    async add(registration: ClientRegistration): Promise<string> {
      const ref = clientRef(newId());
      const key: UniqueKey = { kind: "client_name", value: registration.name };
      await store.execute({
        actor,
        reads: [ref, key],
        decide(view) {
          const events = addClient(registration, { nameTaken: view.find(key) !== undefined });
          return { changes: [{ ref, events }], value: undefined };
        },
      });
      return ref.id;
    },

    /** Sorted by id, without removed ones. */
    async list(): Promise<readonly RegisteredClient[]> {
      return (await listPresent(store, "client")).map(({ id, state }) => {
        const { name, redirectUris, secretDigest } = state;
        return { id, name, redirectUris, isConfidential: secretDigest !== undefined };
      });
    },

    /** Removes an application. Its tokens end. */
    async remove(id: string): Promise<void> {
      const ref = clientRef(id);
      await store.execute({
        actor,
        reads: [ref],
        decide(view) {
          const { state } = view.get(ref);
          if (state === undefined || state.removed) {
            throw new DirectoryError("client_missing", `there is no application ${id}: client list shows all ids`);
          }
          return { changes: [{ ref, events: removeClient() }], value: undefined };
        },
      });
    },
  };
}
