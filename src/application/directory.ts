import * as decide from "../domain/directory/decide.ts";
import { DirectoryError } from "../domain/directory/decide.ts";
import type { OrganizationEvent, TokenRecord } from "../domain/events.ts";
import { defaultLoginPolicy } from "../domain/login-policy/settings.ts";
import type { InstanceState, OrganizationState, UniqueKey, UserState } from "../domain/states.ts";
import {
  type Clock,
  instanceRef,
  organizationRef,
  type Snapshot,
  type Store,
  userRef,
  type View,
} from "../store/store.ts";
import { changeUser, named, type Removal } from "./change-user.ts";
import type { IdSource } from "./ids.ts";

/** The service user that the first start creates. */
export const adminName = "admin";

export type Organization = OrganizationState & { readonly id: string; readonly isDefault: boolean };
export type User = Pick<UserState, "name" | "organizationId" | "removed" | "roles"> & { readonly id: string };
export type Token = Omit<TokenRecord, "digest"> & {
  readonly userName: string;
  readonly createdAt: number;
};

/** A user by name, a role, and the organization it is about. */
export interface RoleWish {
  readonly name: string;
  readonly role: string;
  readonly organizationId?: string;
}

/**
 * Organizations, users, roles and tokens. Each call rejects with a DirectoryError, having written nothing, where it is
 * refused. `actor` is recorded with every event as who did it.
 */
export type Directory = ReturnType<typeof createDirectory>;

