import type { AggregateType, ClientRegistration, KeyRecord, RoleGrant, TokenRecord } from "./events.ts";
import type { LoginPolicy } from "./login-policy/settings.ts";

/** A policy with the times and the sequence of its `details`. Times are milliseconds since 1970 UTC. */
export interface KeptLoginPolicy extends LoginPolicy {
  readonly createdAt: number;
  readonly changedAt: number;
  readonly sequence: number;
}

export interface InstanceState {
  readonly instanceId: string;
  readonly defaultOrganizationId: string;
  readonly loginPolicy: KeptLoginPolicy;
}

export interface OrganizationState {
  readonly name: string;
  /** A removed organization keeps its history and its id, and refuses every change. */
  readonly removed: boolean;
  /** Absent while the organization inherits from the instance. */
  readonly loginPolicy?: KeptLoginPolicy;
}

export interface UserState {
  readonly name: string;
  /** The home organization. A call without an organization header is about it. */
  readonly organizationId: string;
  readonly removed: boolean;
  readonly roles: readonly RoleGrant[];
  readonly tokens: readonly (TokenRecord & { readonly createdAt: number })[];
  // Optional, because older stored states do not have them.
  readonly keys?: readonly (KeyRecord & { readonly createdAt: number })[];
  readonly password?: { readonly hash: string; readonly setAt: number };
  /** The secret for client credentials. */
  readonly secret?: { readonly digest: string; readonly setAt: number };
}

export interface ClientState extends ClientRegistration {
  readonly removed: boolean;
}

/** The current state of each kind of aggregate, folded from its events. */
export interface StatesOf {
  readonly instance: InstanceState;
  readonly organization: OrganizationState;
  readonly user: UserState;
  readonly client: ClientState;
}
export type State = StatesOf[AggregateType];

export type UniqueKeyKind = "organization_name" | "user_name" | "token_id" | "token_digest" | "key_id" | "client_name";
/** A value by which one aggregate is found, such as the name of a user. No two aggregates hold the same value of one kind. */
export interface UniqueKey {
  readonly kind: UniqueKeyKind;
  readonly value: string;
}
