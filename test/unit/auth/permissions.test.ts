import { describe, expect, it } from "vitest";
import { AdminService } from "../../../gen/zitadel/admin_pb.ts";
import { anyone, createPermissionTable } from "../../../src/auth/permissions.ts";
import { serviceOf } from "../../fixtures/builders.ts";

// What each RPC of ours asks for is in test/protocol/roles.test.ts.
describe("createPermissionTable", () => {
  it("throws for an RPC without the option", () => {
    const { methods } = serviceOf({ name: "Guarded", permission: "policy.read" }, { name: "Forgotten" });
    expect(() => createPermissionTable(methods)).toThrow(
      /^rpc test\.Things\.Forgotten has neither zitadel\.v1\.auth_option nor portcullis\.v1\.authorization$/,
    );
  });

  it("lets anyone call the RPCs of public services, and of no other", () => {
    const service = serviceOf({ name: "Open" });
    const { methods } = service;
    const { healthz } = AdminService.method;
    const table = createPermissionTable([...methods, ...AdminService.methods], [service, healthz]);
    const open = [...table].filter(([, permission]) => permission === anyone).map(([method]) => method);
    expect(open).toEqual([...methods, healthz]);
    expect(() => createPermissionTable(methods, [AdminService])).toThrow(
      /has neither zitadel\.v1\.auth_option nor portcullis\.v1\.authorization$/,
    );
    expect(() => createPermissionTable(AdminService.methods, [service])).toThrow(/Healthz has neither zitadel/);
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
