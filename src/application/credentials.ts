import { DirectoryError } from "../domain/directory/errors.ts";
import { addKey, createToken, removeKey, revokeToken, setPassword, setSecret } from "../domain/directory/users.ts";
import type { KeyRecord, TokenRecord } from "../domain/events.ts";
import { changeUser, named, type Removal } from "./change-user.ts";
import type { CommandOptions } from "./command-options.ts";
import { listPresent } from "./list-present.ts";

export type UserToken = Omit<TokenRecord, "digest"> & { readonly userName: string; readonly createdAt: number };
export type UserKey = Omit<KeyRecord, "publicKey"> & { readonly userName: string; readonly createdAt: number };

/**
 * Commands and queries on the credentials of users: personal access tokens, and the passwords, secrets and keys that the
 * built-in issuer checks. A refused command rejects with a DirectoryError and writes nothing.
 */
export type Credentials = ReturnType<typeof createCredentials>;

export function createCredentials(options: CommandOptions) {
  const { store, newId } = options;

  return {
    /** Gives a user one more personal access token, known by its digest. Resolves to the token's id. */
    async createToken(wanted: { readonly userName: string; readonly digest: string; readonly expiresAt?: number }) {
      const { userName, ...token } = wanted;
      const tokenId = newId();
      await changeUser(options, { ...named(userName), decide: () => createToken({ tokenId, ...token }) });
      return tokenId;
    },

    /** Every token that was not revoked, expired ones included, sorted by id. */
    async listTokens(): Promise<readonly UserToken[]> {
      return (await listPresent(store, "user"))
        .flatMap(({ state }) => state.tokens.map(({ digest: _, ...token }) => ({ ...token, userName: state.name })))
        .sort((a, b) => (a.tokenId < b.tokenId ? -1 : 1));
    },

    async revokeToken(tokenId: string, removal: Removal = {}): Promise<void> {
      await changeUser(options, {
        key: { kind: "token_id", value: tokenId },
        missing: () => new DirectoryError("token_missing", `there is no token ${tokenId}: token list shows all ids`),
        removal,
        decide: () => revokeToken(tokenId),
      });
    },

    /** Replaces the password. Sessions and tokens of the earlier one end. */
    async setPassword(wanted: { readonly userName: string; readonly hash: string }): Promise<void> {
      await changeUser(options, { ...named(wanted.userName), decide: () => setPassword(wanted.hash) });
    },

    /** Replaces the secret for client credentials, known by its digest. Tokens of the earlier one end. Resolves to the user's id. */
    async setSecret(wanted: { readonly userName: string; readonly digest: string }): Promise<string> {
      return changeUser(options, { ...named(wanted.userName), decide: () => setSecret(wanted.digest) });
    },

    /** Gives a user one more key. */
    async addKey(wanted: {
      readonly userName: string;
      readonly publicKey: string;
      readonly expiresAt?: number;
    }): Promise<{ readonly keyId: string; readonly userId: string }> {
      const { userName, ...key } = wanted;
      const keyId = newId();
      const userId = await changeUser(options, { ...named(userName), decide: () => addKey({ keyId, ...key }) });
      return { keyId, userId };
    },

    /** Every key that was not removed, expired ones included, sorted by id. */
    async listKeys(): Promise<readonly UserKey[]> {
      return (await listPresent(store, "user"))
        .flatMap(({ state }) =>
          (state.keys ?? []).map(({ publicKey: _, ...key }) => ({ ...key, userName: state.name })),
        )
        .sort((a, b) => (a.keyId < b.keyId ? -1 : 1));
    },

    /** Removes a key. Tokens issued for it end. */
    async removeKey(keyId: string, removal: Removal = {}): Promise<void> {
      await changeUser(options, {
        key: { kind: "key_id", value: keyId },
        missing: () => new DirectoryError("key_missing", `there is no key ${keyId}: key list shows all ids`),
        removal,
        decide: () => removeKey(keyId),
      });
    },
  };
}
