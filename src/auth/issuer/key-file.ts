import type { Credentials } from "../../application/credentials.ts";
import { generateUserKey } from "./generate-keys.ts";

/** A key of a service user in the format of ZITADEL, which its SDKs read. */
export interface KeyFile {
  readonly type: "serviceaccount";
  readonly keyId: string;
  /** The private key in PEM (PKCS #1). It is stored nowhere else. */
  readonly key: string;
  readonly userId: string;
}

/** Creates a key for a user. Rejects with a DirectoryError if there is no such user. */
export async function createKeyFile(
  credentials: Credentials,
  wanted: { readonly userName: string; readonly expiresAt?: number },
): Promise<KeyFile> {
  const { publicKey, privateKey } = await generateUserKey();
  const { keyId, userId } = await credentials.addKey({ ...wanted, publicKey });
  return { type: "serviceaccount", keyId, key: privateKey, userId };
}
