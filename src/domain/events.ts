import type { Role } from "./directory/roles.ts";
import type { MultiFactor, SecondFactor } from "./login-policy/factors.ts";
import type { LoginPolicy, LoginPolicySettings } from "./login-policy/settings.ts";

// The history. A payload that was written stays readable for good: a new form gets a new `version`, never a new meaning, and
// upcast.ts brings the older ones to it. So does a new field: a program that does not know it must not pass over it.

/** What happens to a login policy that is there, of the instance or of an organization. */
export type LoginPolicyEvent =
  /** All settings were replaced; the payload holds every one of them. */
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
   * The organization has a login policy of its own from now on. `copiedFromSequence` is the instance's sequence where the
   * policy was copied from it by a first change (copy on write), and absent where the caller gave every value.
   */
  | {
      readonly type: "LoginPolicyAdded";
      readonly version: 1;
      readonly payload: LoginPolicy & { readonly copiedFromSequence?: number };
    }
  /** The organization inherits from the instance again. */
  | { readonly type: "LoginPolicyRemoved"; readonly version: 1; readonly payload: Nothing };

type Nothing = Readonly<Record<never, never>>;

/** A role on one organization, or on the instance where `organizationId` is absent. */
export interface RoleGrant {
  readonly role: Role;
  readonly organizationId?: string;
}

/** What is kept of a personal access token. `digest` is the hex SHA-256 of the token, which itself is never kept. */
export interface TokenRecord {
  readonly tokenId: string;
  readonly digest: string;
  /** Milliseconds since 1970 UTC; absent: it does not expire. */
  readonly expiresAt?: number;
}

/** What is kept of a key that a user signs assertions with (RFC 7523); the private half is never kept. */
export interface KeyRecord {
  readonly keyId: string;
  /** RSA, in PEM (SPKI). */
  readonly publicKey: string;
  /** Milliseconds since 1970 UTC; absent: it does not expire. */
  readonly expiresAt?: number;
}

/** An application that signs people in, as registered. */
export interface ClientRegistration {
  readonly name: string;
  /** At least one; compared exactly, but for the port of a loopback address. */
  readonly redirectUris: readonly string[];
  /** Hex SHA-256 of the secret; absent: a public client, which has none. */
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
  /** In place of the one before, if any. The hash is memory-hard and salted. */
  | { readonly type: "PasswordSet"; readonly version: 1; readonly payload: { readonly hash: string } }
  /** In place of the one before, if any. `digest` is the hex SHA-256 of a random secret. */
  | { readonly type: "SecretSet"; readonly version: 1; readonly payload: { readonly digest: string } }
  | { readonly type: "KeyAdded"; readonly version: 1; readonly payload: KeyRecord }
  | { readonly type: "KeyRemoved"; readonly version: 1; readonly payload: { readonly keyId: string } };

/** The kinds of aggregate: each has its own stream of events and its own sequence, contiguous from 1. */
export interface EventsOf {
  readonly instance: InstanceEvent;
  readonly organization: OrganizationEvent;
  readonly user: UserEvent;
  readonly client: ClientEvent;
}
export type AggregateType = keyof EventsOf;

/** Where and when an event was recorded. */
export interface EventOrigin {
  /** Place in its aggregate's stream, from 1. */
  readonly sequence: number;
  /** Milliseconds since 1970 UTC; never less than that of the event before it in the store. */
  readonly recordedAt: number;
}
