import { describe, expect, it } from "vitest";
import { isSameGrant } from "../../../src/domain/directory/role-grants.ts";
import type { ClientEvent, InstanceEvent, OrganizationEvent, UserEvent } from "../../../src/domain/events.ts";
import { evolve, uniqueKeysOf } from "../../../src/domain/evolve.ts";
import * as decide from "../../../src/domain/login-policy/decide.ts";
import { PolicyError } from "../../../src/domain/login-policy/errors.ts";
import {
  type MultiFactor,
  multiFactors,
  type Named,
  type SecondFactor,
  secondFactors,
} from "../../../src/domain/login-policy/factors.ts";
import { defaultLoginPolicy, isSameSettings } from "../../../src/domain/login-policy/settings.ts";
import type { InstanceState, OrganizationState } from "../../../src/domain/states.ts";
import { event, fold, organizationAfter, policyOf, recordedAtOf, settingsOf, userOf } from "../../fixtures/builders.ts";

const token = { tokenId: "t1", digest: "d1" };
const granted = (role: "ORG_OWNER" | "IAM_OWNER", organizationId?: string): UserEvent => ({
  type: "RoleGranted",
  version: 1,
  payload: { role, ...(organizationId !== undefined && { organizationId }) },
});
const revoked = (role: "ORG_OWNER" | "IAM_OWNER", organizationId?: string): UserEvent => ({
  type: "RoleRevoked",
  version: 1,
  payload: { role, ...(organizationId !== undefined && { organizationId }) },
});
const tokenCreated: UserEvent = { type: "TokenCreated", version: 1, payload: token };
const tokenRevoked: UserEvent = { type: "TokenRevoked", version: 1, payload: { tokenId: "t1" } };

describe("evolve of an instance", () => {
  it("starts with its policy", () => {
    expect(fold("instance", [event.instanceCreated()])).toEqual({
      instanceId: "instance-1",
      defaultOrganizationId: "org-1",
      loginPolicy: {
        ...defaultLoginPolicy,
        createdAt: recordedAtOf(1),
        changedAt: recordedAtOf(1),
        sequence: 1,
      },
    });
  });

  it("keeps factors in the order of their addition, a re-added one last", () => {
    const { loginPolicy } = fold("instance", [
      event.instanceCreated(policyOf({ secondFactors: ["u2f", "otp"] })),
      event.secondFactorAdded("recovery_codes"),
      event.secondFactorRemoved("u2f"),
      event.secondFactorAdded("otp_sms"),
      event.secondFactorAdded("u2f"),
    ]);
    expect(loginPolicy.secondFactors).toEqual(["otp", "recovery_codes", "otp_sms", "u2f"]);
  });

  it("replaces settings and leaves the factors", () => {
    const { loginPolicy } = fold("instance", [event.instanceCreated(), event.policyChanged({ forceMfa: true })]);
    expect(loginPolicy).toMatchObject({ ...defaultLoginPolicy, settings: settingsOf({ forceMfa: true }) });
  });
});

describe("evolve of an organization", () => {
  it("inherits at first", () => {
    expect(organizationAfter()).toEqual({ name: "Acme", removed: false });
  });

  it("inherits again after a reset", () => {
    expect(organizationAfter(event.policyAdded(), event.policyRemoved())).toEqual({ name: "Acme", removed: false });
  });

  it("keeps nothing of a policy that was removed", () => {
    const { loginPolicy } = organizationAfter(
      event.policyAdded(),
      event.secondFactorAdded("otp_sms"),
      event.policyRemoved(),
      event.policyAdded(policyOf({ secondFactors: [], multiFactors: [] })),
    );
    expect(loginPolicy).toMatchObject({ secondFactors: [], multiFactors: [], createdAt: recordedAtOf(5) });
  });

  it("keeps no trace of where a copied policy came from", () => {
    expect(organizationAfter(event.policyCopied(policyOf(), 7)).loginPolicy).toEqual({
      ...defaultLoginPolicy,
      createdAt: recordedAtOf(2),
      changedAt: recordedAtOf(2),
      sequence: 2,
    });
  });

  it("keeps its name and nothing else when it is removed", () => {
    expect(organizationAfter(event.policyAdded(), event.organizationRemoved())).toEqual({
      name: "Acme",
      removed: true,
    });
  });
});

