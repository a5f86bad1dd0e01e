import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { auth_option } from "../../gen/zitadel/options_pb.ts";
import { isPermission, type Permission } from "../domain/directory/roles.ts";

/** Stands where others have a permission: whoever calls may, and needs no token. */
export const anyone = "anyone";

/** The permission that each RPC asks for. */
export type PermissionTable = ReadonlyMap<DescMethod, Permission | typeof anyone>;

/**
 * Reads the permission of every RPC from its proto option; public ones have none: those of `publicRpcs`, and of services that are
 * among them. Throws an Error, which keeps the server from starting, where another RPC names none or one that no role could grant,
 * or one of these any.
 */
export function createPermissionTable(
  methods: Iterable<DescMethod>,
  publicRpcs: readonly (DescService | DescMethod)[] = [],
): PermissionTable {
  const table = new Map<DescMethod, Permission | typeof anyone>();
  for (const method of methods) {
    const permission = hasOption(method, auth_option) ? getOption(method, auth_option).permission : undefined;
    if (publicRpcs.includes(method.parent) || publicRpcs.includes(method)) {
      if (permission !== undefined) throw new Error(`${method} is public and asks for a permission`);
      table.set(method, anyone);
      continue;
    }
    if (permission === undefined) throw new Error(`${method} has no zitadel.v1.auth_option`);
    if (!isPermission(permission))
      throw new Error(`${method} asks for a permission that no role grants: ${permission}`);
    table.set(method, permission);
  }
  return table;
}
