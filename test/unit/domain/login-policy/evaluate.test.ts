import { describe, expect, it } from "vitest";
import { evaluate } from "../../../../src/domain/login-policy/evaluate.ts";
import { secondFactors as allFactors, type SecondFactor } from "../../../../src/domain/login-policy/factors.ts";
import {
  type Duration,
  defaultLoginPolicy,
  type LoginPolicySettings,
} from "../../../../src/domain/login-policy/settings.ts";
import type { Check, Evaluation, Person, SignIn, SignInPolicy } from "../../../../src/domain/login-policy/sign-in.ts";
import { createRandom } from "../../../process/random.ts";
import { model } from "./sign-in-model.ts";

const minute = 60_000;
const hour = 60 * minute;
/** The evaluation, ten minutes after the sign-in began. */
const now = Date.UTC(2026, 10, 30, 12);
const startedAt = now - 10 * minute;
const inMs = (ms: number): Duration => ({ seconds: ms / 1000, nanos: 0 });
const zero = inMs(0);

interface Given {
  readonly settings?: Partial<LoginPolicySettings>;
  readonly secondFactors?: readonly SecondFactor[];
  readonly passkeys?: boolean;
  readonly providers?: SignInPolicy["identityProviders"];
  /** `null`: nobody is known by that name. */
  readonly person?: Partial<Person> | null;
  readonly checks?: readonly Check[];
  readonly maxAge?: number;
}

/** Lifetimes of an hour, and no set-up is asked for, unless a test says otherwise. */
function policyOf({ settings, secondFactors = ["otp", "u2f"], passkeys = true, providers = [] }: Given): SignInPolicy {
  const lifetime = inMs(hour);
  return {
    settings: {
      ...defaultLoginPolicy.settings,
      passwordCheckLifetime: lifetime,
      externalLoginCheckLifetime: lifetime,
      secondFactorCheckLifetime: lifetime,
      multiFactorCheckLifetime: lifetime,
      mfaInitSkipLifetime: zero,
      ...settings,
    },
    secondFactors,
    multiFactors: passkeys ? ["u2f_with_verification"] : [],
    identityProviders: providers,
  };
}
const nobody: Person = { hasPassword: false, passkeyCount: 0, secondFactors: [], linkedProviderIds: [] };
const signInOf = ({ person = { hasPassword: true }, checks = [], maxAge }: Given): SignIn => ({
  ...(person && { person: { ...nobody, ...person } }),
  checks,
  startedAt,
  ...(maxAge !== undefined && { maxAge }),
  now,
});
const ask = (given: Given) => evaluate(policyOf(given), signInOf(given));

/** An evaluation as the model writes it. */
function wordsOf({ decision, steps }: Evaluation): string {
  if (decision !== "step_required") return decision;
  return steps
    .map((step) => {
      switch (step.kind) {
        case "check_password":
          return "password";
        case "check_passkey":
          return "passkey";
        case "sign_in_with_provider":
          return `providers ${step.providerIds.join(" ")}`;
        case "check_second_factor":
          return `factors ${step.types.join(" ")}`;
        case "set_up_second_factor":
          return `${step.skippable ? "may " : ""}set up ${step.types.join(" ")}`;
      }
      throw new Error("a step of no kind");
    })
    .join(", ");
}

const just = now - minute;
const earlier = startedAt - minute;
const password = (at = just): Check => ({ kind: "password", at });
const passkey = (at = just): Check => ({ kind: "passkey", at });
const provider = (id: string, amr: readonly string[] = [], at = just): Check => ({ kind: "provider", id, amr, at });
const factor = (type: SecondFactor, at = just): Check => ({ kind: "second_factor", type, at });
const linked = [
  { id: "a", trustSecondFactor: false },
  { id: "b", trustSecondFactor: true },
];
const forced = { forceMfa: true };
const local = { forceMfaLocalOnly: true };
const withPassword = { hasPassword: true };
const withOtp = { hasPassword: true, secondFactors: ["otp"] as const };
const withLink = { linkedProviderIds: ["a", "b"] };

