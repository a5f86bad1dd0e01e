import type { RoleGrant, UserEvent } from "../events.ts";
import type { UserState } from "../states.ts";
import { DirectoryError } from "./errors.ts";
import { isRole, roles } from "./roles.ts";

/** The grant of a named role: on the whole instance, or on the organization, depending on the role. */
export function grantOf(roleName: string, organizationId: string): RoleGrant {
  if (!isRole(roleName)) {
    throw new DirectoryError(
      "role_unknown",
      `${roleName} is not a role; the roles are ${Object.keys(roles).join(", ")}`,
    );
  }
  return roles[roleName].scope === "instance" ? { role: roleName } : { role: roleName, organizationId };
}

/** The same, but throws a DirectoryError `role_scope` if the caller names an organization for a role on the instance. */
export function grantOn(
  roleName: string,
  organization: { readonly named: string | undefined; readonly byDefault: string },
) {
  const grant = grantOf(roleName, organization.named ?? organization.byDefault);
  if (organization.named !== undefined && grant.organizationId === undefined) {
    throw new DirectoryError("role_scope", `${roleName} is a role on the whole instance: leave out the organization`);
  }
  return grant;
}

export function grantRole(user: UserState, grant: RoleGrant): UserEvent[] {
  if (user.roles.some((held) => isSameGrant(held, grant))) {
    throw new DirectoryError("role_held", `${user.name} already has the role ${grant.role} there`);
  }
  return [{ type: "RoleGranted", version: 1, payload: grant }];
}

export function revokeRole(user: UserState, grant: RoleGrant): UserEvent[] {
  if (!user.roles.some((held) => isSameGrant(held, grant))) {
    throw new DirectoryError("role_not_held", `${user.name} does not have the role ${grant.role} there`);
  }
  return [{ type: "RoleRevoked", version: 1, payload: grant }];
}

/** Whether both grants are the same role on the same organization or instance. */
export const isSameGrant = (a: RoleGrant, b: RoleGrant): boolean =>
  a.role === b.role && a.organizationId === b.organizationId;
