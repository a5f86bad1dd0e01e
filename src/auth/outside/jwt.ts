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
import { clockToleranceSeconds, describeAudience, isAccessToken, otherClaims } from "./checks.ts";
import type { createKeys } from "./keys.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

/** Asymmetric ones only: with HMAC, whoever can read the issuer's public key could sign. */
const algorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];
/** RFC 9068 wants the longer two; most issuers write `JWT` or nothing. */
const types = ["jwt", "at+jwt", "application/at+jwt"];

/** Whether a token is a signed JWT by its form. Only other tokens are opaque, and may be asked about. */
export function isJwt(token: string): boolean {
  return /^[\w-]+\.[\w-]*\.[\w-]*$/.test(token) && headerOf(token) !== undefined;
}

/** The issuer that a JWT says it is from, before anything of it is believed; undefined where it says none. */
export function readIssuer(token: string): unknown {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/**
 * The claims of a JWT that this issuer signed as an access token for this service, which is good now; undefined where it is
 * not that, and `refuse` gets why, except for a token that has just come to its end. Rejects with an AuthError `issuer_unavailable`, and nothing else.
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
    refuse("its header has an alg, typ or crit that is not accepted");
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

/** The texts of jose are constants, but for what a claim says. There the signature was right: the issuer said it. */
function describe(error: unknown, settings: OutsideIssuerSettings): string {
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === "aud") {
    return describeAudience(error.payload.aud, settings);
  }
  if (error instanceof errors.JWKSNoMatchingKey) return "its kid is that of no key of the issuer";
  return error instanceof errors.JOSEError ? error.message : "it is no JWT";
}

function headerOf(token: string): ProtectedHeaderParameters | undefined {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return undefined;
  }
}

/** What is refused before the issuer is asked for keys. Keys and addresses in the header are never looked at. */
function isHeaderGood({ alg, typ, crit }: ProtectedHeaderParameters): boolean {
  return (
    typeof alg === "string" &&
    algorithms.includes(alg) &&
    (typ === undefined || (typeof typ === "string" && types.includes(typ.toLowerCase()))) &&
    crit === undefined
  );
}
