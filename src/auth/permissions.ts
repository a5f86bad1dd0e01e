import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  hasOption,
} from "@bufbuild/protobuf";
import { authorization } from "../../gen/portcullis/v1/authorization_pb.ts";
import { auth_option } from "../../gen/zitadel/options_pb.ts";
import { isPermission, type Permission } from "../domain/directory/roles.ts";

/** In place of a permission: the RPC is public and needs no token. */
export const anyone = "anyone";

/** What an RPC asks for on the resource that its request names. */
export interface ResourceRule {
  /** The way to the field with the name; empty: the call shows only what its caller has the permission on. */
  readonly field: readonly DescField[];
  readonly permission: Permission;
  /** Absent: the RPC is about organizations alone. */
  readonly instancePermission?: Permission;
}

/** What each RPC asks for: a permission on the organization of the call, or a rule for what its request names. */
export type PermissionTable = ReadonlyMap<DescMethod, Permission | ResourceRule | typeof anyone>;

/**
 * Reads what every RPC asks for from its proto option. `publicRpcs` are RPCs, or services with all of theirs, that need
 * none. Throws an Error, which prevents the start, for an RPC without a permission, with one that no role grants, or for a
 * public RPC with one.
 */
export function createPermissionTable(
  methods: Iterable<DescMethod>,
  publicRpcs: readonly (DescService | DescMethod)[] = [],
): PermissionTable {
  const table = new Map<DescMethod, Permission | ResourceRule | typeof anyone>();
  for (const method of methods) {
    const permission = hasOption(method, auth_option) ? getOption(method, auth_option).permission : undefined;
    if (hasOption(method, authorization) && permission === undefined) {
      table.set(method, readRule(method));
      continue;
    }
    if (publicRpcs.includes(method.parent) || publicRpcs.includes(method)) {
      if (permission !== undefined) throw new Error(`${method} is public but has a permission`);
      table.set(method, anyone);
      continue;
    }
    if (permission === undefined)
      throw new Error(`${method} has neither zitadel.v1.auth_option nor portcullis.v1.authorization`);
    table.set(method, known(permission, method));
  }
  return table;
}

function known(permission: string, method: DescMethod): Permission {
  if (isPermission(permission)) return permission;
  throw new Error(`${method} has a permission that no role grants: ${permission}`);
}

function readRule(method: DescMethod): ResourceRule {
  const { resource, permission, instancePermission } = getOption(method, authorization);
  return {
    field: resource === "" ? [] : fieldPath(method, resource),
    permission: known(permission, method),
    ...(instancePermission !== "" && { instancePermission: known(instancePermission, method) }),
  };
}

function fieldPath(method: DescMethod, path: string): DescField[] {
  let within: DescMessage | undefined = method.input;
  const fields = path.split(".").map((name) => {
    const field: DescField | undefined = within?.fields.find((one) => one.name === name);
    if (field === undefined) throw new Error(`${method} authorizes by ${path}, which its request does not have`);
    within = field.fieldKind === "message" ? field.message : undefined;
    return field;
  });
  return fields;
}