export function createDirectory(options: {
  readonly store: Store;
  readonly newId: IdSource;
  readonly actor: string;
  /** Says which tokens and keys have ended. Default: the machine's clock. */
  readonly clock?: Clock;
}) {
  const { store, newId, actor } = options;

  async function defaultOrganizationId(): Promise<string> {
    return instanceOf(await store.read([instanceRef])).defaultOrganizationId;
  }

  return {
    /** Whether the store has an instance. */
    async isSetUp(): Promise<boolean> {
      return (await store.read([instanceRef])).get(instanceRef).state !== undefined;
    },

    /**
     * Creates the instance, its default organization, and the user `admin` with IAM_OWNER and this token. Resolves to
     * whether it did: where an instance exists, nothing is written.
     */
    async setUp(digest: string): Promise<boolean> {
      const organizationId = newId();
      const organization = organizationRef(organizationId);
      const admin = userRef(newId());
      const instanceId = newId();
      const tokenId = newId();
      const { value } = await store.execute({
        actor,
        reads: [instanceRef, organization, admin],
        decide(view) {
          if (view.get(instanceRef).state !== undefined) return { changes: [], value: false };
          const created = { instanceId, defaultOrganizationId: organizationId, loginPolicy: defaultLoginPolicy };
          return {
            changes: [
              { ref: instanceRef, events: [{ type: "InstanceCreated", version: 1, payload: created }] },
              {
                ref: organization,
                events: decide.addOrganization({
                  id: organizationId,
                  name: "Default",
                  sameId: undefined,
                  nameTaken: false,
                }),
              },
              {
                ref: admin,
                events: [
                  ...decide.addUser({
                    name: adminName,
                    nameTaken: false,
                    organizationId,
                    grant: { role: "IAM_OWNER" },
                  }),
                  ...decide.createToken({ tokenId, digest }),
                ],
              },
            ],
            value: true,
          };
        },
      });
      return value;
    },

    /** Whether this is a token of `admin`. */
    async holdsAdminToken(digest: string): Promise<boolean> {
      const key: UniqueKey = { kind: "token_digest", value: digest };
      const found = (await store.read([key])).find(key);
      return found !== undefined && (found.state as UserState).name === adminName;
    },

    /** Makes this the only token of `admin`. Writes nothing where it is that already. */
    async replaceAdminToken(digest: string): Promise<void> {
      const tokenId = newId();
      await changeUser(options, {
        ...named(adminName),
        decide({ tokens }) {
          const others = tokens.filter((token) => token.digest !== digest);
          const isKnown = others.length < tokens.length;
          return [
            ...others.flatMap((token) => decide.revokeToken(token.tokenId)),
            ...(isKnown ? [] : decide.createToken({ tokenId, digest })),
          ];
        },
      });
    },

    async addOrganization(name: string, id: string = newId()): Promise<Organization> {
      const ref = organizationRef(id);
      const key: UniqueKey = { kind: "organization_name", value: name };
      await store.execute({
        actor,
        reads: [ref, key],
        decide(view) {
          const events: OrganizationEvent[] = decide.addOrganization({
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
          const isDefault = instanceOf(view).defaultOrganizationId === id;
          const events = decide.removeOrganization(view.get(ref).state, { id, isDefault });
          return { changes: [{ ref, events }], value: undefined };
        },
      });
    },

    /** In the order of their ids; without removed ones. */
    async listOrganizations(): Promise<readonly Organization[]> {
      const defaultId = await defaultOrganizationId();
      return present(await store.list("organization")).map(({ ref: { id }, state }) => ({
        ...state,
        id,
        isDefault: id === defaultId,
      }));
    },

    /** Adds a service user with one role. The organization, where none is given the default one, becomes the user's home. */
    async addUser(wanted: RoleWish): Promise<User> {
      const { name, role } = wanted;
      const organizationId = wanted.organizationId ?? (await defaultOrganizationId());
      const organization = organizationRef(organizationId);
      const user = userRef(newId());
      const key: UniqueKey = { kind: "user_name", value: name };
      const grant = decide.grantOf(role, organizationId);
      await store.execute({
        actor,
        reads: [user, organization, key],
        decide(view) {
          decide.checkOrganization(view.get(organization).state, organizationId);
          const events = decide.addUser({ name, nameTaken: view.find(key) !== undefined, organizationId, grant });
          return { changes: [{ ref: user, events }], value: undefined };
        },
      });
      return { id: user.id, name, organizationId, removed: false, roles: [grant] };
    },

    /** Grants a role: on the instance, or on the organization (the default one where none is named), as the role demands. */
    async grantRole(wanted: RoleWish): Promise<void> {
      const byDefault = await defaultOrganizationId();
      const grant = decide.grantOn(wanted.role, { named: wanted.organizationId, byDefault });
      const organization = organizationRef(grant.organizationId ?? byDefault);
      await changeUser(options, {
        ...named(wanted.name),
        reads: [organization],
        decide(user, view) {
          decide.checkOrganization(view.get(organization).state, organization.id);
          return decide.grantRole(user, grant);
        },
      });
    },

    /** The opposite of `grantRole`; the organization may have been removed since. */
    async revokeRole(wanted: RoleWish, removal: Removal = {}): Promise<void> {
      const byDefault = await defaultOrganizationId();
      const grant = decide.grantOn(wanted.role, { named: wanted.organizationId, byDefault });
      await changeUser(options, {
        ...named(wanted.name),
        removal,
        decide: (user) => decide.revokeRole(user, grant),
      });
    },

    /** In the order of their ids; without removed ones. */
    async listUsers(): Promise<readonly User[]> {
      return present(await store.list("user")).map(({ ref: { id }, state }) => {
        const { name, organizationId, removed, roles } = state;
        return { id, name, organizationId, removed, roles };
      });
    },

    /** Removes a user with all roles and tokens. */
    async removeUser(name: string, removal: Removal = {}): Promise<void> {
      await changeUser(options, { ...named(name), removal, decide: () => decide.removeUser() });
    },

    /** Gives a user one more token, known by its digest. Resolves to the token's id. */
    async createToken(wanted: { readonly userName: string; readonly digest: string; readonly expiresAt?: number }) {
      const { userName, ...kept } = wanted;
      const tokenId = newId();
      await changeUser(options, { ...named(userName), decide: () => decide.createToken({ tokenId, ...kept }) });
      return tokenId;
    },

    /** Every token that was not revoked, also expired ones, in the order of their ids. */
    async listTokens(): Promise<readonly Token[]> {
      return present(await store.list("user"))
        .flatMap(({ state }) => state.tokens.map(({ digest: _, ...token }) => ({ ...token, userName: state.name })))
        .sort((a, b) => (a.tokenId < b.tokenId ? -1 : 1));
    },

    async revokeToken(tokenId: string, removal: Removal = {}): Promise<void> {
      await changeUser(options, {
        key: { kind: "token_id", value: tokenId },
        missing: () => new DirectoryError("token_missing", `there is no token ${tokenId}`),
        removal,
        decide: () => decide.revokeToken(tokenId),
      });
    },
  };
}

function instanceOf(view: View): InstanceState {
  const { state } = view.get(instanceRef);
  if (state === undefined) throw new DirectoryError("not_set_up", "the store was never set up: run serve first");
  return state;
}

/** The aggregates that were not removed. */
export function present<T extends "organization" | "user" | "client">(all: readonly Snapshot<T>[]) {
  return all.flatMap(({ ref, state }) => (state === undefined || state.removed ? [] : [{ ref, state }]));
}
