// Given two policies, what differs, and the events that turn the one into the other.
import { describe, expect, it } from "vitest";
import type { LoginPolicyEvent } from "../../../../src/domain/events.ts";
import { changes, type PolicyChange } from "../../../../src/domain/login-policy/changes.ts";
import { difference } from "../../../../src/domain/login-policy/difference.ts";
import { secondFactors } from "../../../../src/domain/login-policy/factors.ts";
import { type LoginPolicy, type SettingName, settingNames } from "../../../../src/domain/login-policy/settings.ts";
import { event, organizationAfter, policyOf, settingsOf } from "../../../fixtures/builders.ts";

interface Case {
  readonly title: string;
  readonly before?: Partial<LoginPolicy>;
  readonly after: Partial<LoginPolicy>;
  readonly changes: readonly PolicyChange[];
  readonly events: readonly LoginPolicyEvent[];
}

const cases: readonly Case[] = [
  { title: "equal policies", after: structuredClone(policyOf()), changes: [], events: [] },
  {
    title: "another order in a set",
    before: { secondFactors: ["otp", "u2f"] },
    after: { secondFactors: ["u2f", "otp"] },
    changes: [],
    events: [],
  },
  {
    title: "settings, in their order",
    after: { settings: settingsOf({ defaultRedirectUri: "https://acme.example", allowRegister: false }) },
    changes: [
      { path: "allowRegister", before: true, after: false },
      { path: "defaultRedirectUri", before: "", after: "https://acme.example" },
    ],
    events: [event.policyChanged({ defaultRedirectUri: "https://acme.example", allowRegister: false })],
  },
  {
    title: "a lifetime by its nanoseconds",
    after: { settings: settingsOf({ mfaInitSkipLifetime: { seconds: 2_592_000, nanos: 1 } }) },
    changes: [
      {
        path: "mfaInitSkipLifetime",
        before: { seconds: 2_592_000, nanos: 0 },
        after: { seconds: 2_592_000, nanos: 1 },
      },
    ],
    events: [event.policyChanged({ mfaInitSkipLifetime: { seconds: 2_592_000, nanos: 1 } })],
  },
  {
    title: "factors: what goes before what comes",
    before: { secondFactors: ["otp", "u2f", "otp_sms"], multiFactors: [] },
    after: { secondFactors: ["recovery_codes", "u2f", "otp_email"], multiFactors: ["u2f_with_verification"] },
    changes: [
      { path: "secondFactors", added: ["recovery_codes", "otp_email"], removed: ["otp", "otp_sms"] },
      { path: "multiFactors", added: ["u2f_with_verification"], removed: [] },
    ],
    events: [
      event.secondFactorRemoved("otp"),
      event.secondFactorRemoved("otp_sms"),
      event.secondFactorAdded("recovery_codes"),
      event.secondFactorAdded("otp_email"),
      event.multiFactorAdded("u2f_with_verification"),
    ],
  },
  {
    title: "everything at once",
    after: { settings: settingsOf({ forceMfa: true }), secondFactors: ["u2f", "otp_sms"], multiFactors: [] },
    changes: [
      { path: "forceMfa", before: false, after: true },
      { path: "secondFactors", added: ["otp_sms"], removed: ["otp"] },
      { path: "multiFactors", added: [], removed: ["u2f_with_verification"] },
    ],
    events: [
      event.policyChanged({ forceMfa: true }),
      event.secondFactorRemoved("otp"),
      event.multiFactorRemoved("u2f_with_verification"),
      event.secondFactorAdded("otp_sms"),
    ],
  },
  {
    title: "a repeated factor, which comes once",
    after: { secondFactors: ["otp", "u2f", "otp_sms", "otp_sms"] },
    changes: [{ path: "secondFactors", added: ["otp_sms"], removed: [] }],
    events: [event.secondFactorAdded("otp_sms")],
  },
];

describe.each(cases)("$title", (one) => {
  const [before, after] = [policyOf(one.before), policyOf(one.after)];

  it("are these changes", () => {
    expect(changes(before, after)).toEqual(one.changes);
  });

  it("are these events, after which nothing differs", () => {
    const events = difference(before, after);
    expect(events).toEqual(one.events);
    const { loginPolicy } = organizationAfter(event.policyAdded(before), ...events);
    expect(changes(loginPolicy as LoginPolicy, after)).toEqual([]);
  });
});

describe("changes", () => {
  it.each(settingNames)("sees %s, and says both values", (path) => {
    const before = policyOf();
    const value = otherThan(before.settings[path]);
    const after = policyOf({ settings: settingsOf({ [path]: value }) });
    expect(changes(before, after)).toEqual([{ path, before: before.settings[path], after: value }]);
  });

  it.each(secondFactors)("sees %s come and go", (factor) => {
    const [without, having] = [policyOf({ secondFactors: [] }), policyOf({ secondFactors: [factor] })];
    expect(changes(without, having)).toEqual([{ path: "secondFactors", added: [factor], removed: [] }]);
    expect(changes(having, without)).toEqual([{ path: "secondFactors", added: [], removed: [factor] }]);
  });
});

function otherThan(value: LoginPolicy["settings"][SettingName]): unknown {
  if (typeof value === "boolean") return !value;
  return typeof value === "string" ? `not ${value}` : { ...value, seconds: value.seconds + 1 };
}
