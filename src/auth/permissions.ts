import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { auth_option } from "../../gen/zitadel/options_pb.ts";
import { isPermission, type Permission } from "../policy/roles.ts";

/** The permission that each RPC asks for. */
export type PermissionTable = ReadonlyMap<DescMethod, Permission>;

/**
 * Reads the permission of every RPC from its proto option. Throws an Error, which keeps the server from starting, where an
 * RPC names none or one that no role could grant.
 */
export function createPermissionTable(methods: Iterable<DescMethod>): PermissionTable {
  const table = new Map<DescMethod, Permission>();
  for (const method of methods) {
    const permission = hasOption(method, auth_option) ? getOption(method, auth_option).permission : undefined;
    if (permission === undefined) throw new Error(`${method} has no zitadel.v1.auth_option`);
    if (!isPermission(permission))
      throw new Error(`${method} asks for a permission that no role grants: ${permission}`);
    table.set(method, permission);
  }
  return table;
}
