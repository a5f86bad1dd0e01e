/** The endpoints of the issuer. ZITADEL's published API documents contain the first two. */
export const issuerPaths = {
  authorization: "/oauth/v2/authorize",
  token: "/oauth/v2/token",
  introspection: "/oauth/v2/introspect",
  revocation: "/oauth/v2/revoke",
  keys: "/oauth/v2/keys",
  userinfo: "/oidc/v1/userinfo",
  endSession: "/oidc/v1/end_session",
} as const;

/** The pages of the sign-in; the id of one sign-in follows. */
export const signInPath = "/sign-in/";

/** All paths of the issuer. A `*` stands for the part that differs from one sign-in to the next. */
export const issuerRoutes: readonly string[] = [
  ...Object.values(issuerPaths),
  "/.well-known/openid-configuration",
  "/.well-known/oauth-authorization-server",
  `${issuerPaths.authorization}/*`,
  `${issuerPaths.endSession}/*`,
  `${signInPath}*`,
];

const posted: ReadonlySet<string> = new Set([
  issuerPaths.token,
  issuerPaths.introspection,
  issuerPaths.revocation,
  `${issuerPaths.endSession}/confirm`,
]);

/** The methods that a path of the issuer takes. */
export function methodsOf(path: string): readonly string[] {
  if (posted.has(path)) return ["POST", "OPTIONS"];
  if (path.startsWith(signInPath)) return ["GET", "POST", "OPTIONS"];
  return path === issuerPaths.userinfo ? ["GET", "POST", "OPTIONS"] : ["GET", "HEAD", "OPTIONS"];
}
