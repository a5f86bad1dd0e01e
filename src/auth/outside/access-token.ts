import type { Claims } from "./claims.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

/** The most that an issuer's clock may be wrong. */
export const clockToleranceSeconds = 10;

/** Claims that only other kinds of token have: ID tokens, and security events such as logout tokens. */
const foreignClaims = ["at_hash", "c_hash", "s_hash", "events"];
/** Keycloak names the kind of a token in the claim `typ`. */
const foreignTypes = ["id", "refresh", "offline", "logout"];

/**
 * Whether claims are those of a current access token of this issuer for this service. Introspection relies on this check alone.
 * For a JWT, jose has verified the signature, and that `iss` and `exp` are present.
 */
export function isAccessToken(
  claims: Claims,
  { settings, now }: { readonly settings: OutsideIssuerSettings; readonly now: number },
): boolean {
  const { iss, aud, exp, nbf, iat, typ, cnf } = claims;
  const latest = now / 1000 + clockToleranceSeconds;
  const earliest = now / 1000 - clockToleranceSeconds;
  return (
    (iss === undefined || iss === settings.url) &&
    isForAudience(aud, settings) &&
    isTimeWithin(exp, { after: earliest }) &&
    isTimeWithin(nbf, { until: latest }) &&
    isTimeWithin(iat, { until: latest }) &&
    foreignClaims.every((name) => !Object.hasOwn(claims, name)) &&
    !(typeof typ === "string" && foreignTypes.includes(typ.toLowerCase())) &&
    // Such a token needs a proof that the sender has a key (RFC 7800), which this server does not check.
    cnf === undefined
  );
}

export const isForAudience = (aud: unknown, { audience }: OutsideIssuerSettings): boolean =>
  aud === audience || (Array.isArray(aud) && aud.includes(audience));

/** Why a token for another audience is refused. */
export const describeAudience = (aud: unknown, { audience }: OutsideIssuerSettings): string =>
  `its aud is ${JSON.stringify(aud) ?? "missing"}, and must be or contain "${audience}"`;

/** Why `isAccessToken` refuses claims for another reason than the audience. */
export const otherClaims = "it is another kind of token, or not valid at this time";

export const subjectMissing = "its sub cannot be an id";

function isTimeWithin(value: unknown, { after, until }: { readonly after?: number; readonly until?: number }): boolean {
  if (value === undefined) return true;
  // JSON's 1e999 parses as Infinity, which would never expire.
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  return (after === undefined || value > after) && (until === undefined || value <= until);
}