const rows: readonly (readonly [rule: string, given: Given, wanted: string])[] = [
  // 1
  [
    "a check of this sign-in counts at a lifetime of zero",
    { checks: [password()], settings: { passwordCheckLifetime: zero } },
    "allowed",
  ],
  ["a check of this sign-in counts whatever the maximum age", { checks: [password()], maxAge: 1 }, "allowed"],
  [
    "a check at the start of this sign-in counts",
    { checks: [password(startedAt)], settings: { passwordCheckLifetime: zero } },
    "allowed",
  ],
  ["an earlier check counts within its lifetime", { checks: [password(now - hour + 1)] }, "allowed"],
  ["an earlier check does not count at the end of its lifetime", { checks: [password(now - hour)] }, "password"],
  [
    "an earlier check never counts at a lifetime of zero",
    { checks: [password(earlier)], settings: { passwordCheckLifetime: zero } },
    "password",
  ],
  [
    "an earlier check never counts at a negative lifetime",
    { checks: [password(earlier)], settings: { passwordCheckLifetime: inMs(-hour) } },
    "password",
  ],
  ["an earlier check counts at the maximum age", { checks: [password(earlier)], maxAge: now - earlier }, "allowed"],
  [
    "an earlier check does not count above the maximum age",
    { checks: [password(earlier)], maxAge: now - earlier - 1 },
    "password",
  ],
  [
    "an earlier passkey has the lifetime of multi-factors",
    { checks: [passkey(earlier)], settings: { multiFactorCheckLifetime: zero } },
    "password",
  ],
  [
    "an earlier provider has the lifetime of external sign-ins",
    {
      checks: [provider("a", [], earlier)],
      person: withLink,
      providers: linked,
      settings: { externalLoginCheckLifetime: zero },
    },
    "providers a b",
  ],
  [
    "an earlier second factor has the lifetime of second factors",
    { checks: [password(), factor("otp", earlier)], person: withOtp, settings: { secondFactorCheckLifetime: zero } },
    "factors otp",
  ],
  // 2
  [
    "a person with everything is offered all, a passkey first",
    { person: { hasPassword: true, passkeyCount: 1 }, providers: linked },
    "passkey, password, providers a b",
  ],
  ["a person without anything is offered every provider", { person: {}, providers: linked }, "providers a b"],
  ["nobody known is asked for a password", { person: null }, "password"],
  ["nobody known gets the same as a person with a password", { person: null, checks: [password()] }, "allowed"],
  ["nobody can sign in where nothing is left", { person: {} }, "impossible"],
  ["a password is not offered where it is not allowed", { settings: { allowUsernamePassword: false } }, "impossible"],
  [
    "a password does not count where it is not allowed",
    { settings: { allowUsernamePassword: false }, checks: [password()] },
    "impossible",
  ],
  [
    "a passkey is not offered where passwordless is not allowed",
    { settings: { passwordlessType: "not_allowed" }, person: { hasPassword: true, passkeyCount: 1 } },
    "password",
  ],
  [
    "a passkey is not offered without the multi-factor",
    { passkeys: false, person: { hasPassword: true, passkeyCount: 1 } },
    "password",
  ],
  [
    "a passkey does not count without the multi-factor",
    { passkeys: false, person: { hasPassword: true, passkeyCount: 1 }, checks: [passkey()] },
    "password",
  ],
  [
    "a provider counts that the person has linked",
    { person: withLink, providers: linked, checks: [provider("a")] },
    "allowed",
  ],
  [
    "a provider does not count that the person has not linked",
    { person: { linkedProviderIds: ["b"] }, providers: linked, checks: [provider("a")] },
    "providers a b",
  ],
  [
    "a provider does not count that the policy does not link",
    { person: { linkedProviderIds: ["c"] }, providers: linked, checks: [provider("c")] },
    "providers a b",
  ],
  [
    "a provider does not count where external sign-in is off",
    {
      person: { ...withLink, hasPassword: true },
      providers: linked,
      settings: { allowExternalIdp: false },
      checks: [provider("a")],
    },
    "password",
  ],
  ["a second factor alone is no first factor", { person: withOtp, checks: [factor("otp")] }, "password"],
  // 3 and 5
  [
    "a passkey needs no second factor, even by force",
    { settings: forced, person: { passkeyCount: 1, secondFactors: ["otp"] }, checks: [passkey()] },
    "allowed",
  ],
  [
    "a passkey comes before a password",
    { settings: forced, person: { ...withOtp, passkeyCount: 1 }, checks: [password(), passkey()] },
    "allowed",
  ],
  [
    "a password needs a second factor by force",
    { settings: forced, person: withOtp, checks: [password()] },
    "factors otp",
  ],
  [
    "a password needs a second factor by local force",
    { settings: local, person: withOtp, checks: [password()] },
    "factors otp",
  ],
  ["a password needs one where the person has set one up", { person: withOtp, checks: [password()] }, "factors otp"],
  [
    "a provider needs a second factor by force",
    { settings: forced, person: { ...withLink, secondFactors: ["otp"] }, providers: linked, checks: [provider("a")] },
    "factors otp",
  ],
  [
    "a provider needs none by local force",
    {
      settings: { ...forced, ...local },
      person: { ...withLink, secondFactors: ["otp"] },
      providers: linked,
      checks: [provider("a")],
    },
    "allowed",
  ],
  [
    "a provider needs none though the person has set one up",
    { person: { ...withLink, secondFactors: ["otp"] }, providers: linked, checks: [provider("a")] },
    "allowed",
  ],
  [
    "a trusted provider that checked two factors needs none",
    { settings: forced, person: withLink, providers: linked, checks: [provider("b", ["pwd", "mfa"])] },
    "allowed",
  ],
  [
    "a trusted provider that checked one factor needs another",
    {
      settings: forced,
      person: { ...withLink, secondFactors: ["u2f"] },
      providers: linked,
      checks: [provider("b", ["pwd"])],
    },
    "factors u2f",
  ],
  [
    "a provider that is not trusted needs one, whatever it checked",
    {
      settings: forced,
      person: { ...withLink, secondFactors: ["u2f"] },
      providers: linked,
      checks: [provider("a", ["mfa"])],
    },
    "factors u2f",
  ],
  [
    "the check of a second factor is enough",
    { settings: forced, person: withOtp, checks: [password(), factor("otp")] },
    "allowed",
  ],
  [
    "the check of another second factor is not",
    { settings: forced, person: withOtp, checks: [password(), factor("u2f")] },
    "factors otp",
  ],
  [
    "any of those that are set up is enough",
    { person: { hasPassword: true, secondFactors: ["otp", "u2f"] }, checks: [password(), factor("u2f")] },
    "allowed",
  ],
  // 4
  [
    "a passkey is one of the second factors",
    { settings: { passwordlessType: "not_allowed" }, person: { ...withOtp, passkeyCount: 1 }, checks: [password()] },
    "passkey, factors otp",
  ],
  [
    "a passkey is enough as a second factor",
    {
      settings: { passwordlessType: "not_allowed" },
      person: { ...withOtp, passkeyCount: 1 },
      checks: [password(), passkey()],
    },
    "allowed",
  ],
  [
    "a passkey is none without the multi-factor",
    { passkeys: false, person: { ...withOtp, passkeyCount: 1 }, checks: [password()] },
    "factors otp",
  ],
  [
    "a factor that is not allowed is not asked for",
    { secondFactors: ["u2f"], person: withOtp, checks: [password()] },
    "allowed",
  ],
  [
    "recovery codes count beside another factor",
    {
      secondFactors: ["otp", "recovery_codes"],
      person: { ...withPassword, secondFactors: ["otp", "recovery_codes"] },
      checks: [password(), factor("recovery_codes")],
    },
    "allowed",
  ],
  [
    "recovery codes alone are no factor",
    {
      secondFactors: ["recovery_codes"],
      person: { ...withPassword, secondFactors: ["recovery_codes"] },
      checks: [password()],
    },
    "allowed",
  ],
  // 6
  [
    "by force, a person without one sets one up",
    { settings: forced, checks: [password()], secondFactors: ["otp", "recovery_codes", "u2f"] },
    "set up otp u2f",
  ],
  [
    "by force, nobody can where none is allowed",
    { settings: forced, checks: [password()], secondFactors: [] },
    "impossible",
  ],
  [
    "by force, nobody can where only recovery codes are allowed",
    { settings: forced, checks: [password()], secondFactors: ["recovery_codes"] },
    "impossible",
  ],
  [
    "by force, a factor that is no longer allowed is checked first",
    { settings: forced, secondFactors: ["u2f"], person: withOtp, checks: [password()] },
    "factors otp",
  ],
  [
    "by force, another is set up after that one was checked",
    { settings: forced, secondFactors: ["u2f"], person: withOtp, checks: [password(), factor("otp")] },
    "set up u2f",
  ],
  [
    "by force, a passkey that is no longer allowed is checked first",
    { settings: forced, passkeys: false, person: { hasPassword: true, passkeyCount: 1 }, checks: [password()] },
    "passkey",
  ],
  // 7
  [
    "without force, a set-up is offered",
    { settings: { mfaInitSkipLifetime: inMs(hour) }, checks: [password()] },
    "may set up otp u2f",
  ],
  [
    "a set-up is offered after a provider, too",
    { settings: { mfaInitSkipLifetime: inMs(hour) }, person: withLink, providers: linked, checks: [provider("a")] },
    "may set up otp u2f",
  ],
  [
    "no set-up is offered after a passkey",
    { settings: { mfaInitSkipLifetime: inMs(hour) }, person: {}, checks: [passkey()] },
    "allowed",
  ],
  ["no set-up is offered at a lifetime of zero", { checks: [password()] }, "allowed"],
  [
    "no set-up is offered to who skipped it within the lifetime",
    {
      settings: { mfaInitSkipLifetime: inMs(hour) },
      person: { ...withPassword, setupSkippedAt: now - hour },
      checks: [password()],
    },
    "allowed",
  ],
  [
    "a set-up is offered again after the lifetime",
    {
      settings: { mfaInitSkipLifetime: inMs(hour) },
      person: { ...withPassword, setupSkippedAt: now - hour - 1 },
      checks: [password()],
    },
    "may set up otp u2f",
  ],
  [
    "no set-up is offered where none is allowed",
    { settings: { mfaInitSkipLifetime: inMs(hour) }, secondFactors: ["recovery_codes"], checks: [password()] },
    "allowed",
  ],
];

