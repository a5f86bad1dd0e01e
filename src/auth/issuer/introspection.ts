import type { KoaContextWithOIDC, Provider } from "oidc-provider";
import type { RoleGrant } from "../../domain/events.ts";
import { type Store, userRef } from "../../store/store.ts";
import { apiAudience, apiScope, homeOrganizationClaim, rolesClaim } from "../../wire-names.ts";

/**
 * Adds to what introspection answers of an access token for the API: `aud`, and in ZITADEL's claims the home organization and the
 * roles of its user as they are now. So another server of ours, which trusts this issuer, can tell who calls it. Other tokens
 * get none of it: a refresh token must not pass for an access token elsewhere.
 */
export function completeIntrospection(provider: Provider, store: Store): void {
  provider.use(async (context, next) => {
    await next();
    const { oidc, body } = context as KoaContextWithOIDC;
    if (oidc?.route !== "introspection") return;
    const { AccessToken: token = oidc.entities.ClientCredentials } = oidc.entities;
    const answer = body as { readonly active?: boolean; readonly sub?: string };
    // The token is among the entities also where this client may not know of it.
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

/** Role to organization to domain, as ZITADEL has it. Here organizations have no domain, and a role on the instance names the home. */
function rolesByOrganization(
  roles: readonly RoleGrant[],
  home: string,
): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const claim: Record<string, Record<string, string>> = {};
  for (const { role, organizationId = home } of roles) claim[role] = { ...claim[role], [organizationId]: "" };
  return claim;
}
