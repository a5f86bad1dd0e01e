import type { HandlerContext } from "@connectrpc/connect";
import { callerKey } from "@portcullis/rpc";
import { organizationRef, type Store } from "../store/store.ts";
import { organizationHeader } from "../wire-names.ts";
import { identityKey } from "./access.ts";
import type { Identify } from "./caller.ts";
import { checkPermission } from "./check-permission.ts";
import { AuthError } from "./errors.ts";
import { anyone, type PermissionTable } from "./permissions.ts";
import { principalKey } from "./principal.ts";
import { isTokenText } from "./token.ts";

/**
 * Authenticates and authorizes a call from its headers alone, and sets its principal and its caller; a public RPC gets
 * neither. Where the request names what the call is about, it only identifies the caller. Rejects with an AuthError for a
 * refused call. It reads the store on every call, so a change to a token, role or organization by any process applies to the
 * next request.
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
    if (typeof permission === "object") {
      // The request says what the call is about: `authorizeResource` goes on when it is decoded.
      const { caller, seen } = await identify(token);
      context.values.set(callerKey, caller.userId);
      context.values.set(identityKey, { caller, token, seen });
      return;
    }
    const wanted = readOrganizationHeader(context.requestHeader.get(organizationHeader));

    const organizationOf = (home: string) => organizationRef(wanted ?? home);
    const { caller, ...identified } = await identify(token, organizationOf);
    // The user, not the token: a user with one token can usually get many.
    context.values.set(callerKey, caller.userId);
    const ref = organizationOf(caller.organizationId);
    const seen = identified.seen ?? (await store.read([ref]));
    const { state: organization } = seen.get(ref);
    const organizationId = ref.id;
    checkPermission(caller, {
      organizationId,
      exists: organization !== undefined && !organization.removed,
      permission,
    });

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
