import { describe, expect, it } from "vitest";
import { grants, isPermission, isRole, permissions, type Role, roles } from "../../../../src/domain/directory/roles.ts";

// One letter per column: policy.read, .write, .delete, then the same with iam. before; `-` for none.
const published: Readonly<Record<Role, string>> = {
  IAM_OWNER: "rwdRWD",
  IAM_OWNER_VIEWER: "r--R--",
  IAM_ORG_MANAGER: "rwd---",
  IAM_LOGIN_CLIENT: "r--R--",
  IAM_USER_MANAGER: "------",
  IAM_ADMIN_IMPERSONATOR: "------",
  IAM_END_USER_IMPERSONATOR: "------",
  ORG_OWNER: "rwd---",
  ORG_SETTINGS_MANAGER: "rwd---",
  ORG_OWNER_VIEWER: "r-----",
  ORG_USER_MANAGER: "r-----",
  ORG_USER_PERMISSION_EDITOR: "r-----",
  ORG_PROJECT_PERMISSION_EDITOR: "r-----",
  ORG_PROJECT_CREATOR: "r-----",
  ORG_USER_SELF_MANAGER: "r-----",
  ORG_ADMIN_IMPERSONATOR: "------",
  ORG_END_USER_IMPERSONATOR: "------",
  PROJECT_OWNER: "r-----",
  PROJECT_OWNER_VIEWER: "r-----",
  PROJECT_OWNER_GLOBAL: "r-----",
  PROJECT_OWNER_VIEWER_GLOBAL: "r-----",
  PROJECT_GRANT_OWNER: "r-----",
  PROJECT_GRANT_OWNER_VIEWER: "r-----",
  SELF_MANAGEMENT_GLOBAL: "r-----",
  SYSTEM_OWNER: "------",
  SYSTEM_OWNER_VIEWER: "------",
};
const columns = [
  "policy.read",
  "policy.write",
  "policy.delete",
  "iam.policy.read",
  "iam.policy.write",
  "iam.policy.delete",
] as const;
const table = Object.entries(published) as [Role, string][];

describe("roles", () => {
  it("are those of the published table", () => {
    expect(Object.keys(roles).sort()).toEqual(Object.keys(published).sort());
    expect([...permissions].sort()).toEqual([...columns].sort());
  });

  it.each(table)("%s grants %s", (role, letters) => {
    const granted = columns.map((permission, index) => (grants([role], permission) ? "rwdRWD"[index] : "-"));
    expect(granted.join("")).toBe(letters);
  });

  it.each(table)("%s has the scope of its prefix", (role) => {
    expect(roles[role].scope).toBe(/^(IAM|SYSTEM)_/.test(role) ? "instance" : "organization");
  });
});

describe("grants", () => {
  it("takes no role for no permission", () => {
    expect(grants([], "policy.read")).toBe(false);
  });

  it("takes any of several roles", () => {
    expect(grants(["IAM_USER_MANAGER", "ORG_OWNER"], "policy.write")).toBe(true);
    expect(grants(["IAM_OWNER_VIEWER", "ORG_OWNER"], "iam.policy.write")).toBe(false);
  });
});

describe("names", () => {
  it.each(["ORG_OWNER", "SYSTEM_OWNER"])("%s is a role", (name) => {
    expect(isRole(name)).toBe(true);
  });
  it.each(["", "org_owner", "OWNER", "toString", "__proto__", "constructor"])("%j is no role", (name) => {
    expect(isRole(name)).toBe(false);
  });
  it("knows permissions by their exact names", () => {
    expect(["policy.read", "iam.policy.delete", "policy.execute", "POLICY.READ", ""].map(isPermission)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
