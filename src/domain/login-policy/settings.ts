import type { MultiFactor, SecondFactor } from "./factors.ts";

/** A signed duration with the range and precision of google.protobuf.Duration. Both parts have the same sign. */
export interface Duration {
  readonly seconds: number;
  readonly nanos: number;
}

/** All scalar settings of a login policy. An update replaces all of them. */
export interface LoginPolicySettings {
  readonly allowUsernamePassword: boolean;
  readonly allowRegister: boolean;
  readonly allowExternalIdp: boolean;
  readonly allowDomainDiscovery: boolean;
  readonly disableLoginWithEmail: boolean;
  readonly disableLoginWithPhone: boolean;
  readonly forceMfa: boolean;
  readonly forceMfaLocalOnly: boolean;
  readonly hidePasswordReset: boolean;
  readonly ignoreUnknownUsernames: boolean;
  readonly passwordlessType: "not_allowed" | "allowed";
  /** Empty, or a URL with a scheme. `http` and `https` also need a host. */
  readonly defaultRedirectUri: string;
  readonly passwordCheckLifetime: Duration;
  readonly externalLoginCheckLifetime: Duration;
  readonly mfaInitSkipLifetime: Duration;
  readonly secondFactorCheckLifetime: Duration;
  readonly multiFactorCheckLifetime: Duration;
}

/** Settings and factors. Factors are in the order of their addition, each at most once. */
export interface LoginPolicy {
  readonly settings: LoginPolicySettings;
  readonly secondFactors: readonly SecondFactor[];
  readonly multiFactors: readonly MultiFactor[];
}

const hours = (count: number): Duration => ({ seconds: count * 3600, nanos: 0 });

/** The policy of a new instance, which equals that of a new ZITADEL instance. */
export const defaultLoginPolicy: LoginPolicy = {
  settings: {
    allowUsernamePassword: true,
    allowRegister: true,
    allowExternalIdp: true,
    allowDomainDiscovery: true,
    disableLoginWithEmail: false,
    disableLoginWithPhone: false,
    forceMfa: false,
    forceMfaLocalOnly: false,
    hidePasswordReset: false,
    ignoreUnknownUsernames: false,
    passwordlessType: "allowed",
    defaultRedirectUri: "",
    passwordCheckLifetime: hours(240),
    externalLoginCheckLifetime: hours(240),
    mfaInitSkipLifetime: hours(720),
    secondFactorCheckLifetime: hours(18),
    multiFactorCheckLifetime: hours(12),
  },
  secondFactors: ["otp", "u2f"],
  multiFactors: ["u2f_with_verification"],
};

/** The names of all settings, in the order in which people see them. */
export const settingNames = Object.keys(defaultLoginPolicy.settings) as readonly SettingName[];
export type SettingName = keyof LoginPolicySettings;
export type SettingValue = LoginPolicySettings[SettingName];

/** Whether two sets of settings are equal. A setting that only one of them has makes a difference. */
export function isSameSettings(a: LoginPolicySettings, b: LoginPolicySettings): boolean {
  return (Object.keys({ ...a, ...b }) as SettingName[]).every((name) => isSameSetting(a[name], b[name]));
}

/** Whether two values of one setting are equal. */
export function isSameSetting(a: SettingValue, b: SettingValue): boolean {
  if (typeof a === "object" && typeof b === "object") return a.seconds === b.seconds && a.nanos === b.nanos;
  return a === b;
}

/**
 * Whether a text may be the default redirect URI: empty, or a URL with a scheme, and with a host for `http` and `https`.
 * Follows Go's parser, which ZITADEL uses: `localhost:8080` is valid, with `localhost` as its scheme.
 */
export function isRedirectUri(text: string): boolean {
  if (text === "") return true;
  const parts = /^([a-z][a-z0-9+.-]*):([^?#]*)(?:\?[^#]*)?(?:#(.*))?$/is.exec(text);
  // A URL contains no control characters and no halves of surrogate pairs.
  if (parts === null || /\p{Cc}|\p{Cs}/u.test(text)) return false;
  const [, scheme = "", rest = "", fragment = ""] = parts;
  if (hasBadEscape(fragment) || (rest.startsWith("/") && hasBadEscape(rest))) return false;
  if (!/^https?$/i.test(scheme)) return true;
  const authority = /^\/\/([^/]*)/.exec(rest)?.[1] ?? "";
  return /^(?:[^\s<>"\\^`{|}@]*@)?(?:\[[0-9a-f:.]+\]|[^\s[\]:<>"\\^`{|}@]+)(?::[0-9]*)?$/i.test(authority);
}

const hasBadEscape = (text: string): boolean => /%(?![0-9a-f]{2})/i.test(text);
