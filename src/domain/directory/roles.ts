/** The permissions. An RPC names its own in the proto option `zitadel.v1.auth_option`. */
export const permissions = [
  "policy.read",
  "policy.write",
  "policy.delete",
  "iam.policy.read",
  "iam.policy.write",
  "iam.policy.delete",
] as const;
export type Permission = (typeof permissions)[number];

/** A role on the instance applies to every organization, a role on an organization to that one. */
export type RoleScope = "instance" | "organization";

interface RoleDefinition {
  readonly scope: RoleScope;
  readonly permissions: readonly Permission[];
}

const organization = (...granted: Permission[]): RoleDefinition => ({ scope: "organization", permissions: granted });
const instance = (...granted: Permission[]): RoleDefinition => ({ scope: "instance", permissions: granted });

/** ZITADEL's default roles with their permissions here (its defaults.yaml, 2026). Some have none. */
export const roles = {
  IAM_OWNER: instance(...permissions),
  IAM_OWNER_VIEWER: instance("policy.read", "iam.policy.read"),
  IAM_ORG_MANAGER: instance("policy.read", "policy.write", "policy.delete"),
  IAM_LOGIN_CLIENT: instance("policy.read", "iam.policy.read"),
  IAM_USER_MANAGER: instance(),
  IAM_ADMIN_IMPERSONATOR: instance(),
  IAM_END_USER_IMPERSONATOR: instance(),
  SYSTEM_OWNER: instance(),
  SYSTEM_OWNER_VIEWER: instance(),
  ORG_OWNER: organization("policy.read", "policy.write", "policy.delete"),
  ORG_SETTINGS_MANAGER: organization("policy.read", "policy.write", "policy.delete"),
  ORG_OWNER_VIEWER: organization("policy.read"),
  ORG_USER_MANAGER: organization("policy.read"),
  ORG_USER_PERMISSION_EDITOR: organization("policy.read"),
  ORG_PROJECT_PERMISSION_EDITOR: organization("policy.read"),
  ORG_PROJECT_CREATOR: organization("policy.read"),
  ORG_USER_SELF_MANAGER: organization("policy.read"),
  ORG_ADMIN_IMPERSONATOR: organization(),
  ORG_END_USER_IMPERSONATOR: organization(),
  PROJECT_OWNER: organization("policy.read"),
  PROJECT_OWNER_VIEWER: organization("policy.read"),
  PROJECT_OWNER_GLOBAL: organization("policy.read"),
  PROJECT_OWNER_VIEWER_GLOBAL: organization("policy.read"),
  PROJECT_GRANT_OWNER: organization("policy.read"),
  PROJECT_GRANT_OWNER_VIEWER: organization("policy.read"),
  SELF_MANAGEMENT_GLOBAL: organization("policy.read"),
} as const satisfies Record<string, RoleDefinition>;

export type Role = keyof typeof roles;

export const isRole = (name: string): name is Role => Object.hasOwn(roles, name);

export const isPermission = (name: string): name is Permission => permissions.some((known) => known === name);

/** Whether one of these roles grants the permission. */
export function grants(held: readonly Role[], permission: Permission): boolean {
  return held.some((role) => (roles[role].permissions as readonly Permission[]).includes(permission));
}
