// Given the events of both streams, who set each value that applies.
import { describe, expect, it } from "vitest";
import type { EventsOf } from "../../../../src/domain/events.ts";
import { explain } from "../../../../src/domain/login-policy/explain.ts";
import { multiFactors, secondFactors } from "../../../../src/domain/login-policy/factors.ts";
import type { PolicyOwner } from "../../../../src/domain/login-policy/revisions.ts";
import { settingNames } from "../../../../src/domain/login-policy/settings.ts";
import { event, policyOf, recordedAtOf, settingsOf } from "../../../fixtures/builders.ts";
import { append, streamOf, timelineOf } from "../../../fixtures/streams.ts";

/** An append: its position and its events. The instance is created at 1, and the organization added at 2. */
type Append = readonly [number, ...EventsOf[PolicyOwner][]];

interface Case {
  readonly title: string;
  readonly instancePolicy?: Parameters<typeof policyOf>[0];
  readonly instance?: readonly Append[];
  readonly organization?: readonly Append[];
  /** Level and revision by which each of these was set, beside what all others have. */
  readonly setBy: Readonly<Record<string, readonly [string, number]>>;
  readonly others: readonly [string, number];
}

const builtIn = ["built_in", 1] as const;
const forceMfa = event.policyChanged({ forceMfa: true });

const cases: readonly Case[] = [
  { title: "a new instance", setBy: {}, others: builtIn },
  {
    title: "an instance that was created with values of its own",
    instancePolicy: { settings: settingsOf({ forceMfa: true }), secondFactors: ["otp_sms", "otp"], multiFactors: [] },
    setBy: {
      forceMfa: ["instance", 1],
      otp_sms: ["instance", 1],
      u2f: ["instance", 1],
      u2f_with_verification: ["instance", 1],
    },
    others: builtIn,
  },
  {
    title: "the newest revision in which a value differs, also back to the built-in one",
    instance: [
      [3, forceMfa],
      [4, event.policyChanged({ forceMfa: true, allowRegister: false }), event.secondFactorRemoved("otp")],
      [6, event.policyChanged({ allowRegister: false })],
      [7, event.secondFactorAdded("otp_email")],
    ],
    setBy: {
      forceMfa: ["instance", 5],
      allowRegister: ["instance", 4],
      otp: ["instance", 4],
      otp_email: ["instance", 6],
    },
    others: builtIn,
  },
  {
    title: "an append that leaves a factor as it was does not set it",
    instance: [
      [3, event.secondFactorRemoved("otp"), event.secondFactorAdded("otp"), event.secondFactorAdded("otp_sms")],
    ],
    setBy: { otp_sms: ["instance", 4] },
    others: builtIn,
  },
  {
    title: "an organization that inherits",
    instance: [[3, forceMfa]],
    organization: [],
    setBy: { forceMfa: ["instance", 2] },
    others: builtIn,
  },
  {
    title: "a copy keeps who set a value on the instance, and not who changed it there since",
    instance: [
      [3, forceMfa],
      [8, event.policyChanged({}), event.secondFactorRemoved("u2f")],
    ],
    organization: [[5, event.policyCopied(policyOf({ settings: settingsOf({ forceMfa: true }) }), 2)]],
    setBy: { forceMfa: ["instance", 2] },
    others: builtIn,
  },
  {
    title: "what the append of a copy changes is the organization's",
    instance: [[3, forceMfa]],
    organization: [
      [
        5,
        event.policyCopied(policyOf({ settings: settingsOf({ forceMfa: true }) }), 2),
        event.policyChanged({ hidePasswordReset: true }),
        event.secondFactorRemoved("otp"),
      ],
    ],
    setBy: {
      forceMfa: ["organization", 4],
      hidePasswordReset: ["organization", 4],
      otp: ["organization", 4],
    },
    others: builtIn,
  },
  {
    title: "what changes after a copy is the organization's, and stays so when it changes back",
    organization: [
      [5, event.policyCopied(policyOf(), 1)],
      [6, forceMfa],
      [7, event.policyChanged({ allowRegister: false })],
      [8, event.secondFactorAdded("otp_sms")],
    ],
    setBy: {
      forceMfa: ["organization", 4],
      allowRegister: ["organization", 4],
      otp_sms: ["organization", 5],
    },
    others: builtIn,
  },
  {
    title: "a policy that is created with given values sets all of them",
    organization: [
      [5, event.policyAdded()],
      [6, forceMfa],
    ],
    setBy: { forceMfa: ["organization", 3] },
    others: ["organization", 2],
  },
  {
    title: "after a reset, the instance's count again",
    instance: [[7, forceMfa]],
    organization: [
      [5, event.policyAdded(policyOf({ secondFactors: [] }))],
      [6, event.policyRemoved()],
    ],
    setBy: { forceMfa: ["instance", 2] },
    others: builtIn,
  },
  {
    title: "a policy after a reset knows nothing of the one before",
    organization: [
      [5, event.policyAdded()],
      [6, forceMfa],
      [7, event.policyRemoved()],
      [8, event.policyCopied(policyOf(), 1), event.secondFactorRemoved("u2f")],
    ],
    setBy: { u2f: ["organization", 6] },
    others: builtIn,
  },
];

