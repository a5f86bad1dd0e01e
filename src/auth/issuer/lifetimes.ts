import { keyClientId } from "../issued.ts";

const hour = 60 * 60;
const day = 24 * hour;

/** How long the built-in issuer's tokens, codes and sessions live, in seconds. The names are oidc-provider's. */
export const lifetimes = {
  AccessToken: hour,
  ClientCredentials: hour,
  IdToken: hour,
  AuthorizationCode: 60,
  // A sign-in that a person has not finished.
  Interaction: hour / 4,
  // Each use replaces it, and it ends with its grant.
  RefreshToken: 30 * day,
  // 12 hours from the sign-in, however often it is used. Before the sign-in, as long as the sign-in page.
  Session: (_context: unknown, { loginTs }: { readonly loginTs?: number | undefined }) =>
    loginTs === undefined ? hour / 4 : Math.max(1, loginTs + 12 * hour - Math.floor(Date.now() / 1000)),
  // A grant by a user's key belongs to one access token.
  Grant: (_context: unknown, grant: { readonly clientId?: string | undefined }) =>
    grant.clientId === keyClientId ? hour : 90 * day,
};