describe("evaluate", () => {
  it.each(rows)("%s", (_, given, wanted) => {
    const evaluation = ask(given);
    expect(wordsOf(evaluation)).toBe(wanted);
    expect(model(policyOf(given), signInOf(given))).toBe(wanted);
    expect(evaluation.reasons.length).toBeGreaterThan(0);
    for (const { message } of evaluation.reasons) expect(message).toMatch(/^[A-Z].*\.$/);
  });

  it("says until when an answer holds: until the first check that it rests on is too old", () => {
    const at = now - 5 * minute;
    const settings = { secondFactorCheckLifetime: inMs(30 * minute) };
    expect(ask({ checks: [password(at)] }).expiresAt).toBe(at + hour);
    expect(ask({ person: withOtp, settings, checks: [password(at), factor("otp")] }).expiresAt).toBe(
      just + 30 * minute,
    );
    expect(ask({ checks: [password(at)], maxAge: minute }).expiresAt).toBe(at + minute);
    // The newest of several counts, and a lifetime of zero ends nothing.
    expect(ask({ checks: [password(at), password(just)] }).expiresAt).toBe(just + hour);
    expect(ask({ checks: [password(at)], settings: { passwordCheckLifetime: zero } }).expiresAt).toBeUndefined();
    expect(ask({ person: withOtp, checks: [password()] }).expiresAt).toBeUndefined();
  });
});