function explained({ instancePolicy, instance = [], organization }: Omit<Case, "title" | "setBy" | "others">) {
  const timeline = (type: PolicyOwner, first: Append, appends: readonly Append[]) =>
    timelineOf(type, streamOf(...[first, ...appends].map(([position, ...events]) => append(position, events))));
  const { settings, secondFactors, multiFactors } = explain({
    instance: timeline("instance", [1, event.instanceCreated(policyOf(instancePolicy))], instance),
    organization: organization && timeline("organization", [2, event.organizationAdded()], organization),
  });
  return { settings, factors: [...secondFactors, ...multiFactors] };
}

describe("explain", () => {
  it.each(cases)("names who set each value: $title", ({ setBy, others, ...given }) => {
    const { settings, factors } = explained(given);
    const found = [
      ...settings.map(({ path, level, setBy }) => [path, [level, setBy.revision]] as const),
      ...factors.map(({ factor, level, setBy }) => [factor, [level, setBy.revision]] as const),
    ];
    expect(Object.fromEntries(found.filter(([, by]) => String(by) !== String(others)))).toEqual(setBy);
  });

  it("says all settings and all factors, in their order", () => {
    const { settings, factors } = explained({});
    expect(settings.map(({ path }) => path)).toEqual(settingNames);
    expect(factors.map(({ factor }) => factor)).toEqual([...secondFactors, ...multiFactors]);
  });

  it("says the values that apply, when they were set, and those after a reset", () => {
    const { settings, factors } = explained({
      instance: [[4, event.policyChanged({ allowRegister: false }), event.secondFactorAdded("otp_sms")]],
      organization: [
        [3, event.policyAdded(policyOf({ multiFactors: [] }))],
        [7, forceMfa],
      ],
    });
    expect(settings.find(({ path }) => path === "forceMfa")).toMatchObject({
      value: true,
      setBy: { actor: "ada", recordedAt: recordedAtOf(7) },
      valueAfterReset: false,
    });
    expect(settings.find(({ path }) => path === "allowRegister")).toMatchObject({
      value: true,
      valueAfterReset: false,
    });
    const allowed = factors.map((one) => [one.factor, one.allowed, one.allowedAfterReset]);
    expect(allowed).toEqual([
      ["otp", true, true],
      ["u2f", true, true],
      ["otp_email", false, false],
      ["otp_sms", false, true],
      ["recovery_codes", false, false],
      ["u2f_with_verification", false, true],
    ]);
  });

  it("says for the instance nothing of a reset, which it does not have", () => {
    const { settings, factors } = explained({});
    expect([...settings, ...factors].filter((one) => "valueAfterReset" in one || "allowedAfterReset" in one)).toEqual(
      [],
    );
  });
});
