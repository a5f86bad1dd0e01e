import type { HandlerContext } from "@connectrpc/connect";
import type { Permission, Role } from "../policy/roles.ts";
import { grants, roles } from "../policy/roles.ts";
import type { UserState } from "../policy/states.ts";
import { type Clock, organizationRef, type Store } from "../store/store.ts";
import { AuthError } from "./errors.ts";
import type { PermissionTable } from "./permissions.ts";
import { principalKey } from "./principal.ts";
import { digestToken, isTokenText } from "./token.ts";

const organizationHeader = "x-zitadel-orgid";

/**
 * Decides whether a call may go on, from its headers alone, and leaves its principal for the handler. Throws an AuthError
 * otherwise. Everything is read from the store on every call, so a token, role or organization that any process changed
 * counts on the next one.
 */
export function createGate(options: {
  readonly store: Store;
  readonly permissions: PermissionTable;
  readonly clock: Clock;
}): (context: HandlerContext) => Promise<void> {
  const { store, permissions, clock } = options;

  return async (context) => {
    const permission = permissions.get(context.method);
    if (permission === undefined) throw new Error(`${context.method} is not in the permission table`);
    const digest = digestToken(readBearerToken(context.requestHeader.get("authorization")));
    const wanted = readOrganizationHeader(context.requestHeader.get(organizationHeader));

    const { userId, user } = await findUser(store, { digest, now: clock() });
    const organizationId = wanted ?? user.organizationId;
    const view = await store.read([organizationRef(organizationId)]);
    const organization = view.get(organizationRef(organizationId)).state;
    checkAccess(user, { organizationId, exists: organization !== undefined && !organization.removed, permission });

    context.values.set(principalKey, { userId, organizationId });
  };
}

function readBearerToken(header: string | null): string {
  if (header === null) throw new AuthError("header_missing");
  // The scheme in these letters, as ZITADEL wants it. A header that was sent twice arrives joined by a comma, and is refused.
  const token = /^Bearer (.+)$/.exec(header)?.[1];
  if (token === undefined || !isTokenText(token)) throw new AuthError("header_invalid");
  return token;
}

/** The organization named in the header; undefined where it is absent or empty, which mean the caller's own. */
function readOrganizationHeader(header: string | null): string | undefined {
  if (header?.includes(",")) throw new AuthError("organization_header_invalid");
  return header === null || header === "" ? undefined : header;
}

async function findUser(
  store: Store,
  { digest, now }: { readonly digest: string; readonly now: number },
): Promise<{ readonly userId: string; readonly user: UserState }> {
  const key = { kind: "token_digest", value: digest } as const;
  const found = (await store.read([key])).find(key);
  const user = found?.state as UserState | undefined;
  const token = user?.tokens.find((candidate) => candidate.digest === digest);
  if (found === undefined || user === undefined || token === undefined) throw new AuthError("token_invalid");
  if (token.expiresAt !== undefined && token.expiresAt <= now) throw new AuthError("token_invalid");
  return { userId: found.ref.id, user };
}

function checkAccess(
  user: UserState,
  call: { readonly organizationId: string; readonly exists: boolean; readonly permission: Permission },
): void {
  const held: Role[] = user.roles
    .filter(({ organizationId }) => organizationId === undefined || organizationId === call.organizationId)
    .map(({ role }) => role);
  if (!call.exists) {
    // Only who has a role on the instance learns that an organization does not exist: others could list them by trial.
    const onInstance = held.some((role) => roles[role].scope === "instance");
    throw new AuthError(onInstance ? "organization_unknown" : "permission_missing");
  }
  if (!grants(held, call.permission)) throw new AuthError("permission_missing");
}
