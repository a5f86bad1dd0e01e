import type { Role } from "./directory/roles.ts";
import type { MultiFactor, SecondFactor } from "./login-policy/factors.ts";
import type { LoginPolicy, LoginPolicySettings } from "./login-policy/settings.ts";

// The history. Payloads in stores are never rewritten, so a changed payload gets a new `version`, and upcast.ts converts the
// older ones. A new field also needs a new version: an older program must not ignore it.

/** A change to an existing login policy, of the instance or of an organization. */
export type LoginPolicyEvent =
  /** The payload contains all settings and replaces the earlier ones. */
  | { readonly type: "LoginPolicyChanged"; readonly version: 1; readonly payload: LoginPolicySettings }
  | { readonly type: "SecondFactorAdded"; readonly version: 1; readonly payload: { readonly factor: SecondFactor } }
  | { readonly type: "SecondFactorRemoved"; readonly version: 1; readonly payload: { readonly factor: SecondFactor } }
  | { readonly type: "MultiFactorAdded"; readonly version: 1; readonly payload: { readonly factor: MultiFactor } }
  | { readonly type: "MultiFactorRemoved"; readonly version: 1; readonly payload: { readonly factor: MultiFactor } };

export type InstanceEvent =
  | LoginPolicyEvent
  /** The first event of a store. The instance always has a login policy. */
  | {
      readonly type: "InstanceCreated";
      readonly version: 1;
      readonly payload: {
        readonly instanceId: string;
        readonly defaultOrganizationId: string;
        readonly loginPolicy: LoginPolicy;
      };
    };

export type OrganizationEvent =
  | LoginPolicyEvent
  | { readonly type: "OrganizationAdded"; readonly version: 1; readonly payload: { readonly name: string } }
  | { readonly type: "OrganizationRemoved"; readonly version: 1; readonly payload: Nothing }
  /**
   * The organization has its own login policy. For a copy of the instance's (copy on write), `copiedFromSequence` is the
   * sequence of the instance; it is absent if the caller gave every value.
   */
  | {
      readonly type: "LoginPolicyAdded";
      readonly version: 1;
      readonly payload: LoginPolicy & { readonly copiedFromSequence?: number };
    }
  /** The organization inherits again. */
  | { readonly type: "LoginPolicyRemoved"; readonly version: 1; readonly payload: Nothing };

type Nothing = Readonly<Record<never, never>>;

/** A role on one organization, or on the whole instance if `organizationId` is absent. */
export interface RoleGrant {
  readonly role: Role;
  readonly organizationId?: string;
}

/** A stored personal access token. `digest` is the hex SHA-256 of the token, which itself is not stored. */
export interface TokenRecord {
  readonly tokenId: string;
  readonly digest: string;
  /** Milliseconds since 1970 UTC; absent: never. */
  readonly expiresAt?: number;
}

/** The public half of a key that a user signs assertions with (RFC 7523). The private half is not stored. */
export interface KeyRecord {
  readonly keyId: string;
  /** RSA, PEM (SPKI). */
  readonly publicKey: string;
  /** Milliseconds since 1970 UTC; absent: never. */
  readonly expiresAt?: number;
}

/** An application that signs people in. */
export interface ClientRegistration {
  readonly name: string;
  /** At least one. Compared exactly, except for the port of a loopback address. */
  readonly redirectUris: readonly string[];
  /** Hex SHA-256 of the secret; absent: a public client. */
  readonly secretDigest?: string;
}

export type ClientEvent =
  | { readonly type: "ClientAdded"; readonly version: 1; readonly payload: ClientRegistration }
  | { readonly type: "ClientRemoved"; readonly version: 1; readonly payload: Nothing };

export type UserEvent =
  | {
      readonly type: "UserAdded";
      readonly version: 1;
      readonly payload: { readonly name: string; readonly organizationId: string };
    }
  | { readonly type: "UserRemoved"; readonly version: 1; readonly payload: Nothing }
  | { readonly type: "RoleGranted"; readonly version: 1; readonly payload: RoleGrant }
  | { readonly type: "RoleRevoked"; readonly version: 1; readonly payload: RoleGrant }
  | { readonly type: "TokenCreated"; readonly version: 1; readonly payload: TokenRecord }
  | { readonly type: "TokenRevoked"; readonly version: 1; readonly payload: { readonly tokenId: string } }
  /** Replaces the earlier one. The hash is memory-hard and salted. */
  | { readonly type: "PasswordSet"; readonly version: 1; readonly payload: { readonly hash: string } }
  /** Replaces the earlier one. `digest` is the hex SHA-256 of a random secret. */
  | { readonly type: "SecretSet"; readonly version: 1; readonly payload: { readonly digest: string } }
  | { readonly type: "KeyAdded"; readonly version: 1; readonly payload: KeyRecord }
  | { readonly type: "KeyRemoved"; readonly version: 1; readonly payload: { readonly keyId: string } };

/** The kinds of aggregate. Each aggregate has its own stream of events, with sequences from 1 without gaps. */
export interface EventsOf {
  readonly instance: InstanceEvent;
  readonly organization: OrganizationEvent;
  readonly user: UserEvent;
  readonly client: ClientEvent;
}
export type AggregateType = keyof EventsOf;

/** Why an append was made, where its events do not tell. */
export type Cause = {
  readonly type: "RolledBack";
  /** The sequence of the revision, in the stream of the same aggregate. */
  readonly revision: number;
};

/** Where and when an event was recorded. */
export interface EventOrigin {
  /** Position in the stream of its aggregate, from 1. */
  readonly sequence: number;
  /** Milliseconds since 1970 UTC. Never decreases along the store. */
  readonly recordedAt: number;
}
