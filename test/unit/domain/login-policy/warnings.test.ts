// Given a policy, what its author may not want.
import { describe, expect, it } from "vitest";
import { multiFactors, secondFactors } from "../../../../src/domain/login-policy/factors.ts";
import type { LoginPolicySettings } from "../../../../src/domain/login-policy/settings.ts";
import { type LinkingPolicy, type WarningReason, warnings } from "../../../../src/domain/login-policy/warnings.ts";
import { policyOf, settingsOf } from "../../../fixtures/builders.ts";

interface Case {
  readonly title: string;
  readonly settings?: Partial<LoginPolicySettings>;
  readonly sets?: Partial<Omit<LinkingPolicy, "settings">>;
  readonly stopsInheriting?: boolean;
  /** Each as its reason and its path. */
  readonly warns: readonly (readonly [WarningReason, string])[];
}

const identityProviders = [{ id: "1" }];
const zero = { seconds: 0, nanos: 0 };
const passwordless = { allowUsernamePassword: false } as const;
const noFirst = ["NO_FIRST_FACTOR", "allowUsernamePassword"] as const;
const noSecond = ["SECOND_FACTOR_REQUIRED_BUT_NONE_ALLOWED", "secondFactors"] as const;
const noMulti = ["PASSKEYS_WITHOUT_MULTI_FACTOR", "multiFactors"] as const;
const off = ["PROVIDERS_LINKED_BUT_EXTERNAL_SIGN_IN_OFF", "allowExternalIdp"] as const;
const weak = ["WEAK_ONLY_SECOND_FACTOR", "secondFactors"] as const;
const lifetimes = [
  "passwordCheckLifetime",
  "externalLoginCheckLifetime",
  "mfaInitSkipLifetime",
  "secondFactorCheckLifetime",
  "multiFactorCheckLifetime",
] as const;

