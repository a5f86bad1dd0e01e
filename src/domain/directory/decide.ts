import type {
  ClientEvent,
  ClientRegistration,
  KeyRecord,
  OrganizationEvent,
  RoleGrant,
  TokenRecord,
  UserEvent,
} from "../events.ts";
import { isSameGrant } from "../evolve.ts";
import type { OrganizationState, UserState } from "../states.ts";
import { isRole, roles } from "./roles.ts";

export type DirectoryErrorCode =
  | "name_invalid"
  | "id_invalid"
  | "id_taken"
  | "name_taken"
  | "organization_missing"
  | "organization_is_default"
  | "user_missing"
  | "owner_last"
  | "role_unknown"
  | "role_scope"
  | "role_held"
  | "role_not_held"
  | "token_missing"
  | "key_missing"
  | "client_missing"
  | "redirect_uri_missing"
  | "redirect_uri_invalid"
  | "not_set_up";

/** An expected refusal of a change to organizations, users, what they sign in with, or applications. The message is a sentence for an operator. */
export class DirectoryError extends Error {
  override readonly name = "DirectoryError";
  readonly code: DirectoryErrorCode;

  constructor(code: DirectoryErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Names are 1 to 200 characters without control characters and without space at either end; letter case counts. */
function checkName(name: string): void {
  if (name === "" || [...name].length > 200 || name.trim() !== name || /\p{Cc}|\p{Cs}/u.test(name)) {
    throw new DirectoryError(
      "name_invalid",
      "a name has 1 to 200 characters, no control characters, and no space at its start or end",
    );
  }
}

export function addOrganization(wanted: {
  readonly id: string;
  readonly name: string;
  /** What has the id now, also a removed one: ids are never used twice. */
  readonly sameId: OrganizationState | undefined;
  readonly nameTaken: boolean;
}): OrganizationEvent[] {
  checkName(wanted.name);
  if (!/^[0-9A-Za-z_-]{1,200}$/.test(wanted.id)) {
    throw new DirectoryError("id_invalid", "an organization id has 1 to 200 letters, digits, hyphens or underscores");
  }
  if (wanted.sameId !== undefined) {
    throw new DirectoryError("id_taken", `the organization id ${wanted.id} is or was in use`);
  }
  if (wanted.nameTaken) throw new DirectoryError("name_taken", `there is an organization named ${wanted.name}`);
  return [{ type: "OrganizationAdded", version: 1, payload: { name: wanted.name } }];
}

export function removeOrganization(
  organization: OrganizationState | undefined,
  { id, isDefault }: { readonly id: string; readonly isDefault: boolean },
): OrganizationEvent[] {
  checkOrganization(organization, id);
  if (isDefault) {
    throw new DirectoryError("organization_is_default", `the organization ${id} is the default one, which stays`);
  }
  return [{ type: "OrganizationRemoved", version: 1, payload: {} }];
}

/** Throws unless the organization is there. */
export function checkOrganization(organization: OrganizationState | undefined, id: string): void {
  if (organization === undefined || organization.removed) {
    throw new DirectoryError("organization_missing", `there is no organization ${id}`);
  }
}

export function addUser(wanted: {
  readonly name: string;
  readonly nameTaken: boolean;
  readonly organizationId: string;
  readonly grant: RoleGrant;
}): UserEvent[] {
  checkName(wanted.name);
  if (wanted.nameTaken) throw new DirectoryError("name_taken", `there is a user named ${wanted.name}`);
  const { name, organizationId, grant } = wanted;
  return [
    { type: "UserAdded", version: 1, payload: { name, organizationId } },
    { type: "RoleGranted", version: 1, payload: grant },
  ];
}

/** The grant of a role by its name, on the instance or on the organization, as the role itself demands. */
export function grantOf(roleName: string, organizationId: string): RoleGrant {
  if (!isRole(roleName)) {
    throw new DirectoryError("role_unknown", `${roleName} is no role; the roles are ${Object.keys(roles).join(", ")}`);
  }
  return roles[roleName].scope === "instance" ? { role: roleName } : { role: roleName, organizationId };
}

/** The same, for a role granted by itself: an organization named for a role on the instance is a mistake. */
export function grantOn(roleName: string, place: { readonly named: string | undefined; readonly byDefault: string }) {
  const grant = grantOf(roleName, place.named ?? place.byDefault);
  if (place.named !== undefined && grant.organizationId === undefined) {
    throw new DirectoryError("role_scope", `${roleName} is a role on the whole instance: leave out the organization`);
  }
  return grant;
}

export function grantRole(user: UserState, grant: RoleGrant): UserEvent[] {
  if (user.roles.some((held) => isSameGrant(held, grant))) {
    throw new DirectoryError("role_held", `${user.name} has the role ${grant.role} there already`);
  }
  return [{ type: "RoleGranted", version: 1, payload: grant }];
}

export function revokeRole(user: UserState, grant: RoleGrant): UserEvent[] {
  if (!user.roles.some((held) => isSameGrant(held, grant))) {
    throw new DirectoryError("role_not_held", `${user.name} does not have the role ${grant.role} there`);
  }
  return [{ type: "RoleRevoked", version: 1, payload: grant }];
}

export function removeUser(): UserEvent[] {
  return [{ type: "UserRemoved", version: 1, payload: {} }];
}

export function createToken(record: TokenRecord): UserEvent[] {
  return [{ type: "TokenCreated", version: 1, payload: record }];
}

export function revokeToken(tokenId: string): UserEvent[] {
  return [{ type: "TokenRevoked", version: 1, payload: { tokenId } }];
}

export function setPassword(hash: string): UserEvent[] {
  return [{ type: "PasswordSet", version: 1, payload: { hash } }];
}

export function setSecret(digest: string): UserEvent[] {
  return [{ type: "SecretSet", version: 1, payload: { digest } }];
}

export function addKey(record: KeyRecord): UserEvent[] {
  return [{ type: "KeyAdded", version: 1, payload: record }];
}

export function removeKey(keyId: string): UserEvent[] {
  return [{ type: "KeyRemoved", version: 1, payload: { keyId } }];
}

export function addClient(
  registration: ClientRegistration,
  { nameTaken }: { readonly nameTaken: boolean },
): ClientEvent[] {
  checkName(registration.name);
  if (nameTaken) throw new DirectoryError("name_taken", `there is an application named ${registration.name}`);
  if (registration.redirectUris.length === 0) {
    throw new DirectoryError("redirect_uri_missing", "an application needs at least one redirect URI");
  }
  for (const uri of registration.redirectUris) checkRedirectUri(uri);
  checkKinds(registration.redirectUris);
  return [{ type: "ClientAdded", version: 1, payload: registration }];
}

export function removeClient(): ClientEvent[] {
  return [{ type: "ClientRemoved", version: 1, payload: {} }];
}

/** Whether a host is this machine itself, as `URL` spells it. */
const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host);

/**
 * A code in a redirect must not cross a network in plaintext, so plain http is for loopback alone; a native application may
 * have a scheme of its own, which holds a dot as RFC 8252, 7.1 wants it.
 */
function checkRedirectUri(uri: string): void {
  const [, scheme = "", host = ""] = /^([a-z][a-z0-9+.-]*):(?:\/\/([^/?#@]*?)(?::\d+)?(?:[/?]|$))?/.exec(uri) ?? [];
  const isWeb = scheme === "https" ? host !== "" : scheme === "http" && isLoopback(host);
  if (
    !URL.canParse(uri) ||
    uri.length > 2000 ||
    !/^[\x21-\x7e]+$/.test(uri) ||
    /[#*"<>\\^`{|}]/.test(uri) ||
    !(isWeb || scheme.includes("."))
  ) {
    throw new DirectoryError(
      "redirect_uri_invalid",
      `a redirect URI is https://…, http:// on this machine (127.0.0.1, [::1] or localhost), or has a scheme of its own with a dot in it, and no fragment or wildcard: ${uri}`,
    );
  }
}

/** An application with a URI other than https is a native one, and OpenID Connect gives those no https on this machine. */
function checkKinds(uris: readonly string[]): void {
  const local = uris.find((uri) => /^https:\/\/(localhost|127\.|\[::1\])/.test(uri));
  const native = uris.find((uri) => !uri.startsWith("https:"));
  if (local === undefined || native === undefined) return;
  throw new DirectoryError(
    "redirect_uri_invalid",
    `one application cannot have both ${local} and ${native}: use http for this machine`,
  );
}
