import { getOption, hasOption } from "@bufbuild/protobuf";
import { createRouteTable, createRpcTable } from "@portcullis/rpc";
import { describe, expect, it } from "vitest";
import { authorization } from "../../../gen/portcullis/v1/authorization_pb.ts";
import { LoginPolicyService } from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { AdminService } from "../../../gen/zitadel/admin_pb.ts";
import { AuthService } from "../../../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { auth_option } from "../../../gen/zitadel/options_pb.ts";
import { permissions, roles } from "../../../src/domain/directory/roles.ts";
import { readPage, tableRows } from "./page.ts";

const page = readPage("docs/rpcs.md");
const services = [ManagementService, AdminService, AuthService];
const { routes } = createRouteTable(
  createRpcTable((router) => {
    for (const service of [LoginPolicyService, ...services]) router.service(service, {});
  }),
);

describe("docs/rpcs.md", () => {
  it.each(services.map((service) => ({ service, name: service.name })))(
    "has the RPCs, routes and permissions of $name",
    ({ service, name }) => {
      const rows = routes
        .filter(({ rpc }) => rpc.spec.method.parent === service)
        .map(({ rpc: { spec }, method, pattern }) => {
          const permission = hasOption(spec.method, auth_option) && getOption(spec.method, auth_option).permission;
          return [spec.method.name, `\`${method} ${pattern}\``, permission ? `\`${permission}\`` : "none"];
        });
      expect(rows).toHaveLength(service.methods.length);
      expect(tableRows(page, `| ${name} | REST | Permission |`)).toEqual(rows);
    },
  );

  it("has the RPCs, routes and permissions of LoginPolicyService", () => {
    const rows = routes
      .filter(({ rpc }) => rpc.spec.method.parent === LoginPolicyService)
      .map(({ rpc: { spec }, method, pattern }) => {
        const { permission, instancePermission } = getOption(spec.method, authorization);
        // As the page says below the table.
        expect(["", `iam.${permission}`]).toContain(instancePermission);
        return [spec.method.name, `\`${method} ${pattern}\``, `\`${permission}\``];
      });
    expect(new Set(rows.map(([name]) => name)).size).toBe(LoginPolicyService.methods.length);
    expect(tableRows(page, "| LoginPolicyService | REST | Permission |")).toEqual(rows);
  });

  it("has every role with its permissions", () => {
    const documented = tableRows(page, "| Roles | Permissions |").flatMap(([names = "", granted]) =>
      names.split(", ").map((name) => [name.replaceAll("`", ""), granted]),
    );
    const granted = Object.entries(roles).map(([name, { permissions: some }]) => {
      const names = some.map((permission) => `\`${permission}\``).join(", ");
      return [name, some.length === permissions.length ? "all" : names || "none"];
    });
    expect(documented.sort()).toEqual(granted.sort());
  });
});