// Random cases, and all of a finite world.

const booleans = [true, false];
const shapes = <Key extends string>(keys: readonly Key[]) =>
  Array.from({ length: 2 ** keys.length }, (_, bits) => keys.filter((_key, index) => (bits >> index) & 1));

describe("evaluate and a second model", () => {
  it("agree on 10,000 random cases", () => {
    const seed = Number(process.env["PORTCULLIS_SEED"] ?? Date.now() % 1_000_000);
    const random = createRandom(seed);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
    const some = <T>(items: readonly T[]): T[] => items.filter(() => random() < 0.4);
    const times = [now + minute / 2, now, just, startedAt, earlier, now - 30 * minute, now - hour, now - 2 * hour];
    const lifetimes = [inMs(-hour), zero, inMs(20 * minute), inMs(hour), { seconds: 0, nanos: 1 }];
    const seen = new Map<string, number>();
    for (let round = 0; round < 10_000; round++) {
      const settings = {
        allowUsernamePassword: random() < 0.8,
        allowExternalIdp: random() < 0.7,
        forceMfa: pick(booleans),
        forceMfaLocalOnly: random() < 0.3,
        passwordlessType: pick(["allowed", "not_allowed"] as const),
        passwordCheckLifetime: pick(lifetimes),
        externalLoginCheckLifetime: pick(lifetimes),
        mfaInitSkipLifetime: pick(lifetimes),
        secondFactorCheckLifetime: pick(lifetimes),
        multiFactorCheckLifetime: pick(lifetimes),
      };
      const setupSkippedAt = pick([undefined, ...times]);
      const person: Partial<Person> = {
        hasPassword: pick(booleans),
        passkeyCount: pick([0, 0, 1]),
        secondFactors: some(allFactors),
        linkedProviderIds: some(["a", "b", "c"]),
        ...(setupSkippedAt !== undefined && { setupSkippedAt }),
      };
      const checks = Array.from({ length: pick([0, 1, 1, 2, 2, 3, 4]) }, (): Check => {
        const at = pick(times);
        return pick([
          password(at),
          password(at),
          passkey(at),
          factor(pick(allFactors), at),
          provider(pick(["a", "b", "c"]), pick([[], ["mfa"]]), at),
        ]);
      });
      const maxAge = pick([undefined, undefined, 0, 15 * minute, hour]);
      const given: Given = {
        settings,
        secondFactors: some(allFactors),
        passkeys: pick(booleans),
        providers: some(linked),
        person: random() < 0.05 ? null : person,
        checks,
        ...(maxAge !== undefined && { maxAge }),
      };
      const words = wordsOf(ask(given));
      expect(words, `PORTCULLIS_SEED=${seed}, round ${round}: ${JSON.stringify(given)}`).toBe(
        model(policyOf(given), signInOf(given)),
      );
      const kind = words.replace(/(factors|providers|set up) .*/, "$1");
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    }
    // Random cases that never come to a rule would prove nothing of it.
    for (const kind of ["allowed", "impossible", "password", "passkey", "factors", "set up", "may set up"]) {
      expect(seen.get(kind), kind).toBeGreaterThan(20);
    }
  });
});

