import { timingSafeEqual } from "node:crypto";
import type { EventEmitter } from "node:events";
import { isGone, nameAnswer } from "@portcullis/rpc";
import {
  type Configuration,
  errors,
  type FindAccount,
  interactionPolicy,
  type KoaContextWithOIDC,
  Provider,
} from "oidc-provider";
import type { IssuerKeys } from "../../application/issuer-keys.ts";
import type { LimitedLog } from "../../process/limited-log.ts";
import { type Clock, type Store, userRef } from "../../store/store.ts";
import { apiScope } from "../../wire-names.ts";
import { keyClientId } from "../issued.ts";
import { digestToken } from "../token.ts";
import { createAdapter } from "./adapter.ts";
import { completeIntrospection } from "./introspection.ts";
import { jwtBearerGrant, verifyKeyAssertion } from "./key-assertion.ts";
import { lifetimes } from "./lifetimes.ts";
import { logRefusals } from "./log-refusals.ts";
import { formActionsOf, type HtmlPage, messagePage, pageHeaders, signOutPage } from "./pages.ts";
import { issuerPaths, signInPath } from "./paths.ts";

export interface ProviderOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** The issuer identifier: an origin. */
  readonly url: string;
  readonly keys: IssuerKeys;
  readonly report: (reason: unknown, requestId: string) => void;
  readonly limitedLog: LimitedLog;
}

/** oidc-provider with the features that this server needs. */
export function createProvider(options: ProviderOptions): Provider {
  const { store, clock, url, keys, report, limitedLog } = options;
  const provider = new Provider(url, {
    adapter: (model: string) => createAdapter(model, { store, clock }),
    clients: [
      {
        client_id: keyClientId,
        token_endpoint_auth_method: "none",
        grant_types: [jwtBearerGrant],
        redirect_uris: [],
        response_types: [],
      },
    ],
    extraClientMetadata: { properties: ["user_id"] },
    jwks: { keys: keys.signing.map(({ jwk }) => jwk) },
    cookies: {
      keys: [keys.cookieSecret],
      names: { session: "portcullis_session", interaction: "portcullis_sign_in", resume: "portcullis_resume" },
      long: { signed: true, httpOnly: true, sameSite: "lax" },
      short: { signed: true, httpOnly: true, sameSite: "lax" },
    },
    routes: {
      authorization: issuerPaths.authorization,
      token: issuerPaths.token,
      introspection: issuerPaths.introspection,
      revocation: issuerPaths.revocation,
      jwks: issuerPaths.keys,
      userinfo: issuerPaths.userinfo,
      end_session: issuerPaths.endSession,
    },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      resourceIndicators: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: (_context, client, token) =>
          client.clientAuthMethod !== "none" || client.clientId === token.clientId,
      },
      revocation: { enabled: true, allowedPolicy: (_context, client, token) => client.clientId === token.clientId },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context, form) => {
          const returnTo = context.oidc.params?.["post_logout_redirect_uri"];
          showPage(context, signOutPage({ form }), typeof returnTo === "string" ? formActionsOf(returnTo) : []);
        },
        postLogoutSuccessSource: (context) =>
          showPage(context, messagePage({ title: "Signed out", text: "You are signed out. You can close this page." })),
      },
    },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "none"],
    responseTypes: ["code"],
    pkce: { required: () => true },
    scopes: ["openid", "offline_access", "profile", apiScope],
    claims: { openid: ["sub"], profile: ["name", "preferred_username"] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256"] },
    subjectTypes: ["public"],
    // Called before the secret is checked, so the answer for a user must equal that for an unknown client.
    clientBasedCORS: (_context, origin, client) =>
      client["user_id"] !== undefined ||
      (client.clientAuthMethod === "none" &&
        (client.redirectUris ?? []).some((uri) => URL.canParse(uri) && new URL(uri).origin === origin)),
    // Revoking one token of a sign-in revokes the others.
    revokeGrantPolicy: () => true,
    allowOmittingSingleRegisteredRedirectUri: false,
    rotateRefreshToken: true,
    ttl: lifetimes,
    interactions: { policy: createPolicy(), url: (_context, { uid }) => `${signInPath}${uid}` },
    findAccount: createFindAccount(store),
    loadExistingGrant,
    extraTokenClaims,
    renderError: (context, { error, error_description: description }) =>
      showPage(
        context,
        messagePage({
          title: "This request failed",
          text: `${description ?? "The request could not be served."} (${error}) Go back to the application and try again.`,
        }),
      ),
  } satisfies Configuration);

  // The stored secret is a digest.
  provider.Client.prototype.compareClientSecret = function compareClientSecret(actual: string): boolean {
    if (this.clientSecret === undefined) return false;
    return timingSafeEqual(Buffer.from(digestToken(actual)), Buffer.from(this.clientSecret));
  };
  provider.registerGrantType(jwtBearerGrant, createKeyGrant({ store, clock, url }), ["assertion", "scope"]);
  provider.on("server_error", ({ req, res }, error) => report(error, nameAnswer(req, res)));
  logRefusals(provider, limitedLog);
  completeIntrospection(provider, store);
  // Errors of Koa, which the types do not have. Without a listener, Koa writes them to standard error with their stacks.
  (provider as EventEmitter).on(
    "error",
    (error: Error & { readonly expose?: boolean }, { req, res }: Pick<KoaContextWithOIDC, "req" | "res">) => {
      const isOfClient = error.expose === true || res.writableEnded || isGone(res);
      if (!isOfClient) report(error, nameAnswer(req, res));
    },
  );
  return provider;
}

