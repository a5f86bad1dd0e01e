import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { auth_option } from "../../gen/zitadel/options_pb.ts";
import { isPermission, type Permission } from "../domain/directory/roles.ts";

/** In place of a permission: the RPC is public and needs no token. */
export const anyone = "anyone";

/** The permission of each RPC. */
export type PermissionTable = ReadonlyMap<DescMethod, Permission | typeof anyone>;

/**
 * Reads the permission of every RPC from its proto option. `publicRpcs` are RPCs, or services with all of theirs, that need
 * none. Throws an Error, which prevents the start, for an RPC without a permission, with one that no role grants, or for a
 * public RPC with one.
 */
export function createPermissionTable(
  methods: Iterable<DescMethod>,
  publicRpcs: readonly (DescService | DescMethod)[] = [],
): PermissionTable {
  const table = new Map<DescMethod, Permission | typeof anyone>();
  for (const method of methods) {
    const permission = hasOption(method, auth_option) ? getOption(method, auth_option).permission : undefined;
    if (publicRpcs.includes(method.parent) || publicRpcs.includes(method)) {
      if (permission !== undefined) throw new Error(`${method} is public but has a permission`);
      table.set(method, anyone);
      continue;
    }
    if (permission === undefined) throw new Error(`${method} has no zitadel.v1.auth_option`);
    if (!isPermission(permission)) throw new Error(`${method} has a permission that no role grants: ${permission}`);
    table.set(method, permission);
  }
  return table;
}
