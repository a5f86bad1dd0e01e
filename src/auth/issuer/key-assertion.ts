import { decodeJwt, decodeProtectedHeader, errors, importSPKI, jwtVerify } from "jose";
import type { UniqueKey, UserState } from "../../domain/states.ts";
import type { Store } from "../../store/store.ts";

export const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/** A real one has about 600 characters. */
const maxAssertionLength = 8192;

/** The algorithm of all keys of users. */
const algorithm = "RS256";

/** Why an assertion is refused, for the log. The caller does not get the reason, which would mostly help attackers. */
export interface AssertionRefusal {
  readonly refused: string;
}

/**
 * Verifies an assertion that a service user signed with its key (RFC 7523): `iss` and `sub` are the user, `aud` is or contains
 * the issuer, and it lives at most one hour, like those of ZITADEL's SDKs. Resolves to the ids of user and key, or to a refusal.
 */
export async function verifyKeyAssertion(
  assertion: string,
  { store, issuer, now }: { readonly store: Store; readonly issuer: string; readonly now: number },
): Promise<{ readonly userId: string; readonly keyId: string } | AssertionRefusal> {
  if (assertion.length > maxAssertionLength) return { refused: `it has more than ${maxAssertionLength} characters` };
  try {
    const keyId = decodeProtectedHeader(assertion).kid;
    const { sub } = decodeJwt(assertion);
    if (typeof keyId !== "string") return { refused: "kid is missing: it must be the keyId of the key file" };
    const ref: UniqueKey = { kind: "key_id", value: keyId };
    const found = keyId.isWellFormed() ? (await store.read([ref])).find(ref) : undefined;
    const key = (found?.state as UserState | undefined)?.keys?.find((candidate) => candidate.keyId === keyId);
    if (found === undefined || key === undefined)
      return { refused: "kid is not a key of this server, or that of a removed one" };
    if (found.ref.id !== sub)
      return { refused: `sub is not the user of key ${keyId}: it must be the userId of the key file` };
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
    // The texts of jose are constants, such as "signature verification failed". A TypeError means that it is no JWT.
    if (error instanceof errors.JOSEError) return { refused: error.message };
    if (error instanceof TypeError) return { refused: "it is no JWT" };
    throw error;
  }
}

/** May quote claims, since the signature of the user is valid. */
function describeClaim({ claim, message, payload }: errors.JWTClaimValidationFailed, issuer: string): string {
  if (claim === "aud") {
    return `aud is ${JSON.stringify(payload.aud)?.slice(0, 200)}, and must be exactly the issuer ${issuer}`;
  }
  const isTime = claim === "iat" || claim === "exp" || claim === "nbf";
  return isTime ? `${message}: check the clocks, and that the assertion lives at most one hour` : message;
}
