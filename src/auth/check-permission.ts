import { grants, type Permission, type Role, roles } from "../domain/directory/roles.ts";
import type { Caller } from "./caller.ts";
import { AuthError } from "./errors.ts";

/** The roles that count for an organization; without one, those on the instance. */
const rolesOn = (caller: Caller, organizationId: string | undefined): Role[] =>
  caller.roles
    .filter((grant) => grant.organizationId === undefined || grant.organizationId === organizationId)
    .map(({ role }) => role);

/** Whether the caller has a permission on an organization; without one, on the instance. */
export const hasPermission = (caller: Caller, permission: Permission, organizationId?: string): boolean =>
  grants(rolesOn(caller, organizationId), permission);

/** Throws an AuthError where the caller does not have the permission, or where the organization does not exist. */
export function checkPermission(
  caller: Caller,
  call: { readonly organizationId: string; readonly exists: boolean; readonly permission: Permission },
): void {
  if (!call.exists) {
    // Only a role on the instance reveals that an organization does not exist. Others could find organizations by trial.
    const onInstance = rolesOn(caller, call.organizationId).some((role) => roles[role].scope === "instance");
    throw new AuthError(onInstance ? "organization_unknown" : "permission_missing");
  }
  if (!hasPermission(caller, call.permission, call.organizationId)) throw new AuthError("permission_missing");
}