// The sequence and time of the last event that touched the policy, and the time of its first.
describe("the details of a kept policy", () => {
  const added = event.policyAdded();
  it.each<{ title: string; events: OrganizationEvent[]; sequence: number; created: number }>([
    { title: "the first event", events: [added], sequence: 2, created: 2 },
    { title: "a change of settings", events: [added, event.policyChanged({})], sequence: 3, created: 2 },
    { title: "a second factor added", events: [added, event.secondFactorAdded("otp_sms")], sequence: 3, created: 2 },
    { title: "a second factor removed", events: [added, event.secondFactorRemoved("otp")], sequence: 3, created: 2 },
    {
      title: "a multi-factor removed and added",
      events: [
        added,
        event.multiFactorRemoved("u2f_with_verification"),
        event.multiFactorAdded("u2f_with_verification"),
      ],
      sequence: 4,
      created: 2,
    },
    { title: "a second policy", events: [added, event.policyRemoved(), added], sequence: 4, created: 4 },
  ])("follow $title", ({ events, sequence, created }) => {
    expect(organizationAfter(...events).loginPolicy).toMatchObject({
      sequence,
      changedAt: recordedAtOf(sequence),
      createdAt: recordedAtOf(created),
    });
  });
});

describe("evolve of a user", () => {
  it("keeps the grants that were not revoked, in the order given", () => {
    const { roles } = fold("user", [
      event.userAdded(),
      granted("ORG_OWNER", "org-1"),
      granted("IAM_OWNER"),
      granted("ORG_OWNER", "org-2"),
      revoked("ORG_OWNER", "org-1"),
    ]);
    expect(roles).toEqual([{ role: "IAM_OWNER" }, { role: "ORG_OWNER", organizationId: "org-2" }]);
  });

  it("keeps tokens with the time of their creation, until they are revoked", () => {
    const withToken = [event.userAdded(), tokenCreated];
    expect(fold("user", withToken).tokens).toEqual([{ ...token, createdAt: recordedAtOf(2) }]);
    expect(fold("user", [...withToken, tokenRevoked]).tokens).toEqual([]);
  });

  it("loses roles and tokens when it is removed", () => {
    const removed = fold("user", [event.userAdded(), granted("IAM_OWNER"), tokenCreated, event.userRemoved()]);
    expect(removed).toEqual(userOf({ removed: true }));
  });
});

describe("an event that cannot follow the state before it", () => {
  const withPolicy = [event.organizationAdded(), event.policyAdded()];
  const unknown = { type: "Unheard", version: 1, payload: {} } as never;

  it.each<{ title: string; events: OrganizationEvent[] }>([
    { title: "a policy of no organization", events: [event.policyAdded()] },
    { title: "a second beginning", events: [event.organizationAdded(), event.organizationAdded()] },
    { title: "a second policy", events: [...withPolicy, event.policyAdded()] },
    { title: "a change without a policy", events: [event.organizationAdded(), event.policyChanged({})] },
    { title: "a factor without a policy", events: [event.organizationAdded(), event.secondFactorAdded("otp")] },
    { title: "a removal without a policy", events: [event.organizationAdded(), event.policyRemoved()] },
    { title: "a second factor twice", events: [...withPolicy, event.secondFactorAdded("otp")] },
    { title: "a second factor that is not there", events: [...withPolicy, event.secondFactorRemoved("otp_sms")] },
    { title: "a multi-factor twice", events: [...withPolicy, event.multiFactorAdded("u2f_with_verification")] },
    {
      title: "a multi-factor that is not there",
      events: [
        ...withPolicy,
        event.multiFactorRemoved("u2f_with_verification"),
        event.multiFactorRemoved("u2f_with_verification"),
      ],
    },
    {
      title: "anything after a removal",
      events: [event.organizationAdded(), event.organizationRemoved(), event.policyAdded()],
    },
    {
      title: "a second removal",
      events: [event.organizationAdded(), event.organizationRemoved(), event.organizationRemoved()],
    },
    { title: "an unknown event", events: [...withPolicy, unknown] },
    { title: "an unknown event while it inherits", events: [event.organizationAdded(), unknown] },
  ])("throws for an organization: $title", ({ events }) => {
    const last = events.at(-1)?.type;
    expect(() => fold("organization", events)).toThrow(
      new Error(`event ${last} (sequence ${events.length}) cannot follow the state before it`),
    );
  });

  it.each<{ title: string; events: InstanceEvent[] }>([
    { title: "a change before its beginning", events: [event.policyChanged({})] },
    { title: "a second beginning", events: [event.instanceCreated(), event.instanceCreated()] },
    { title: "an unknown event", events: [event.instanceCreated(), unknown] },
  ])("throws for an instance: $title", ({ events }) => {
    expect(() => fold("instance", events)).toThrow(/cannot follow the state before it$/);
  });

  it.each<{ title: string; events: UserEvent[] }>([
    { title: "a role of nobody", events: [granted("IAM_OWNER")] },
    { title: "a second beginning", events: [event.userAdded(), event.userAdded()] },
    { title: "a token after a removal", events: [event.userAdded(), event.userRemoved(), tokenCreated] },
    { title: "a second removal", events: [event.userAdded(), event.userRemoved(), event.userRemoved()] },
    { title: "a role held already", events: [event.userAdded(), granted("IAM_OWNER"), granted("IAM_OWNER")] },
    { title: "a role not held", events: [event.userAdded(), revoked("IAM_OWNER")] },
    { title: "a token not there", events: [event.userAdded(), tokenRevoked] },
    { title: "an unknown event", events: [event.userAdded(), unknown] },
  ])("throws for a user: $title", ({ events }) => {
    expect(() => fold("user", events)).toThrow(/cannot follow the state before it$/);
  });
});