describe("whatever the policy, the person and the checks", () => {
  const factors = ["otp", "recovery_codes"] as const;
  const switches = shapes(["allowUsernamePassword", "allowExternalIdp", "forceMfa", "forceMfaLocalOnly"] as const);
  const ages = [just, earlier] as const;
  const everyCheck = (at: number): Check[] => [
    password(at),
    passkey(at),
    provider("b", ["mfa"], at),
    factor("otp", at),
  ];
  const checkSets = ages.flatMap((at) =>
    shapes(["0", "1", "2", "3"]).map((set) => set.map((n) => everyCheck(at)[Number(n)] as Check)),
  );
  const persons: Partial<Person>[] = booleans.flatMap((hasPassword) =>
    [0, 1].flatMap((passkeyCount) =>
      shapes(factors).flatMap((secondFactors) =>
        [[], ["b"]].map((linkedProviderIds) => ({ hasPassword, passkeyCount, secondFactors, linkedProviderIds })),
      ),
    ),
  );
  const policies: Given[] = switches.flatMap((on) =>
    (["allowed", "not_allowed"] as const).flatMap((passwordlessType) =>
      [zero, inMs(hour)].flatMap((lifetime) =>
        shapes(factors).flatMap((secondFactors) =>
          booleans.map((passkeys) => ({
            settings: {
              allowUsernamePassword: on.includes("allowUsernamePassword"),
              allowExternalIdp: on.includes("allowExternalIdp"),
              forceMfa: on.includes("forceMfa"),
              forceMfaLocalOnly: on.includes("forceMfaLocalOnly"),
              passwordlessType,
              passwordCheckLifetime: lifetime,
              externalLoginCheckLifetime: lifetime,
              secondFactorCheckLifetime: lifetime,
              multiFactorCheckLifetime: lifetime,
            },
            secondFactors,
            passkeys,
            providers: [{ id: "b", trustSecondFactor: true }],
          })),
        ),
      ),
    ),
  );

  /** 0 where the person is in, 1 where one more step is needed at least, and more than any number where no step helps. */
  const distance = ({ decision }: Evaluation) => ({ allowed: 0, step_required: 1, impossible: 2 })[decision];

  it("what must hold does", () => {
    let looked = 0;
    for (const given of policies) {
      const policy = policyOf(given);
      const { settings } = policy;
      const passkeysAllowed = settings.passwordlessType === "allowed" && given.passkeys === true;
      // A tighter policy: every sign-in needs a second factor.
      const tighter = policyOf({ ...given, settings: { ...given.settings, forceMfa: true, forceMfaLocalOnly: false } });
      for (const person of persons) {
        for (const checks of checkSets) {
          looked += 1;
          const signIn = signInOf({ person, checks });
          const evaluation = evaluate(policy, signIn);
          const { decision, steps } = evaluation;
          const fresh = checks.filter(({ at }) => at >= startedAt || settings.passwordCheckLifetime.seconds > 0);
          const has = (kind: Check["kind"]) => fresh.some((check) => check.kind === kind);
          const usesPasskey = passkeysAllowed && has("passkey");
          const usesPassword = settings.allowUsernamePassword && has("password");
          const usesProvider = settings.allowExternalIdp && has("provider") && person.linkedProviderIds?.length === 1;
          // `it` for each would take longer than all of them together.
          if (usesPasskey && decision !== "allowed") throw failed("a passkey asks for more", given, signIn);
          if (decision === "allowed" && !usesPasskey && !usesPassword && !usesProvider) {
            throw failed("someone is in without a valid first factor", given, signIn);
          }
          if ((decision === "step_required") !== steps.length > 0)
            throw failed("steps and decision differ", given, signIn);
          for (const step of steps) {
            if (step.kind === "check_password" && !settings.allowUsernamePassword)
              throw failed("a password is asked for", given, signIn);
            if (
              step.kind === "set_up_second_factor" &&
              !step.types.every((type) => policy.secondFactors.includes(type))
            )
              throw failed("a factor is set up that is not allowed", given, signIn);
          }
          if (distance(evaluate(tighter, signIn)) < distance(evaluation)) {
            throw failed("a tighter policy asks for less", given, signIn);
          }
        }
      }
    }
    expect(looked).toBeGreaterThan(200_000);
  });

  it("a check of a clock that is ahead never counts for a later sign-in at a lifetime that is not above zero", () => {
    const checks: Check[] = [{ at: now + minute / 2, kind: "password" }];
    for (const passwordCheckLifetime of [zero, inMs(-1000)]) {
      const policy = policyOf({ settings: { passwordCheckLifetime } });
      const signIn = { ...signInOf({ checks }), startedAt: now + minute };
      expect(evaluate(policy, signIn)).toMatchObject({ decision: "step_required" });
    }
  });

  const failed = (what: string, given: Given, signIn: SignIn) =>
    new Error(`${what}: ${JSON.stringify({ given, signIn })}`);
});
