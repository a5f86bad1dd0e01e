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
 * Authenticates and authorizes a call from its headers alone, and sets its principal and its caller; a public RPC gets
 * neither. Rejects with an AuthError for a refused call. It reads the store on every call, so a change to a token, role or
 * organization by any process applies to the next request.
 */
export function createGate(options: {
  readonly store: Store;
  readonly permissions: PermissionTable;
  readonly identify: Identify;
}): (context: HandlerContext) => Promise<void> {
  const { store, permissions, identify } = options;

  return async (context) => {
    const permission = permissions.get(context.method);
    if (permission === undefined) throw new Error(`${context.method} is not in the permission table`);
    // Even a bad token is ignored: a health check may send one with every call.
    if (permission === anyone) return;
    const token = readBearerToken(context.requestHeader.get("authorization"));
    const wanted = readOrganizationHeader(context.requestHeader.get(organizationHeader));

    const organizationOf = (home: string) => organizationRef(wanted ?? home);
    const { caller, ...identified } = await identify(token, organizationOf);
    // The user, not the token: a user with one token can usually get many.
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
  // Case-sensitive like ZITADEL. Node joins repeated headers with a comma, which no token contains.
  const token = /^Bearer (.+)$/.exec(header)?.[1];
  if (token === undefined || !isTokenText(token)) throw new AuthError("header_invalid");
  return token;
}

/** The organization in the header; undefined if it is absent or empty, which means the caller's home organization. */
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
    // Only a role on the instance reveals that an organization does not exist. Others could find organizations by trial.
    const onInstance = held.some((role) => roles[role].scope === "instance");
    throw new AuthError(onInstance ? "organization_unknown" : "permission_missing");
  }
  if (!grants(held, call.permission)) throw new AuthError("permission_missing");
}
