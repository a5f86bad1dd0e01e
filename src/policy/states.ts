import type { AggregateType, RoleGrant, TokenRecord } from "./events.ts";
import type { LoginPolicy } from "./login-policy.ts";

/** A policy with what its `details` tell: when it was first added, and the last event that touched it. */
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
  /** A removed organization keeps its history and its id, and nothing may be done with it. */
  readonly removed: boolean;
  /** Absent while the organization inherits from the instance. */
  readonly loginPolicy?: KeptLoginPolicy;
}

export interface UserState {
  readonly name: string;
  /** The home organization: the one a call is about when it names none. */
  readonly organizationId: string;
  readonly removed: boolean;
  readonly roles: readonly RoleGrant[];
  readonly tokens: readonly (TokenRecord & { readonly createdAt: number })[];
}

/** The current state of each kind of aggregate, as folded from its events. */
export interface StatesOf {
  readonly instance: InstanceState;
  readonly organization: OrganizationState;
  readonly user: UserState;
}
export type State = StatesOf[AggregateType];

/** The values that point to one aggregate each; no two aggregates may hold the same value of one kind. */
export type KeyKind = "organization_name" | "user_name" | "token_id" | "token_digest";
export interface Key {
  readonly kind: KeyKind;
  readonly value: string;
}
