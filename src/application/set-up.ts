import { DirectoryError } from "../domain/directory/errors.ts";
import { addOrganization } from "../domain/directory/organizations.ts";
import { addUser, createToken, revokeToken } from "../domain/directory/users.ts";
import { defaultLoginPolicy } from "../domain/login-policy/settings.ts";
import type { InstanceState, UniqueKey, UserState } from "../domain/states.ts";
import { instanceRef, organizationRef, type Store, userRef, type View } from "../store/store.ts";
import { changeUser, named } from "./change-user.ts";
import type { CommandOptions } from "./command-options.ts";

/** The service user that the first start creates. */
export const adminName = "admin";

/** Whether the store has an instance. */
export async function isSetUp(store: Store): Promise<boolean> {
  return (await store.read([instanceRef])).get(instanceRef).state !== undefined;
}

/**
 * Creates the instance, its default organization, and the user `admin` with the role IAM_OWNER and the token with this
 * digest. Resolves to false, having written nothing, if the store already has an instance.
 */
export async function setUp({ store, newId, actor }: CommandOptions, digest: string): Promise<boolean> {
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
      const instance = { instanceId, defaultOrganizationId: organizationId, loginPolicy: defaultLoginPolicy };
      const organizationEvents = addOrganization({
        id: organizationId,
        name: "Default",
        sameId: undefined,
        nameTaken: false,
      });
      const adminEvents = addUser({ name: adminName, nameTaken: false, organizationId, grant: { role: "IAM_OWNER" } });
      return {
        changes: [
          { ref: instanceRef, events: [{ type: "InstanceCreated", version: 1, payload: instance }] },
          { ref: organization, events: organizationEvents },
          { ref: admin, events: [...adminEvents, ...createToken({ tokenId, digest })] },
        ],
        value: true,
      };
    },
  });
  return value;
}

/** Whether the token with this digest belongs to `admin`. */
export async function holdsAdminToken(store: Store, digest: string): Promise<boolean> {
  const key: UniqueKey = { kind: "token_digest", value: digest };
  const found = (await store.read([key])).find(key);
  return found !== undefined && (found.state as UserState).name === adminName;
}

/** Makes the token with this digest the only one of `admin`. Idempotent. Rejects with a DirectoryError without that user. */
export async function replaceAdminToken(options: CommandOptions, digest: string): Promise<void> {
  const tokenId = options.newId();
  await changeUser(options, {
    ...named(adminName),
    decide({ tokens }) {
      const others = tokens.filter((token) => token.digest !== digest);
      const isKnown = others.length < tokens.length;
      return [
        ...others.flatMap((token) => revokeToken(token.tokenId)),
        ...(isKnown ? [] : createToken({ tokenId, digest })),
      ];
    },
  });
}

/** The instance. Throws a DirectoryError `not_set_up` if the store has none. */
export function instanceIn(view: View): InstanceState {
  const { state } = view.get(instanceRef);
  if (state === undefined) throw new DirectoryError("not_set_up", "the store was never set up: run serve first");
  return state;
}
