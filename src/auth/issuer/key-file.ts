import type { Credentials } from "../../application/credentials.ts";
import { generateUserKey } from "./generate-keys.ts";

/** A key of a service user in ZITADEL's form, which its SDKs read. */
export interface KeyFile {
  readonly type: "serviceaccount";
  readonly keyId: string;
  /** The private key in PEM (PKCS #1). It is kept nowhere else. */
  readonly key: string;
  readonly userId: string;
}

/** Gives a user a new key. Rejects with a DirectoryError where there is no such user. */
export async function createKeyFile(
  credentials: Credentials,
  wanted: { readonly userName: string; readonly expiresAt?: number },
): Promise<KeyFile> {
  const { publicKey, privateKey } = await generateUserKey();
  const { keyId, userId } = await credentials.addKey({ ...wanted, publicKey });
  return { type: "serviceaccount", keyId, key: privateKey, userId };
}