/** Asks for consent only if an application requests it, for offline access. */
function createPolicy() {
  const policy = interactionPolicy.base();
  policy.remove("consent");
  policy.add(new interactionPolicy.Prompt({ name: "consent", requestable: true }));
  return policy;
}

const createFindAccount =
  (store: Store): FindAccount =>
  async (_context, id) => {
    const ref = userRef(id);
    const { state } = (await store.read([ref])).get(ref);
    if (state === undefined || state.removed) return undefined;
    const { name } = state;
    return { accountId: id, claims: () => ({ sub: id, name, preferred_username: name }) };
  };

/**
 * The operator registers applications, so people are not asked whether they trust one. A session has one grant for each
 * application; a request for more scopes creates a new one. A grant never changes, so a revoked one stays revoked.
 */
async function loadExistingGrant({ oidc }: KoaContextWithOIDC) {
  const { client, session, provider } = oidc;
  if (client === undefined || session?.accountId === undefined) return undefined;
  const grantId = session.grantIdFor(client.clientId);
  const before = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const held = before?.getOIDCScope().split(" ") ?? [];
  const wanted = [...oidc.requestParamOIDCScopes];
  if (before !== undefined && wanted.every((scope) => held.includes(scope))) return before;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope([...new Set([...held, ...wanted])].filter((scope) => scope !== "").join(" "));
  await grant.save();
  return grant;
}

/** Claims that introspection shows and the request gate reads. */
async function extraTokenClaims({ oidc, state }: KoaContextWithOIDC, token: { readonly kind: string }) {
  if (token.kind === "ClientCredentials") return { sub: oidc.client?.["user_id"] as string };
  const keyId = state["keyId"] as string | undefined;
  return keyId === undefined ? undefined : { key_id: keyId };
}

function createKeyGrant(options: { readonly store: Store; readonly clock: Clock; readonly url: string }) {
  return async (context: KoaContextWithOIDC): Promise<void> => {
    const { client, params, provider } = context.oidc;
    const assertion = params?.["assertion"];
    if (client === undefined || typeof assertion !== "string") throw new errors.InvalidRequest("assertion is missing");
    const { store, clock, url } = options;
    const verified = await verifyKeyAssertion(assertion, { store, issuer: url, now: clock() });
    if ("refused" in verified) throw new errors.InvalidGrant(`the assertion is refused: ${verified.refused}`);
    const known = new Set(["openid", "profile", apiScope]);
    const asked = typeof params?.["scope"] === "string" ? params["scope"].split(" ") : [];
    const scope = asked.filter((name) => known.has(name)).join(" ");
    const grant = new provider.Grant({ clientId: client.clientId, accountId: verified.userId });
    grant.addOIDCScope(scope);
    context.state["keyId"] = verified.keyId;
    const token = new provider.AccessToken({
      client,
      accountId: verified.userId,
      grantId: await grant.save(),
      gty: "jwt_bearer",
      scope,
    } as never);
    context.oidc.entity("AccessToken", token);
    context.body = {
      access_token: await token.save(),
      token_type: token.tokenType,
      expires_in: token.expiration,
      scope,
    };
  };
}

function showPage(context: KoaContextWithOIDC, { html }: HtmlPage, formActions: readonly string[] = []): void {
  context.set(pageHeaders({ formActions }));
  context.body = html;
}
