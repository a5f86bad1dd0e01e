// Given a history, when a policy is changed as a whole, it yields these events, or this refusal and none.
import { describe, expect, it } from "vitest";
import type { InstanceEvent, OrganizationEvent } from "../../../../src/domain/events.ts";
import type { OrganizationContext } from "../../../../src/domain/login-policy/decide.ts";
import { difference } from "../../../../src/domain/login-policy/difference.ts";
import { PolicyError, type PolicyErrorCode } from "../../../../src/domain/login-policy/errors.ts";
import type { LoginPolicy } from "../../../../src/domain/login-policy/settings.ts";
import {
  type PolicyPatch,
  patched,
  resetOrganization,
  rollbackInstance,
  rollbackOrganization,
  updateInstance,
  updateOrganization,
} from "../../../../src/domain/login-policy/update.ts";
import { event, fold, organizationAfter, policyOf, settingsOf } from "../../../fixtures/builders.ts";

interface Case {
  readonly title: string;
  /** Of the organization, after its OrganizationAdded. */
  readonly given?: readonly OrganizationEvent[];
  /** Of the instance, after its InstanceCreated. */
  readonly givenInstance?: readonly InstanceEvent[];
  readonly when: (context: OrganizationContext) => readonly OrganizationEvent[];
  readonly yields: readonly OrganizationEvent[] | PolicyErrorCode;
}

function contextOf({ given = [], givenInstance = [] }: Case): OrganizationContext {
  const instanceEvents = [event.instanceCreated(), ...givenInstance];
  return {
    own: organizationAfter(...given).loginPolicy,
    inherited: fold("instance", instanceEvents).loginPolicy,
    inheritedSequence: instanceEvents.length,
  };
}

const update = (patch: Partial<PolicyPatch>) => (context: OrganizationContext) =>
  updateOrganization(context, { settings: {}, ...patch });
const updateDefault =
  (patch: Partial<PolicyPatch>) =>
  ({ inherited }: OrganizationContext) =>
    updateInstance(inherited, { settings: {}, ...patch });
const reset = ({ own }: OrganizationContext) => resetOrganization(own);
const rollback = (target: LoginPolicy | undefined) => (context: OrganizationContext) =>
  rollbackOrganization(context, target);
const rollbackDefault =
  (target: LoginPolicy) =>
  ({ inherited }: OrganizationContext) =>
    rollbackInstance(inherited, target);

const own = event.policyAdded();
const forced = policyOf({ settings: settingsOf({ forceMfa: true }) });

