import type { SecondFactor } from "./factors.ts";
import type { LoginPolicy, SettingName } from "./settings.ts";

// What `evaluate` decides on, and what it answers. Instants are milliseconds since 1970 UTC, perhaps with a fraction, and times are milliseconds.

/** A policy with the identity providers that it links. */
export interface SignInPolicy extends LoginPolicy {
  readonly identityProviders: readonly { readonly id: string; readonly trustSecondFactor: boolean }[];
}

/** What is known of a person. */
export interface Person {
  readonly hasPassword: boolean;
  readonly passkeyCount: number;
  /** Set up, allowed or not. */
  readonly secondFactors: readonly SecondFactor[];
  readonly linkedProviderIds: readonly string[];
  /** When the person last skipped the set-up of a second factor; absent: never. */
  readonly setupSkippedAt?: number;
}

/** Something that the person has proved. */
export type Check = { readonly at: number } & (
  | { readonly kind: "password" }
  /** It verified the person. */
  | { readonly kind: "passkey" }
  /** `amr`: what the provider says it has checked (RFC 8176). */
  | { readonly kind: "provider"; readonly id: string; readonly amr: readonly string[] }
  | { readonly kind: "second_factor"; readonly type: SecondFactor }
);

export interface SignIn {
  /** Absent: nobody is known by that name. */
  readonly person?: Person;
  readonly checks: readonly Check[];
  readonly startedAt: number;
  /** How old an earlier check may be. */
  readonly maxAge?: number;
  readonly now: number;
}

export type Step =
  | { readonly kind: "check_password" | "check_passkey" }
  | { readonly kind: "sign_in_with_provider"; readonly providerIds: readonly string[] }
  | { readonly kind: "check_second_factor"; readonly types: readonly SecondFactor[] }
  | { readonly kind: "set_up_second_factor"; readonly types: readonly SecondFactor[]; readonly skippable: boolean };

export interface Reason {
  readonly path: SettingName | "secondFactors" | "multiFactors" | "identityProviders";
  readonly message: string;
}

export interface Evaluation {
  readonly decision: "allowed" | "step_required" | "impossible";
  /** What the person can do next: any one of these. Empty unless a step is required. */
  readonly steps: readonly Step[];
  readonly reasons: readonly Reason[];
  /**
   * Of an allowed sign-in: the earliest instant at which a check that it rests on gets too old for a later sign-in. Absent where none of
   * them does: a lifetime of zero or less is none.
   */
  readonly expiresAt?: number;
}
