import type { KeyRecord, RoleGrant, TokenRecord, UserEvent } from "../events.ts";
import { DirectoryError } from "./errors.ts";
import { checkName } from "./names.ts";

export function addUser(wanted: {
  readonly name: string;
  readonly nameTaken: boolean;
  readonly organizationId: string;
  readonly grant: RoleGrant;
}): UserEvent[] {
  checkName(wanted.name);
  if (wanted.nameTaken)
    throw new DirectoryError("name_taken", `there is a user named ${wanted.name}: choose another name`);
  const { name, organizationId, grant } = wanted;
  return [
    { type: "UserAdded", version: 1, payload: { name, organizationId } },
    { type: "RoleGranted", version: 1, payload: grant },
  ];
}

export const removeUser = (): UserEvent[] => [{ type: "UserRemoved", version: 1, payload: {} }];

// A user's credentials. Nothing refuses these: the command has found the user, and the token or key that it removes.

export const createToken = (token: TokenRecord): UserEvent[] => [{ type: "TokenCreated", version: 1, payload: token }];

export const revokeToken = (tokenId: string): UserEvent[] => [
  { type: "TokenRevoked", version: 1, payload: { tokenId } },
];

export const setPassword = (hash: string): UserEvent[] => [{ type: "PasswordSet", version: 1, payload: { hash } }];

export const setSecret = (digest: string): UserEvent[] => [{ type: "SecretSet", version: 1, payload: { digest } }];

export const addKey = (key: KeyRecord): UserEvent[] => [{ type: "KeyAdded", version: 1, payload: key }];

export const removeKey = (keyId: string): UserEvent[] => [{ type: "KeyRemoved", version: 1, payload: { keyId } }];
