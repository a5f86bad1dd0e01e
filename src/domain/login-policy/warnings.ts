import type { LoginPolicy, LoginPolicySettings, SettingName } from "./settings.ts";

/** Something in a policy that its author may not want. No change is refused for it. */
export interface PolicyWarning {
  readonly reason: WarningReason;
  /** What to change to be rid of it. */
  readonly path: SettingName | "secondFactors" | "multiFactors" | "origin";
  readonly message: string;
}

/** Programs compare these, so they never change. */
export type WarningReason =
  | "NO_FIRST_FACTOR"
  | "SECOND_FACTOR_REQUIRED_BUT_NONE_ALLOWED"
  | "PASSKEYS_WITHOUT_MULTI_FACTOR"
  | "PROVIDERS_LINKED_BUT_EXTERNAL_SIGN_IN_OFF"
  | "LIFETIME_NEGATIVE"
  | "LIFETIME_ZERO"
  | "WEAK_ONLY_SECOND_FACTOR"
  | "REDIRECT_NOT_HTTPS"
  | "STOPS_INHERITING";

/** A policy with the identity providers that it links. */
export interface LinkingPolicy extends LoginPolicy {
  readonly identityProviders: readonly unknown[];
}

const lifetimes = [
  ["passwordCheckLifetime", "password"],
  ["externalLoginCheckLifetime", "sign-in at an identity provider"],
  ["mfaInitSkipLifetime", undefined],
  ["secondFactorCheckLifetime", "second factor"],
  ["multiFactorCheckLifetime", "passkey"],
] as const satisfies readonly (readonly [keyof LoginPolicySettings, string | undefined])[];

/** All that a policy's author may not want, in the order of the reasons. `stopsInheriting`: the policy is about to become the organization's own. */
export function warnings(
  policy: LinkingPolicy,
  { stopsInheriting }: { readonly stopsInheriting: boolean },
): PolicyWarning[] {
  const { settings, secondFactors, multiFactors, identityProviders } = policy;
  const found: PolicyWarning[] = [];
  const warn = (reason: WarningReason, path: PolicyWarning["path"], message: string) =>
    void found.push({ reason, path, message });

  const hasMultiFactor = multiFactors.includes("u2f_with_verification");
  const allowsPasskeys = settings.passwordlessType === "allowed";
  const allowsProviders = settings.allowExternalIdp && identityProviders.length > 0;
  if (!settings.allowUsernamePassword && !(allowsPasskeys && hasMultiFactor) && !allowsProviders) {
    warn(
      "NO_FIRST_FACTOR",
      "allowUsernamePassword",
      "Nobody can sign in: no password, passkey or identity provider is allowed.",
    );
  }

  // Recovery codes help only beside another factor.
  const usable = secondFactors.filter((factor) => factor !== "recovery_codes");
  const { forceMfa, forceMfaLocalOnly } = settings;
  // A passkey is both factors in one, so nobody who signs in with it needs another.
  const isRequired =
    (settings.allowUsernamePassword && (forceMfa || forceMfaLocalOnly)) ||
    (allowsProviders && forceMfa && !forceMfaLocalOnly);
  if (isRequired && usable.length === 0) {
    warn(
      "SECOND_FACTOR_REQUIRED_BUT_NONE_ALLOWED",
      "secondFactors",
      "A second factor is required, but the policy allows none.",
    );
  }
  if (allowsPasskeys && !hasMultiFactor) {
    warn(
      "PASSKEYS_WITHOUT_MULTI_FACTOR",
      "multiFactors",
      "Passkeys are allowed, but no multi-factor is, so nobody can use one.",
    );
  }
  if (identityProviders.length > 0 && !settings.allowExternalIdp) {
    warn(
      "PROVIDERS_LINKED_BUT_EXTERNAL_SIGN_IN_OFF",
      "allowExternalIdp",
      "Identity providers are linked, but nobody may sign in through them.",
    );
  }
  for (const [reason, isIt, is] of [
    ["LIFETIME_NEGATIVE", (total: number) => total < 0, "is negative"],
    ["LIFETIME_ZERO", (total: number) => total === 0, "is zero"],
  ] as const) {
    for (const [path, check] of lifetimes) {
      const { seconds, nanos } = settings[path];
      if (!isIt(seconds + nanos)) continue;
      warn(
        reason,
        path,
        check === undefined
          ? `The lifetime ${is}, so nobody is asked to set up a second factor that is not required.`
          : `The lifetime ${is}, so a checked ${check} counts only for the sign-in that checked it.`,
      );
    }
  }
  if (usable.length > 0 && usable.every((factor) => factor === "otp_sms" || factor === "otp_email")) {
    warn(
      "WEAK_ONLY_SECOND_FACTOR",
      "secondFactors",
      "The only second factors are codes by SMS or e-mail, which are the easiest to steal.",
    );
  }
  if (settings.defaultRedirectUri !== "" && !/^https:/i.test(settings.defaultRedirectUri)) {
    warn("REDIRECT_NOT_HTTPS", "defaultRedirectUri", "The redirect URI is no https URL.");
  }
  if (stopsInheriting) {
    warn(
      "STOPS_INHERITING",
      "origin",
      "The organization stops inheriting, so changes to the instance's policy no longer reach it.",
    );
  }
  return found;
}
