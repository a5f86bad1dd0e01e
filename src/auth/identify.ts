import type { UserState } from "../policy/states.ts";
import { type Clock, instanceRef, type Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import { AuthError } from "./errors.ts";
import { identifyIssued } from "./issued.ts";
import type { OutsideIssuers } from "./outside/issuers.ts";
import { digestToken, tokenPrefix } from "./token.ts";

export interface IdentifyOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Whether tokens of the built-in issuer count. */
  readonly acceptsIssued: boolean;
  /** Absent: no outside issuer is trusted. */
  readonly outside?: OutsideIssuers;
}

/**
 * Says who a bearer token speaks for: a personal access token, one of the built-in issuer, or one of an outside issuer.
 * Rejects with an AuthError: `token_invalid`, or `issuer_unavailable` where only an issuer that does not answer could tell.
 * Users of this instance are read from the store on every call, so what was removed from them counts on the next one.
 */
export function createIdentify(options: IdentifyOptions): (token: string) => Promise<Caller> {
  const { store, clock, acceptsIssued, outside } = options;

  return async (token) => {
    const now = clock();
    const own =
      (await findByPersonalToken(store, { token, now })) ??
      (acceptsIssued ? await identifyIssued(store, { token, now }) : undefined);
    if (own !== undefined) {
      const { organizationId, roles } = own.user;
      return { userId: own.userId, organizationId, roles };
    }
    // One of ours that is not known any more is nobody else's business.
    const stranger = token.startsWith(tokenPrefix) ? undefined : await outside?.identify(token);
    if (stranger === undefined) throw new AuthError("token_invalid");
    const organizationId = stranger.organizationId ?? (await defaultOrganizationId(store));
    const homeRoles = stranger.homeRoles.map((role) => ({ role, organizationId }));
    return { userId: stranger.userId, organizationId, roles: [...stranger.roles, ...homeRoles] };
  };
}

async function findByPersonalToken(
  store: Store,
  { token, now }: { readonly token: string; readonly now: number },
): Promise<{ readonly userId: string; readonly user: UserState } | undefined> {
  const digest = digestToken(token);
  const key = { kind: "token_digest", value: digest } as const;
  const found = (await store.read([key])).find(key);
  const user = found?.state as UserState | undefined;
  const held = user?.tokens.find((candidate) => candidate.digest === digest);
  if (found === undefined || user === undefined || held === undefined) return undefined;
  if (held.expiresAt !== undefined && held.expiresAt <= now) return undefined;
  return { userId: found.ref.id, user };
}

async function defaultOrganizationId(store: Store): Promise<string> {
  const { state } = (await store.read([instanceRef])).get(instanceRef);
  if (state === undefined) throw new Error("the store was never set up");
  return state.defaultOrganizationId;
}
