import { decodeJwt, decodeProtectedHeader, errors, importSPKI, jwtVerify } from "jose";
import type { Key, UserState } from "../policy/states.ts";
import type { Store } from "../store/store.ts";

export const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/** A real one has about 600 characters. */
const maxAssertionLength = 8192;

/** The only algorithm of keys that this issuer gives out. */
const algorithm = "RS256";

/**
 * Checks what a service user signed with its key (RFC 7523): `iss` and `sub` are the user, `aud` is or holds the issuer, and
 * it lives an hour at most, as ZITADEL's SDKs sign it. Resolves to the user's and the key's id; to undefined where any of it
 * does not hold.
 */
export async function verifyKeyAssertion(
  assertion: string,
  { store, issuer, now }: { readonly store: Store; readonly issuer: string; readonly now: number },
): Promise<{ readonly userId: string; readonly keyId: string } | undefined> {
  try {
    if (assertion.length > maxAssertionLength) return undefined;
    const keyId = decodeProtectedHeader(assertion).kid;
    const { sub } = decodeJwt(assertion);
    if (typeof keyId !== "string" || !keyId.isWellFormed() || typeof sub !== "string") return undefined;
    const ref: Key = { kind: "key_id", value: keyId };
    const found = (await store.read([ref])).find(ref);
    const key = (found?.state as UserState | undefined)?.keys?.find((candidate) => candidate.keyId === keyId);
    if (found === undefined || key === undefined || found.ref.id !== sub) return undefined;
    if (key.expiresAt !== undefined && key.expiresAt <= now) return undefined;
    await jwtVerify(assertion, await importSPKI(key.publicKey, algorithm), {
      algorithms: [algorithm],
      issuer: sub,
      subject: sub,
      audience: issuer,
      requiredClaims: ["exp", "iat"],
      maxTokenAge: 3600,
      clockTolerance: 10,
      currentDate: new Date(now),
    });
    return { userId: sub, keyId };
  } catch (error) {
    // The one is no JWT at all, the other tells which check failed, which only an attacker wants to know.
    if (error instanceof TypeError || error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}