const tables: Readonly<Record<string, readonly Case[]>> = {
  "update of an organization that inherits": [
    { title: "without a name writes nothing", when: update({}), yields: [] },
    {
      title: "copies the policy, then changes it",
      when: update({ settings: { forceMfa: true }, secondFactors: ["u2f"] }),
      yields: [
        event.policyCopied(policyOf(), 1),
        event.policyChanged({ forceMfa: true }),
        event.secondFactorRemoved("otp"),
      ],
    },
    {
      title: "copies the instance's policy of today",
      givenInstance: [event.policyChanged({ forceMfa: true }), event.secondFactorAdded("otp_sms")],
      when: update({ settings: { allowRegister: false } }),
      yields: [
        event.policyCopied({ ...forced, secondFactors: ["otp", "u2f", "otp_sms"] }, 3),
        event.policyChanged({ forceMfa: true, allowRegister: false }),
      ],
    },
    ...(
      [
        ["a setting", { settings: { forceMfa: false } }],
        ["second factors", { secondFactors: ["u2f", "otp"] }],
        ["multi-factors", { multiFactors: ["u2f_with_verification"] }],
        ["identity providers", { identityProviderIds: [] }],
      ] as const satisfies readonly (readonly [string, Partial<PolicyPatch>])[]
    ).map(
      ([named, patch]): Case => ({
        title: `copies also where ${named} does not differ`,
        when: update(patch),
        yields: [event.policyCopied(policyOf(), 1)],
      }),
    ),
    {
      title: "is refused for a bad redirect URI, without a copy",
      when: update({ settings: { defaultRedirectUri: "no scheme" } }),
      yields: "org_update_redirect_invalid",
    },
    {
      title: "is refused for any identity provider, without a copy",
      when: update({ identityProviderIds: ["1"] }),
      yields: "org_add_idp_unknown",
    },
  ],
  "update of an organization's own policy": [
    {
      title: "changes what the patch names, and nothing else",
      given: [event.policyAdded(forced)],
      when: update({ settings: { hidePasswordReset: true }, multiFactors: [] }),
      yields: [
        event.policyChanged({ forceMfa: true, hidePasswordReset: true }),
        event.multiFactorRemoved("u2f_with_verification"),
      ],
    },
    {
      title: "compares with its own values, not the instance's",
      given: [event.policyAdded(forced)],
      when: update({ settings: { forceMfa: false } }),
      yields: [event.policyChanged({})],
    },
    {
      title: "writes nothing where nothing differs",
      given: [own],
      when: update({ settings: { forceMfa: false }, secondFactors: ["u2f", "otp"], identityProviderIds: [] }),
      yields: [],
    },
    {
      title: "adds a repeated factor once",
      given: [own],
      when: update({ secondFactors: ["otp_sms", "otp", "otp_sms", "u2f"] }),
      yields: [event.secondFactorAdded("otp_sms")],
    },
    {
      title: "accepts a good redirect URI",
      given: [own],
      when: update({ settings: { defaultRedirectUri: "https://acme.example" } }),
      yields: [event.policyChanged({ defaultRedirectUri: "https://acme.example" })],
    },
    {
      title: "checks the redirect URI before identity providers",
      given: [own],
      when: update({ settings: { defaultRedirectUri: "no scheme" }, identityProviderIds: ["1"] }),
      yields: "org_update_redirect_invalid",
    },
  ],
  "update of the instance": [
    { title: "without a name writes nothing", when: updateDefault({}), yields: [] },
    {
      title: "changes settings and sets",
      when: updateDefault({ settings: { forceMfa: true }, secondFactors: [] }),
      yields: [
        event.policyChanged({ forceMfa: true }),
        event.secondFactorRemoved("otp"),
        event.secondFactorRemoved("u2f"),
      ],
    },
    {
      title: "writes nothing where nothing differs",
      when: updateDefault({ settings: { forceMfa: false } }),
      yields: [],
    },
    {
      title: "is refused for a bad redirect URI",
      when: updateDefault({ settings: { defaultRedirectUri: "no scheme" } }),
      yields: "instance_update_redirect_invalid",
    },
    {
      title: "is refused for any identity provider",
      when: updateDefault({ identityProviderIds: ["1"] }),
      yields: "instance_idp_unknown",
    },
  ],
  "reset of an organization": [
    { title: "removes the own policy", given: [own], when: reset, yields: [event.policyRemoved()] },
    { title: "writes nothing while it inherits", when: reset, yields: [] },
    { title: "writes nothing the second time", given: [own, event.policyRemoved()], when: reset, yields: [] },
  ],
  "rollback of an organization": [
    {
      title: "changes the own policy to the earlier one",
      given: [event.policyAdded(forced), event.secondFactorRemoved("otp")],
      when: rollback(policyOf()),
      yields: [event.policyChanged({}), event.secondFactorAdded("otp")],
    },
    {
      title: "writes nothing where only an order differs",
      given: [own],
      when: rollback(policyOf({ secondFactors: ["u2f", "otp"] })),
      yields: [],
    },
    {
      title: "to inheriting removes the own policy",
      given: [own],
      when: rollback(undefined),
      yields: [event.policyRemoved()],
    },
    { title: "to inheriting writes nothing while it inherits", when: rollback(undefined), yields: [] },
    {
      title: "while inheriting adds the earlier policy, which is no copy",
      given: [event.policyAdded(forced), event.policyRemoved()],
      when: rollback(organizationAfter(event.policyCopied(forced, 7)).loginPolicy),
      yields: [event.policyAdded(forced)],
    },
    {
      title: "while inheriting makes the policy its own, also where no value differs",
      when: rollback(policyOf()),
      yields: [own],
    },
  ],
  "rollback of the instance": [
    {
      title: "changes the policy to the earlier one",
      givenInstance: [event.policyChanged({ forceMfa: true })],
      when: rollbackDefault(policyOf({ multiFactors: [] })),
      yields: [event.policyChanged({}), event.multiFactorRemoved("u2f_with_verification")],
    },
    { title: "writes nothing where nothing differs", when: rollbackDefault(policyOf()), yields: [] },
  ],
};

describe.each(Object.entries(tables))("%s", (_, cases) => {
  it.each(cases)("$title", (one) => {
    const context = contextOf(one);
    if (typeof one.yields === "string") {
      expect(() => one.when(context)).toThrow(new PolicyError(one.yields));
      expect(codeOf(() => one.when(context))).toBe(one.yields);
    } else {
      expect(one.when(context)).toEqual(one.yields);
    }
  });
});

function codeOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (reason) {
    return reason instanceof PolicyError ? reason.code : reason;
  }
}

describe("patched", () => {
  it("keeps the order of addition: what stays in its place, what is new at the end", () => {
    const policy = policyOf({ secondFactors: ["otp", "u2f", "otp_email"] });
    const patch: PolicyPatch = { settings: {}, secondFactors: ["otp_sms", "otp_email", "otp", "otp_sms"] };
    expect(patched(policy, patch).secondFactors).toEqual(["otp", "otp_email", "otp_sms"]);
  });

  it.each<PolicyPatch>([
    { settings: { forceMfa: true } },
    { settings: {}, secondFactors: ["otp_sms", "u2f"] },
    { settings: { allowRegister: false }, secondFactors: [], multiFactors: [] },
    { settings: {}, secondFactors: ["recovery_codes", "otp_email", "u2f", "otp"] },
  ])("is what the events of an update lead to, in the same order: %j", (patch) => {
    const policy = policyOf({ secondFactors: ["u2f", "otp", "otp_email"] });
    const after = organizationAfter(event.policyAdded(policy), ...difference(policy, patched(policy, patch)));
    expect(after.loginPolicy).toMatchObject(patched(policy, patch));
  });
});
