import type { Claims } from "./claims.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

/** How far an issuer's clock may be off. */
export const clockToleranceSeconds = 10;

/** Claims that only other kinds of token have: ID tokens, and security events such as logout tokens. */
const foreignClaims = ["at_hash", "c_hash", "s_hash", "events"];
/** Keycloak's tokens say in a claim `typ` what they are. */
const foreignTypes = ["id", "refresh", "offline", "logout"];

/**
 * Whether claims are those of an access token of this issuer, for this service and for now. It is all that is checked of an
 * introspection's answer; of a JWT it follows jose, which leaves some of this out and demands that `iss` and `exp` are there.
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
    // Such a token counts only with a proof that its holder has a key (RFC 7800), and nothing here could check one.
    cnf === undefined
  );
}

export const isForAudience = (aud: unknown, { audience }: OutsideIssuerSettings): boolean =>
  aud === audience || (Array.isArray(aud) && aud.includes(audience));

/** Why a token for somebody else is refused. */
export const describeAudience = (aud: unknown, { audience }: OutsideIssuerSettings): string =>
  `its aud is ${JSON.stringify(aud) ?? "missing"}, and has to be or hold "${audience}"`;

/** Why claims are refused that `isAccessToken` says no to, for another reason than the audience. */
export const otherClaims = "its claims are those of another kind of token, or of another time";

export const subjectMissing = "its sub is no id";

function isTimeWithin(value: unknown, { after, until }: { readonly after?: number; readonly until?: number }): boolean {
  if (value === undefined) return true;
  // JSON's 1e999 is Infinity: a token that never ends.
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  return (after === undefined || value > after) && (until === undefined || value <= until);
}
