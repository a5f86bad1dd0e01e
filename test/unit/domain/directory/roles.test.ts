import { describe, expect, it } from "vitest";
import { grants, isPermission, isRole } from "../../../../src/domain/directory/roles.ts";

// test/protocol/roles.test.ts has the whole table.
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
