import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  jwtVerify,
  type ProtectedHeaderParameters,
} from "jose";
import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";
import { clockToleranceSeconds, describeAudience, isAccessToken, otherClaims } from "./access-token.ts";
import type { createKeys } from "./keys.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

/** Asymmetric algorithms only: with HMAC, the public key of the issuer could sign. */
const algorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];
/** RFC 9068 requires the longer two; most issuers write `JWT` or nothing. */
const types = ["jwt", "at+jwt", "application/at+jwt"];

/** Whether a token has the form of a signed JWT. Any other token is opaque, and may be introspected. */
export function isJwt(token: string): boolean {
  return /^[\w-]+\.[\w-]*\.[\w-]*$/.test(token) && headerOf(token) !== undefined;
}

/** The unverified issuer of a JWT, if it has one. */
export function readIssuer(token: string): unknown {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/**
 * The claims of a JWT that is a current access token of this issuer for this service; else undefined, and `refuse` gets the
 * reason, except for an expired token. Rejects only with an AuthError `issuer_unavailable`.
 */
export async function verifyJwt(
  token: string,
  options: {
    readonly settings: OutsideIssuerSettings;
    readonly findKey: ReturnType<typeof createKeys>;
    readonly clock: Clock;
    readonly refuse: (reason: string) => void;
  },
): Promise<JWTPayload | undefined> {
  const { settings, findKey, clock, refuse } = options;
  const header = headerOf(token);
  if (header === undefined || !isHeaderGood(header)) {
    refuse("the alg, typ or crit in its header is not accepted");
    return undefined;
  }
  try {
    const { payload } = await jwtVerify(token, findKey, {
      algorithms,
      issuer: settings.url,
      audience: settings.audience,
      requiredClaims: ["exp", "sub"],
      clockTolerance: clockToleranceSeconds,
      currentDate: new Date(clock()),
    });
    // Finding the key may have taken seconds.
    if (isAccessToken(payload, { settings, now: clock() })) return payload;
    refuse(otherClaims);
    return undefined;
  } catch (error) {
    if (error instanceof AuthError) throw error;
    if (!(error instanceof errors.JWTExpired)) refuse(describe(error, settings));
    return undefined;
  }
}

/** The texts of jose are constants, except for claims, which the issuer has signed. */
function describe(error: unknown, settings: OutsideIssuerSettings): string {
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === "aud") {
    return describeAudience(error.payload.aud, settings);
  }
  if (error instanceof errors.JWKSNoMatchingKey) return "its kid is not the id of a key of the issuer";
  return error instanceof errors.JOSEError ? error.message : "it is no JWT";
}

function headerOf(token: string): ProtectedHeaderParameters | undefined {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return undefined;
  }
}

/** Checked before the issuer is asked for keys. Keys and addresses in the header are never used. */
function isHeaderGood({ alg, typ, crit }: ProtectedHeaderParameters): boolean {
  return (
    typeof alg === "string" &&
    algorithms.includes(alg) &&
    (typ === undefined || (typeof typ === "string" && types.includes(typ.toLowerCase()))) &&
    crit === undefined
  );
}