describe("isSameGrant", () => {
  const onOrg = { role: "ORG_OWNER", organizationId: "org-1" } as const;
  it.each([
    { other: { ...onOrg }, same: true },
    { other: { ...onOrg, organizationId: "org-2" }, same: false },
    { other: { role: "ORG_OWNER" } as const, same: false },
    { other: { ...onOrg, role: "ORG_OWNER_VIEWER" } as const, same: false },
  ])("says $same for $other", ({ other, same }) => {
    expect(isSameGrant(onOrg, other)).toBe(same);
  });
});

describe("uniqueKeysOf", () => {
  it("finds an instance by nothing", () => {
    expect(uniqueKeysOf("instance", fold("instance", [event.instanceCreated()]))).toEqual([]);
  });

  it("finds an organization by its name until it is removed", () => {
    expect(uniqueKeysOf("organization", organizationAfter())).toEqual([{ kind: "organization_name", value: "Acme" }]);
    expect(uniqueKeysOf("organization", organizationAfter(event.organizationRemoved()))).toEqual([]);
  });

  it("finds a user by name, token ids and token digests until it is removed", () => {
    const other: UserEvent = { type: "TokenCreated", version: 1, payload: { tokenId: "t2", digest: "d2" } };
    const events = [event.userAdded(), tokenCreated, other];
    expect(uniqueKeysOf("user", fold("user", events))).toEqual([
      { kind: "user_name", value: "ada" },
      { kind: "token_id", value: "t1" },
      { kind: "token_digest", value: "d1" },
      { kind: "token_id", value: "t2" },
      { kind: "token_digest", value: "d2" },
    ]);
    expect(uniqueKeysOf("user", fold("user", [...events, event.userRemoved()]))).toEqual([]);
  });

  it("finds no user by a revoked token", () => {
    expect(uniqueKeysOf("user", fold("user", [event.userAdded(), tokenCreated, tokenRevoked]))).toEqual([
      { kind: "user_name", value: "ada" },
    ]);
  });

  it.each(["instance", "organization", "user"] as const)("finds nothing before the first event of a %s", (type) => {
    expect(uniqueKeysOf(type, undefined)).toEqual([]);
  });
});

describe("what decide makes", () => {
  it("can always follow, and keeps the invariants", () => {
    const walk = walkOf(2000, 20260101);
    // The walk went everywhere: it was refused, copied, reset and changed, more than a few times each.
    for (const [what, count] of Object.entries(walk.counts)) expect(count, what).toBeGreaterThan(20);
  });
});