const cases: readonly Case[] = [
  { title: "the policy of a new instance", warns: [] },

  { title: "passkeys alone", settings: passwordless, warns: [] },
  {
    title: "neither password nor passkeys",
    settings: { ...passwordless, passwordlessType: "not_allowed" },
    warns: [noFirst],
  },
  {
    title: "no password, and passkeys without their multi-factor",
    settings: passwordless,
    sets: { multiFactors: [] },
    warns: [noFirst, noMulti],
  },
  {
    title: "identity providers alone",
    settings: { ...passwordless, passwordlessType: "not_allowed" },
    sets: { identityProviders },
    warns: [],
  },
  {
    title: "identity providers alone, with external sign-in off",
    settings: { ...passwordless, passwordlessType: "not_allowed", allowExternalIdp: false },
    sets: { identityProviders },
    warns: [noFirst, off],
  },

  { title: "forced, with none", settings: { forceMfa: true }, sets: { secondFactors: [] }, warns: [noSecond] },
  {
    title: "forced for local users, with none",
    settings: { forceMfaLocalOnly: true },
    sets: { secondFactors: [] },
    warns: [noSecond],
  },
  {
    title: "forced, with recovery codes alone",
    settings: { forceMfa: true },
    sets: { secondFactors: ["recovery_codes"] },
    warns: [noSecond],
  },
  { title: "forced, with one", settings: { forceMfa: true }, sets: { secondFactors: ["otp"] }, warns: [] },
  { title: "not forced, with none", sets: { secondFactors: [] }, warns: [] },
  {
    title: "forced, with none and passkeys alone",
    settings: { ...passwordless, forceMfa: true },
    sets: { secondFactors: [] },
    warns: [],
  },
  {
    title: "forced, with none and identity providers",
    settings: { ...passwordless, forceMfa: true },
    sets: { secondFactors: [], identityProviders },
    warns: [noSecond],
  },
  {
    title: "forced for local users, with none and identity providers",
    settings: { ...passwordless, forceMfa: true, forceMfaLocalOnly: true },
    sets: { secondFactors: [], identityProviders },
    warns: [],
  },

  { title: "passkeys without their multi-factor", sets: { multiFactors: [] }, warns: [noMulti] },
  {
    title: "neither passkeys nor multi-factor",
    settings: { passwordlessType: "not_allowed" },
    sets: { multiFactors: [] },
    warns: [],
  },

  {
    title: "identity providers with external sign-in off",
    settings: { allowExternalIdp: false },
    sets: { identityProviders },
    warns: [off],
  },
  { title: "external sign-in off", settings: { allowExternalIdp: false }, warns: [] },

  ...lifetimes.flatMap((path): Case[] => [
    { title: `${path} of zero`, settings: { [path]: zero }, warns: [["LIFETIME_ZERO", path]] },
    { title: `${path} of less than a second`, settings: { [path]: { seconds: 0, nanos: 1 } }, warns: [] },
    {
      title: `${path} a nanosecond below zero`,
      settings: { [path]: { seconds: 0, nanos: -1 } },
      warns: [["LIFETIME_NEGATIVE", path]],
    },
    {
      title: `${path} of minus a second`,
      settings: { [path]: { seconds: -1, nanos: 0 } },
      warns: [["LIFETIME_NEGATIVE", path]],
    },
  ]),

  { title: "SMS alone", sets: { secondFactors: ["otp_sms"] }, warns: [weak] },
  { title: "e-mail and SMS", sets: { secondFactors: ["otp_email", "otp_sms"] }, warns: [weak] },
  { title: "SMS beside recovery codes", sets: { secondFactors: ["otp_sms", "recovery_codes"] }, warns: [weak] },
  { title: "SMS beside a stronger one", sets: { secondFactors: ["otp_sms", "otp"] }, warns: [] },

  {
    title: "a redirect to http",
    settings: { defaultRedirectUri: "http://acme.example" },
    warns: [["REDIRECT_NOT_HTTPS", "defaultRedirectUri"]],
  },
  {
    title: "a redirect to an app",
    settings: { defaultRedirectUri: "com.acme:/" },
    warns: [["REDIRECT_NOT_HTTPS", "defaultRedirectUri"]],
  },
  { title: "a redirect to https", settings: { defaultRedirectUri: "HTTPS://acme.example" }, warns: [] },

  { title: "no longer inheriting", stopsInheriting: true, warns: [["STOPS_INHERITING", "origin"]] },
  {
    title: "several, in the order of the reasons",
    settings: {
      forceMfa: true,
      allowExternalIdp: false,
      passwordCheckLifetime: zero,
      multiFactorCheckLifetime: { seconds: -5, nanos: 0 },
      defaultRedirectUri: "http://acme.example",
    },
    sets: { secondFactors: [], multiFactors: [], identityProviders },
    stopsInheriting: true,
    warns: [
      noSecond,
      noMulti,
      off,
      ["LIFETIME_NEGATIVE", "multiFactorCheckLifetime"],
      ["LIFETIME_ZERO", "passwordCheckLifetime"],
      ["REDIRECT_NOT_HTTPS", "defaultRedirectUri"],
      ["STOPS_INHERITING", "origin"],
    ],
  },
];

const warningsOf = ({ settings, sets, stopsInheriting = false }: Omit<Case, "title" | "warns">) =>
  warnings({ ...policyOf({ settings: settingsOf(settings) }), identityProviders: [], ...sets }, { stopsInheriting });

describe("warnings", () => {
  it.each(cases)("$title", ({ warns, ...one }) => {
    expect(warningsOf(one).map(({ reason, path }) => [reason, path])).toEqual(warns);
  });

  it.each(lifetimes)("say in a sentence what a %s of zero means", (path) => {
    const [warning] = warningsOf({ settings: { [path]: zero } });
    expect(warning?.message).toMatch(/^The lifetime is zero, so .+\.$/);
  });

  it("never speak of a policy that allows everything", () => {
    expect(warningsOf({ sets: { secondFactors, multiFactors, identityProviders } })).toEqual([]);
  });
});
