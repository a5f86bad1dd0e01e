/** An OpenID issuer elsewhere whose access tokens count here. */
export interface OutsideIssuerSettings {
  /** The issuer identifier, compared exactly with what a token and the discovery document say. */
  readonly url: string;
  /** One of a token's audiences must be this: a token for another service is no token for this one. */
  readonly audience: string;
  /** The claim that names roles; where no claim has this name, its dots are read as a path. */
  readonly roleClaim: string;
  /** Whether roles on the instance count from this issuer. */
  readonly instanceRoles: boolean;
  /** The client that asks about opaque tokens (RFC 7662); absent: this issuer's opaque tokens do not count. */
  readonly introspection?: { readonly clientId: string; readonly clientSecret: string };
}
