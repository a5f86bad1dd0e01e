import { decodeJwt, decodeProtectedHeader, errors, importSPKI, jwtVerify } from "jose";
import type { UniqueKey, UserState } from "../../domain/states.ts";
import type { Store } from "../../store/store.ts";

export const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/** A real one has about 600 characters. */
const maxAssertionLength = 8192;

/** The only algorithm of keys that this issuer gives out. */
const algorithm = "RS256";

/** Why an assertion does not count, as a sentence for the log. Callers do not get it: only an attacker wants to know. */
export interface AssertionRefusal {
  readonly refused: string;
}

/**
 * Checks what a service user signed with its key (RFC 7523): `iss` and `sub` are the user, `aud` is or holds the issuer, and
 * it lives an hour at most, as ZITADEL's SDKs sign it. Resolves to the user's and the key's id, or to why it does not count.
 */
export async function verifyKeyAssertion(
  assertion: string,
  { store, issuer, now }: { readonly store: Store; readonly issuer: string; readonly now: number },
): Promise<{ readonly userId: string; readonly keyId: string } | AssertionRefusal> {
  if (assertion.length > maxAssertionLength) return { refused: `it has more than ${maxAssertionLength} characters` };
  try {
    const keyId = decodeProtectedHeader(assertion).kid;
    const { sub } = decodeJwt(assertion);
    if (typeof keyId !== "string") return { refused: "kid is missing: it has to be the keyId of the key file" };
    const ref: UniqueKey = { kind: "key_id", value: keyId };
    const found = keyId.isWellFormed() ? (await store.read([ref])).find(ref) : undefined;
    const key = (found?.state as UserState | undefined)?.keys?.find((candidate) => candidate.keyId === keyId);
    if (found === undefined || key === undefined) return { refused: "kid is no key here, or of one that was removed" };
    if (found.ref.id !== sub)
      return { refused: `sub is not the user of key ${keyId}: it has to be the key file's userId` };
    if (key.expiresAt !== undefined && key.expiresAt <= now) return { refused: `key ${keyId} has expired` };
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
    if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) {
      return { refused: describeClaim(error, issuer) };
    }
    // The texts of jose are constants, such as "signature verification failed". A TypeError means no JWT at all.
    if (error instanceof errors.JOSEError) return { refused: error.message };
    if (error instanceof TypeError) return { refused: "it is no JWT" };
    throw error;
  }
}

/** The signature was right, so what the claim says is a user's word and not a stranger's. */
function describeClaim({ claim, message, payload }: errors.JWTClaimValidationFailed, issuer: string): string {
  if (claim === "aud") {
    return `aud is ${JSON.stringify(payload.aud)?.slice(0, 200)}, and has to be the issuer ${issuer}, letter by letter`;
  }
  const isTime = claim === "iat" || claim === "exp" || claim === "nbf";
  return isTime ? `${message}: are the clocks right? It counts for an hour at most` : message;
}
