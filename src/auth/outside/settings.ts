/** An outside OpenID issuer whose access tokens are accepted. */
export interface OutsideIssuerSettings {
  /** The issuer identifier, compared exactly with the claim of a token and with the discovery document. */
  readonly url: string;
  /** A token must have this audience. */
  readonly audience: string;
  /** The claim with the roles. If no claim has this name, its dots separate a path. */
  readonly roleClaim: string;
  /** Whether this issuer may give roles on the whole instance. */
  readonly instanceRoles: boolean;
  /** The client for introspection (RFC 7662); absent: opaque tokens of this issuer are refused. */
  readonly introspection?: { readonly clientId: string; readonly clientSecret: string };
}
