import * as decide from "../domain/directory/decide.ts";
import { DirectoryError } from "../domain/directory/decide.ts";
import type { KeyRecord } from "../domain/events.ts";
import type { Clock, Store } from "../store/store.ts";
import { changeUser, named, type Removal } from "./change-user.ts";
import { present } from "./directory.ts";
import type { IdSource } from "./ids.ts";

export type UserKey = Omit<KeyRecord, "publicKey"> & { readonly userName: string; readonly createdAt: number };

/**
 * What users sign in with at the built-in issuer: passwords, secrets and keys. Each call rejects with a DirectoryError,
 * having written nothing, where it is refused.
 */
export type Credentials = ReturnType<typeof createCredentials>;

export function createCredentials(options: {
  readonly store: Store;
  readonly newId: IdSource;
  readonly actor: string;
  /** Says which tokens and keys have ended. Default: the machine's clock. */
  readonly clock?: Clock;
}) {
  const { store, newId } = options;

  return {
    /** Replaces the password; sessions and tokens that an earlier one has led to end. */
    async setPassword(wanted: { readonly userName: string; readonly hash: string }): Promise<void> {
      await changeUser(options, { ...named(wanted.userName), decide: () => decide.setPassword(wanted.hash) });
    },

    /** Replaces the secret of the client credentials, known by its digest; tokens of an earlier one end. Resolves to the user's id. */
    async setSecret(wanted: { readonly userName: string; readonly digest: string }): Promise<string> {
      return changeUser(options, { ...named(wanted.userName), decide: () => decide.setSecret(wanted.digest) });
    },

    /** Gives a user one more key. */
    async addKey(wanted: {
      readonly userName: string;
      readonly publicKey: string;
      readonly expiresAt?: number;
    }): Promise<{ readonly keyId: string; readonly userId: string }> {
      const { userName, ...kept } = wanted;
      const keyId = newId();
      const userId = await changeUser(options, { ...named(userName), decide: () => decide.addKey({ keyId, ...kept }) });
      return { keyId, userId };
    },

    /** Every key that was not removed, also expired ones, in the order of their ids. */
    async listKeys(): Promise<readonly UserKey[]> {
      return present(await store.list("user"))
        .flatMap(({ state }) =>
          (state.keys ?? []).map(({ publicKey: _, ...key }) => ({ ...key, userName: state.name })),
        )
        .sort((a, b) => (a.keyId < b.keyId ? -1 : 1));
    },

    /** Removes a key; tokens that were given for it end. */
    async removeKey(keyId: string, removal: Removal = {}): Promise<void> {
      await changeUser(options, {
        key: { kind: "key_id", value: keyId },
        missing: () => new DirectoryError("key_missing", `there is no key ${keyId}`),
        removal,
        decide: () => decide.removeKey(keyId),
      });
    },
  };
}
