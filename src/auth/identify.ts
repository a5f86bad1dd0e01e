import type { UserState } from "../domain/states.ts";
import { type Clock, instanceRef, type Store, type View } from "../store/store.ts";
import type { Caller, Identify } from "./caller.ts";
import { AuthError } from "./errors.ts";
import { identifyIssued } from "./issued.ts";
import type { OutsideIssuers } from "./outside/issuers.ts";
import { digestToken, tokenPrefix } from "./token.ts";

export interface IdentifyOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Whether tokens of the built-in issuer are accepted. */
  readonly acceptsIssued: boolean;
  /** Absent: no outside issuer is trusted. */
  readonly outside?: OutsideIssuers;
}

/**
 * Identifies the caller of a bearer token: a personal access token, or one of the built-in or of an outside issuer. Rejects
 * with an AuthError: `token_invalid`; `api_scope_missing` for a token of the built-in issuer without the scope of this API;
 * `issuer_unavailable` if the issuer that could check the token does not answer. It reads users of this instance from the
 * store on every call, so changes to them apply to the next request.
 */
export function createIdentify(options: IdentifyOptions): Identify {
  const { store, clock, acceptsIssued, outside } = options;

  return async (token, organizationOf) => {
    const now = clock();
    const personal = await findByPersonalToken(store, { token, now, organizationOf });
    if (personal !== undefined) return { caller: callerOf(personal), seen: personal.seen };
    const issued = acceptsIssued ? await identifyIssued(store, { token, now }) : undefined;
    if (issued !== undefined) return { caller: callerOf(issued) };
    // A token with our prefix never goes to an outside issuer, even if no user has it.
    const outsider = token.startsWith(tokenPrefix) ? undefined : await outside?.identify(token);
    if (outsider === undefined) throw new AuthError("token_invalid");
    const organizationId = outsider.organizationId ?? (await defaultOrganizationId(store));
    const homeRoles = outsider.homeRoles.map((role) => ({ role, organizationId }));
    return { caller: { userId: outsider.userId, organizationId, roles: [...outsider.roles, ...homeRoles] } };
  };
}

const callerOf = ({ userId, user }: { readonly userId: string; readonly user: UserState }): Caller => ({
  userId,
  organizationId: user.organizationId,
  roles: user.roles,
});

async function findByPersonalToken(
  store: Store,
  call: { readonly token: string; readonly now: number; readonly organizationOf: Parameters<Identify>[1] },
): Promise<{ readonly userId: string; readonly user: UserState; readonly seen: View } | undefined> {
  const { now } = call;
  const digest = digestToken(call.token);
  const key = { kind: "token_digest", value: digest } as const;
  const seen = await store.read([key], {
    follow(first) {
      const user = first.find(key)?.state as UserState | undefined;
      return user === undefined || call.organizationOf === undefined ? [] : [call.organizationOf(user.organizationId)];
    },
  });
  const found = seen.find(key);
  const user = found?.state as UserState | undefined;
  const held = user?.tokens.find((candidate) => candidate.digest === digest);
  if (found === undefined || user === undefined || held === undefined) return undefined;
  if (held.expiresAt !== undefined && held.expiresAt <= now) return undefined;
  return { userId: found.ref.id, user, seen };
}

async function defaultOrganizationId(store: Store): Promise<string> {
  const { state } = (await store.read([instanceRef])).get(instanceRef);
  if (state === undefined) throw new Error("the store was never set up");
  return state.defaultOrganizationId;
}
