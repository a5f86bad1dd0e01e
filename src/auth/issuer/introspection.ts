import type { KoaContextWithOIDC, Provider } from "oidc-provider";
import type { RoleGrant } from "../../domain/events.ts";
import { type Store, userRef } from "../../store/store.ts";
import { apiAudience, apiScope, homeOrganizationClaim, rolesClaim } from "../../wire-names.ts";

/**
 * Adds claims to the introspection of an access token for this API: `aud`, and the current roles and home organization of the
 * user, as ZITADEL has them. Another server that trusts this issuer needs them. Other tokens get none, so that a refresh token
 * is not accepted as an access token elsewhere.
 */
export function completeIntrospection(provider: Provider, store: Store): void {
  provider.use(async (context, next) => {
    await next();
    const { oidc, body } = context as KoaContextWithOIDC;
    if (oidc?.route !== "introspection") return;
    const { AccessToken: token = oidc.entities.ClientCredentials } = oidc.entities;
    const answer = body as { readonly active?: boolean; readonly sub?: string };
    // The token is an entity even if the client may not introspect it.
    if (answer.active !== true || !token?.scope?.split(" ").includes(apiScope)) return;
    context.body = { ...answer, aud: apiAudience, ...(await claimsOf(store, answer.sub ?? "")) };
  });
}

async function claimsOf(store: Store, userId: string) {
  const ref = userRef(userId);
  const { state } = (await store.read([ref])).get(ref);
  if (state === undefined) return {};
  const { organizationId, roles } = state;
  return {
    [homeOrganizationClaim]: organizationId,
    [rolesClaim]: rolesByOrganization(roles, organizationId),
  };
}

/** ZITADEL's shape: role to organization to domain, which is empty here. A role on the instance names the home organization. */
function rolesByOrganization(
  roles: readonly RoleGrant[],
  home: string,
): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const claim: Record<string, Record<string, string>> = {};
  for (const { role, organizationId = home } of roles) claim[role] = { ...claim[role], [organizationId]: "" };
  return claim;
}
