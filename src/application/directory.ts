import { addOrganization, checkOrganization, removeOrganization } from "../domain/directory/organizations.ts";
import { grantOf, grantOn, grantRole, revokeRole } from "../domain/directory/role-grants.ts";
import { addUser, removeUser } from "../domain/directory/users.ts";
import type { OrganizationEvent } from "../domain/events.ts";
import type { OrganizationState, UniqueKey, UserState } from "../domain/states.ts";
import { instanceRef, organizationRef, userRef } from "../store/store.ts";
import { changeUser, named, type Removal } from "./change-user.ts";
import type { CommandOptions } from "./command-options.ts";
import { listPresent } from "./list-present.ts";
import { instanceIn } from "./set-up.ts";

export type Organization = OrganizationState & { readonly id: string; readonly isDefault: boolean };
export type User = Pick<UserState, "name" | "organizationId" | "removed" | "roles"> & { readonly id: string };

/** A user by name, a role, and the organization that the role is on. */
export interface RoleWish {
  readonly name: string;
  readonly role: string;
  readonly organizationId?: string;
}

/**
 * Commands and queries on organizations, users and their roles. A refused command rejects with a DirectoryError and writes
 * nothing.
 */
export type Directory = ReturnType<typeof createDirectory>;

export function createDirectory(options: CommandOptions) {
  const { store, newId, actor } = options;

  async function defaultOrganizationId(): Promise<string> {
    return instanceIn(await store.read([instanceRef])).defaultOrganizationId;
  }

  return {
    async addOrganization(name: string, id: string = newId()): Promise<Organization> {
      const ref = organizationRef(id);
      const key: UniqueKey = { kind: "organization_name", value: name };
      await store.execute({
        actor,
        reads: [ref, key],
        decide(view) {
          const events: OrganizationEvent[] = addOrganization({
            id,
            name,
            sameId: view.get(ref).state,
            nameTaken: view.find(key) !== undefined,
          });
          return { changes: [{ ref, events }], value: undefined };
        },
      });
      return { id, name, removed: false, isDefault: false };
    },

    async removeOrganization(id: string): Promise<void> {
      const ref = organizationRef(id);
      await store.execute({
        actor,
        reads: [ref, instanceRef],
        decide(view) {
          const isDefault = instanceIn(view).defaultOrganizationId === id;
          const events = removeOrganization(view.get(ref).state, { id, isDefault });
          return { changes: [{ ref, events }], value: undefined };
        },
      });
    },

    /** Sorted by id, without removed ones. */
    async listOrganizations(): Promise<readonly Organization[]> {
      const defaultId = await defaultOrganizationId();
      const all = await listPresent(store, "organization");
      return all.map(({ id, state }) => ({ ...state, id, isDefault: id === defaultId }));
    },

    /** Adds a service user with one role. The user's home is the given organization, or the default one. */
    async addUser(wanted: RoleWish): Promise<User> {
      const { name, role } = wanted;
      const organizationId = wanted.organizationId ?? (await defaultOrganizationId());
      const organization = organizationRef(organizationId);
      const user = userRef(newId());
      const key: UniqueKey = { kind: "user_name", value: name };
      const grant = grantOf(role, organizationId);
      await store.execute({
        actor,
        reads: [user, organization, key],
        decide(view) {
          checkOrganization(view.get(organization).state, organizationId);
          const events = addUser({ name, nameTaken: view.find(key) !== undefined, organizationId, grant });
          return { changes: [{ ref: user, events }], value: undefined };
        },
      });
      return { id: user.id, name, organizationId, removed: false, roles: [grant] };
    },

    /** Grants a role on the whole instance or on one organization (without a name: the default one), depending on the role. */
    async grantRole(wanted: RoleWish): Promise<void> {
      const byDefault = await defaultOrganizationId();
      const grant = grantOn(wanted.role, { named: wanted.organizationId, byDefault });
      const organization = organizationRef(grant.organizationId ?? byDefault);
      await changeUser(options, {
        ...named(wanted.name),
        reads: [organization],
        decide(user, view) {
          checkOrganization(view.get(organization).state, organization.id);
          return grantRole(user, grant);
        },
      });
    },

    /** Undoes `grantRole`, even if the organization has been removed since. */
    async revokeRole(wanted: RoleWish, removal: Removal = {}): Promise<void> {
      const byDefault = await defaultOrganizationId();
      const grant = grantOn(wanted.role, { named: wanted.organizationId, byDefault });
      await changeUser(options, {
        ...named(wanted.name),
        removal,
        decide: (user) => revokeRole(user, grant),
      });
    },

    /** Sorted by id, without removed ones. */
    async listUsers(): Promise<readonly User[]> {
      return (await listPresent(store, "user")).map(({ id, state }) => {
        const { name, organizationId, removed, roles } = state;
        return { id, name, organizationId, removed, roles };
      });
    },

    /** Removes a user with all roles and tokens. */
    async removeUser(name: string, removal: Removal = {}): Promise<void> {
      await changeUser(options, { ...named(name), removal, decide: () => removeUser() });
    },
  };
}
