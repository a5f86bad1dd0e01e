import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Permission } from "../domain/directory/roles.ts";
import { instanceRef, type Store, type View } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import { checkPermission, hasPermission } from "./check-permission.ts";
import { AuthError } from "./errors.ts";
import type { ResourceRule } from "./permissions.ts";
import type { PolicyName } from "./resource.ts";

/** The caller of a call whose request names what it is about. */
export interface Identity {
  readonly caller: Caller;
  /** By which the caller can be identified again. */
  readonly token: string;
  /** What was read of the store to identify the caller, for `ReadOptions.seen`. */
  readonly seen: View | undefined;
}

/** Set by the request gate. */
export const identityKey = createContextKey<Identity | undefined>(undefined, { description: "identity" });

/** What the caller of a call may do. The permission that the RPC asks for is checked. */
export interface Access {
  readonly userId: string;
  /** Contains the instance, and the organization that the request names. */
  readonly seen: View | undefined;
  /** What the request names; absent where it names no single resource. */
  readonly name?: PolicyName;
  /** Whether the caller has a permission on an organization; without one, on the instance. */
  can(permission: Permission, organizationId?: string): boolean;
  /** The ids of the organizations on which the caller has a permission; all, with a role on the instance that grants it. */
  organizations(permission: Permission): readonly string[] | "all";
}

export const accessKey = createContextKey<Access | undefined>(undefined, { description: "access" });

/** The access of a call. Throws an Error for an RPC that asks for no permission on a resource. */
export function accessOf(context: Pick<HandlerContext, "values" | "method">): Access {
  const access = context.values.get(accessKey);
  if (access === undefined) throw new Error(`${context.method.name} is called without access`);
  return access;
}

/** What the roles of a caller allow. */
export function rightsOf(caller: Caller): Pick<Access, "userId" | "can" | "organizations"> {
  return {
    userId: caller.userId,
    can: (permission, organizationId) => hasPermission(caller, permission, organizationId),
    organizations(permission) {
      if (hasPermission(caller, permission)) return "all";
      const named = caller.roles.flatMap(({ organizationId }) => organizationId ?? []);
      return [...new Set(named)].filter((id) => hasPermission(caller, permission, id));
    },
  };
}

/** Checks what a rule asks for on what a request names, and reads it. Rejects with an AuthError where the caller may not. */
export async function authorize(
  store: Store,
  { caller, seen: before }: Identity,
  { name, rule }: { readonly name: PolicyName | undefined; readonly rule: ResourceRule },
): Promise<Access> {
  const common = rightsOf(caller);
  if (name === undefined) {
    if (common.organizations(rule.permission).length === 0) throw new AuthError("permission_missing");
    return { ...common, seen: before };
  }
  const { resource } = name;
  if (resource.type === "instance") {
    const { instancePermission } = rule;
    if (instancePermission === undefined || !hasPermission(caller, instancePermission)) {
      throw new AuthError("permission_missing");
    }
    return { ...common, name, seen: await store.read([instanceRef], { seen: before }) };
  }
  const seen = await store.read([resource, instanceRef], { seen: before });
  const { state } = seen.get(resource);
  const exists = state !== undefined && !state.removed;
  checkPermission(caller, { organizationId: resource.id, exists, permission: rule.permission });
  return { ...common, name, seen };
}
