import type { HandlerContext } from "@connectrpc/connect";
import { callerKey } from "@portcullis/rpc";
import type { Permission, Role } from "../domain/directory/roles.ts";
import { grants, roles } from "../domain/directory/roles.ts";
import { organizationRef, type Store } from "../store/store.ts";
import { organizationHeader } from "../wire-names.ts";
import type { Caller, Identify } from "./caller.ts";
import { AuthError } from "./errors.ts";
import { anyone, type PermissionTable } from "./permissions.ts";
import { principalKey } from "./principal.ts";
import { isTokenText } from "./token.ts";

/**
 * Decides whether a call may go on, from its headers alone, and leaves its principal for the handler, and whose turn it takes; a public
 * RPC has neither.
 * Throws an AuthError otherwise. The store is read on every call, so a token, role or organization that any process changed
 * counts on the next one.
 */
export function createGate(options: {
  readonly store: Store;
  readonly permissions: PermissionTable;
  /** Says who a token speaks for; rejects with an AuthError where it speaks for nobody. */
  readonly identify: Identify;
}): (context: HandlerContext) => Promise<void> {
  const { store, permissions, identify } = options;

  return async (context) => {
    const permission = permissions.get(context.method);
    if (permission === undefined) throw new Error(`${context.method} is not in the permission table`);
    // Not even a bad token counts: who asks for health may send one with every call.
    if (permission === anyone) return;
    const token = readBearerToken(context.requestHeader.get("authorization"));
    const wanted = readOrganizationHeader(context.requestHeader.get(organizationHeader));

    const organizationOf = (home: string) => organizationRef(wanted ?? home);
    const { caller, ...identified } = await identify(token, organizationOf);
    // The user and not the token: who can get one token can mostly get many.
    context.values.set(callerKey, caller.userId);
    const ref = organizationOf(caller.organizationId);
    const seen = identified.seen ?? (await store.read([ref]));
    const { state: organization } = seen.get(ref);
    const organizationId = ref.id;
    checkAccess(caller, { organizationId, exists: organization !== undefined && !organization.removed, permission });

    context.values.set(principalKey, { userId: caller.userId, organizationId, seen });
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

function checkAccess(
  caller: Caller,
  call: { readonly organizationId: string; readonly exists: boolean; readonly permission: Permission },
): void {
  const held: Role[] = caller.roles
    .filter(({ organizationId }) => organizationId === undefined || organizationId === call.organizationId)
    .map(({ role }) => role);
  if (!call.exists) {
    // Only who has a role on the instance learns that an organization does not exist: others could list them by trial.
    const onInstance = held.some((role) => roles[role].scope === "instance");
    throw new AuthError(onInstance ? "organization_unknown" : "permission_missing");
  }
  if (!grants(held, call.permission)) throw new AuthError("permission_missing");
}
