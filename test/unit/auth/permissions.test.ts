import { describe, expect, it } from "vitest";
import { AdminService } from "../../../gen/zitadel/admin_pb.ts";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { anyone, createPermissionTable } from "../../../src/auth/permissions.ts";
import { serviceOf } from "../../fixtures/builders.ts";

// Removing from a policy asks for write; only the reset asks for delete.
const read = "policy.read";
const write = "policy.write";
const management = {
  Healthz: anyone,
  GetLoginPolicy: read,
  GetDefaultLoginPolicy: read,
  AddCustomLoginPolicy: write,
  UpdateCustomLoginPolicy: write,
  ResetLoginPolicyToDefault: "policy.delete",
  ListLoginPolicyIDPs: read,
  AddIDPToLoginPolicy: write,
  RemoveIDPFromLoginPolicy: write,
  ListLoginPolicySecondFactors: read,
  AddSecondFactorToLoginPolicy: write,
  RemoveSecondFactorFromLoginPolicy: write,
  ListLoginPolicyMultiFactors: read,
  AddMultiFactorToLoginPolicy: write,
  RemoveMultiFactorFromLoginPolicy: write,
};
const admin = {
  Healthz: anyone,
  GetLoginPolicy: "iam.policy.read",
  UpdateLoginPolicy: "iam.policy.write",
  ListLoginPolicyIDPs: "iam.policy.read",
  AddIDPToLoginPolicy: "iam.policy.write",
  RemoveIDPFromLoginPolicy: "iam.policy.write",
  ListLoginPolicySecondFactors: "iam.policy.read",
  AddSecondFactorToLoginPolicy: "iam.policy.write",
  RemoveSecondFactorFromLoginPolicy: "iam.policy.write",
  ListLoginPolicyMultiFactors: "iam.policy.read",
  AddMultiFactorToLoginPolicy: "iam.policy.write",
  RemoveMultiFactorFromLoginPolicy: "iam.policy.write",
};

describe("createPermissionTable", () => {
  it.each([
    [ManagementService, management],
    [AdminService, admin],
  ] as const)("holds what %s asks for", (service, published) => {
    const table = createPermissionTable(service.methods, [service.method.healthz]);
    expect(Object.fromEntries([...table].map(([method, permission]) => [method.name, permission]))).toEqual(published);
  });

  it("holds all 27 RPCs", () => {
    const table = createPermissionTable(
      [...ManagementService.methods, ...AdminService.methods],
      [ManagementService.method.healthz, AdminService.method.healthz],
    );
    expect(table.size).toBe(27);
  });

  it("throws for an RPC without the option", () => {
    const { methods } = serviceOf({ name: "Guarded", permission: "policy.read" }, { name: "Forgotten" });
    expect(() => createPermissionTable(methods)).toThrow(
      /^rpc test\.Things\.Forgotten has no zitadel\.v1\.auth_option$/,
    );
  });

  it("lets anyone call the RPCs of public services, and of no other", () => {
    const service = serviceOf({ name: "Open" });
    const { methods } = service;
    const { healthz } = AdminService.method;
    const table = createPermissionTable([...methods, ...AdminService.methods], [service, healthz]);
    const open = [...table].filter(([, permission]) => permission === anyone).map(([method]) => method);
    expect(open).toEqual([...methods, healthz]);
    expect(() => createPermissionTable(methods, [AdminService])).toThrow(/has no zitadel\.v1\.auth_option$/);
    expect(() => createPermissionTable(AdminService.methods, [service])).toThrow(/Healthz has no zitadel/);
  });

  it("throws for an RPC of a public service that asks for a permission", () => {
    const refusal = new Error("rpc zitadel.admin.v1.AdminService.GetLoginPolicy is public but has a permission");
    expect(() => createPermissionTable(AdminService.methods, [AdminService])).toThrow(refusal);
    const { healthz, getLoginPolicy } = AdminService.method;
    expect(() => createPermissionTable(AdminService.methods, [healthz, getLoginPolicy])).toThrow(refusal);
  });

  it.each(["", "policy", "policy.execute"])("throws for the permission %j, which no role grants", (permission) => {
    const { methods } = serviceOf({ name: "Odd", permission });
    expect(() => createPermissionTable(methods)).toThrow(
      new Error(`rpc test.Things.Odd has a permission that no role grants: ${permission}`),
    );
  });
});