/** Random calls on one organization and its instance, with the invariants checked after each. */
function walkOf(steps: number, seed: number) {
  const random = mulberry32(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const sometimes = <T>(value: T, other: T): T => (random() < 0.05 ? other : value);
  const secondFactor = () => sometimes<Named<SecondFactor>>(pick(secondFactors), undefined);
  const multiFactor = () => sometimes<Named<MultiFactor>>(pick(multiFactors), undefined);
  const settings = () =>
    settingsOf({ forceMfa: random() < 0.5, defaultRedirectUri: sometimes(pick(["", "a:b"]), "bad") });
  const counts = { refused: 0, copied: 0, reset: 0, added: 0, changed: 0, instance: 0 };

  const origin = { sequence: 1, recordedAt: 1 };
  let organization: OrganizationState = evolve("organization", {
    state: undefined,
    event: event.organizationAdded(),
    origin,
  });
  let instance: InstanceState = evolve("instance", { state: undefined, event: event.instanceCreated(), origin });
  let [organizationSequence, instanceSequence] = [1, 1];
  let expectsOwn = false;

  const organizationCalls = [
    (c: decide.OrganizationContext) => decide.addOrganizationFactor(decide.secondFactorKind, c, secondFactor()),
    (c: decide.OrganizationContext) => decide.removeOrganizationFactor(decide.secondFactorKind, c, secondFactor()),
    (c: decide.OrganizationContext) => decide.addOrganizationFactor(decide.multiFactorKind, c, multiFactor()),
    (c: decide.OrganizationContext) => decide.removeOrganizationFactor(decide.multiFactorKind, c, multiFactor()),
    ({ own }: decide.OrganizationContext) => decide.updateCustomLoginPolicy(own, settings()),
    ({ own }: decide.OrganizationContext) => decide.resetLoginPolicy(own),
    ({ own }: decide.OrganizationContext) =>
      decide.addCustomLoginPolicy(own, {
        settings: settings(),
        secondFactors: [secondFactor(), secondFactor(), secondFactor()],
        multiFactors: [multiFactor(), multiFactor()],
        idpIds: [],
      }),
  ];
  const instanceCalls = [
    (p: InstanceState["loginPolicy"]) => decide.addInstanceFactor(decide.secondFactorKind, p, secondFactor()),
    (p: InstanceState["loginPolicy"]) => decide.removeInstanceFactor(decide.secondFactorKind, p, secondFactor()),
    (p: InstanceState["loginPolicy"]) => decide.addInstanceFactor(decide.multiFactorKind, p, multiFactor()),
    (p: InstanceState["loginPolicy"]) => decide.removeInstanceFactor(decide.multiFactorKind, p, multiFactor()),
    (p: InstanceState["loginPolicy"]) => decide.updateInstanceLoginPolicy(p, settings()),
  ];
  const unlessRefused = <E>(act: () => readonly E[]): readonly E[] => {
    try {
      return act();
    } catch (reason) {
      expect(reason).toBeInstanceOf(PolicyError);
      counts.refused++;
      return [];
    }
  };

  for (let step = 1; step <= steps; step++) {
    if (random() < 0.3) {
      const events = unlessRefused(() => pick(instanceCalls)(instance.loginPolicy));
      for (const one of events) {
        const at = { sequence: ++instanceSequence, recordedAt: step };
        instance = evolve("instance", { state: instance, event: one, origin: at });
        counts.instance++;
      }
    } else {
      const before = organization.loginPolicy;
      const context = { own: before, inherited: instance.loginPolicy, inheritedSequence: instanceSequence };
      for (const one of unlessRefused(() => pick(organizationCalls)(context))) {
        const at = { sequence: ++organizationSequence, recordedAt: step };
        organization = evolve("organization", { state: organization, event: one, origin: at });
        if (one.type === "LoginPolicyAdded") {
          expectsOwn = true;
          counts[one.payload.copiedFromSequence === undefined ? "added" : "copied"]++;
          if (one.payload.copiedFromSequence !== undefined) {
            expect(one.payload.copiedFromSequence).toBe(instanceSequence);
            expect(isSameSettings(one.payload.settings, instance.loginPolicy.settings)).toBe(true);
          }
        }
        if (one.type === "LoginPolicyRemoved") {
          expectsOwn = false;
          counts.reset++;
        }
        if (one.type === "LoginPolicyChanged") counts.changed++;
        if (expectsOwn) expect(organization.loginPolicy?.sequence).toBe(organizationSequence);
      }
    }
    expect(organization.loginPolicy !== undefined).toBe(expectsOwn);
    for (const policy of [instance.loginPolicy, organization.loginPolicy]) {
      if (policy === undefined) continue;
      expect(new Set(policy.secondFactors).size).toBe(policy.secondFactors.length);
      expect(new Set(policy.multiFactors).size).toBe(policy.multiFactors.length);
      expect(policy.changedAt).toBeGreaterThanOrEqual(policy.createdAt);
    }
  }
  return { counts };
}

/** A small deterministic source of numbers from 0 to below 1. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe("what a user signs in with", () => {
  const key = { keyId: "k1", publicKey: "PEM" };
  const keyAdded: UserEvent = { type: "KeyAdded", version: 1, payload: key };
  const keyRemoved: UserEvent = { type: "KeyRemoved", version: 1, payload: { keyId: "k1" } };
  const passwordSet = (hash: string): UserEvent => ({ type: "PasswordSet", version: 1, payload: { hash } });
  const secretSet = (digest: string): UserEvent => ({ type: "SecretSet", version: 1, payload: { digest } });

  it("is the last password and the last secret, and when they were set", () => {
    const user = fold("user", [
      event.userAdded(),
      passwordSet("p1"),
      secretSet("s1"),
      passwordSet("p2"),
      secretSet("s2"),
    ]);
    expect(user.password).toEqual({ hash: "p2", setAt: recordedAtOf(4) });
    expect(user.secret).toEqual({ digest: "s2", setAt: recordedAtOf(5) });
  });

  it("is every key that was not removed, by which the user is found", () => {
    const other: UserEvent = { type: "KeyAdded", version: 1, payload: { ...key, keyId: "k2", expiresAt: 7 } };
    const user = fold("user", [event.userAdded(), keyAdded, other, keyRemoved]);
    expect(user.keys).toEqual([{ keyId: "k2", publicKey: "PEM", expiresAt: 7, createdAt: recordedAtOf(3) }]);
    expect(uniqueKeysOf("user", user)).toContainEqual({ kind: "key_id", value: "k2" });
    expect(uniqueKeysOf("user", user)).not.toContainEqual({ kind: "key_id", value: "k1" });
  });

  it("is gone with the user", () => {
    const user = fold("user", [event.userAdded(), keyAdded, passwordSet("p"), secretSet("s"), event.userRemoved()]);
    expect(user).toEqual({ name: "ada", organizationId: "org-1", removed: true, roles: [], tokens: [] });
    expect(uniqueKeysOf("user", user)).toEqual([]);
  });

  it("cannot lose a key that is not there", () => {
    expect(() => fold("user", [event.userAdded(), keyRemoved])).toThrow("KeyRemoved (sequence 2) cannot follow");
  });
});

describe("evolve of an application", () => {
  const registration = { name: "Console", redirectUris: ["https://app.example/cb"], secretDigest: "d" };
  const added: ClientEvent = { type: "ClientAdded", version: 1, payload: registration };
  const removed: ClientEvent = { type: "ClientRemoved", version: 1, payload: {} };

  it("is as it was registered, and found by its name", () => {
    const client = fold("client", [added]);
    expect(client).toEqual({ ...registration, removed: false });
    expect(uniqueKeysOf("client", client)).toEqual([{ kind: "client_name", value: "Console" }]);
  });

  it("keeps nothing but its name once it is removed", () => {
    const client = fold("client", [added, removed]);
    expect(client).toEqual({ name: "Console", redirectUris: [], removed: true });
    expect(uniqueKeysOf("client", client)).toEqual([]);
  });

  it.each([[[removed]], [[added, added]], [[added, removed, removed]], [[added, removed, added]]])(
    "refuses a history that makes no sense (%#)",
    (history) => {
      expect(() => fold("client", history)).toThrow("cannot follow the state before it");
    },
  );
});
