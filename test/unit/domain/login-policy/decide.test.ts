// Given a history, when a call is decided, it yields these events, or this refusal and none.
import { describe, expect, it } from "vitest";
import type { InstanceEvent, OrganizationEvent } from "../../../../src/domain/events.ts";
import * as decide from "../../../../src/domain/login-policy/decide.ts";
import { PolicyError, type PolicyErrorCode, policyRefusals } from "../../../../src/domain/login-policy/errors.ts";
import {
  type MultiFactor,
  type Named,
  type SecondFactor,
  secondFactors,
} from "../../../../src/domain/login-policy/factors.ts";
import type { LoginPolicy, LoginPolicySettings } from "../../../../src/domain/login-policy/settings.ts";
import { event, fold, organizationAfter, policyOf, settingsOf } from "../../../fixtures/builders.ts";

/** The published case table  with a sentence where ZITADEL shows a raw key. */
const published: Readonly<Record<Exclude<PolicyErrorCode, "organization_missing">, readonly [string, string, string]>> =
  {
    org_second_factor_invalid: ["invalid", "Org-5m9fs", "Multifactor invalid"],
    org_second_factor_exists: ["already_exists", "Org-2B0ps", "Multifactor already exists"],
    org_second_factor_remove_invalid: ["invalid", "Org-55n8s", "Multifactor invalid"],
    org_second_factor_missing: ["not_found", "Org-3M9od", "Multifactor not existing"],
    org_multi_factor_invalid: ["invalid", "Org-5m9fs", "Multifactor invalid"],
    org_multi_factor_exists: ["already_exists", "Org-3M9od", "Multifactor already exists"],
    org_multi_factor_missing: ["not_found", "Org-3M9df", "Multifactor not existing"],
    instance_second_factor_invalid: ["invalid", "INSTANCE-5m9fs", "Multifactor invalid"],
    instance_second_factor_exists: ["already_exists", "INSTANCE-2B0ps", "Multifactor already exists"],
    instance_second_factor_remove_invalid: ["invalid", "INSTANCE-55n8s", "Multifactor invalid"],
    instance_second_factor_missing: ["not_found", "INSTANCE-3M9od", "Multifactor not existing"],
    instance_multi_factor_invalid: ["invalid", "INSTANCE-5m9fs", "Multifactor invalid"],
    instance_multi_factor_exists: ["already_exists", "INSTANCE-3M9od", "Multifactor already exists"],
    instance_multi_factor_remove_invalid: ["invalid", "INSTANCE-33m9F", "Multifactor invalid"],
    instance_multi_factor_missing: ["not_found", "INSTANCE-3M9df", "Multifactor not existing"],
    org_policy_exists: [
      "already_exists",
      "Org-Dgfb2",
      "Login Policy already exists: change it with UpdateCustomLoginPolicy, or remove it with ResetLoginPolicyToDefault",
    ],
    org_add_second_factor_invalid: ["invalid", "Org-SFeea", "Multifactor invalid"],
    org_add_multi_factor_invalid: ["invalid", "Org-WSfrg", "Multifactor invalid"],
    org_add_idp_unknown: ["failed_precondition", "Org-FEd32", "Identity Provider Configuration doesn't exist"],
    org_add_redirect_invalid: ["invalid", "Org-WSfdq", "Default Redirect URI is invalid"],
    org_update_redirect_invalid: ["invalid", "Org-Sfd21", "Default Redirect URI is invalid"],
    org_update_policy_missing: ["not_found", "Org-M0sif", "Login Policy not found"],
    org_update_unchanged: ["failed_precondition", "Org-5M9vdd", "Login Policy has not been changed"],
    org_reset_policy_missing: ["not_found", "Org-GHB37", "Login Policy not found"],
    instance_update_redirect_invalid: ["invalid", "IAM-SFdqd", "Default Redirect URI is invalid"],
    instance_update_unchanged: ["failed_precondition", "INSTANCE-5M9vdd", "Default Login Policy has not been changed"],
    org_idp_policy_missing: ["not_found", "Org-Ffgw2", "Login Policy not found"],
    org_idp_unknown: ["failed_precondition", "Org-3N9fs", "Identity Provider Configuration doesn't exist"],
    org_idp_remove_policy_missing: ["not_found", "Org-GVDfe", "Login Policy not found"],
    org_idp_not_linked: ["not_found", "Org-39fjs", "Identity provider doesn't exist"],
    instance_idp_unknown: ["failed_precondition", "INSTANCE-m8fsd", "Identity Provider Configuration doesn't exist"],
    instance_idp_not_linked: ["not_found", "INSTANCE-39fjs", "Identity provider doesn't exist"],
  };

type RefusalCode = keyof typeof published;

interface Case {
  readonly title: string;
  /** Of the organization, after its OrganizationAdded. */
  readonly given?: readonly OrganizationEvent[];
  /** Of the instance, after its InstanceCreated with `instancePolicy`. */
  readonly givenInstance?: readonly InstanceEvent[];
  readonly instancePolicy?: LoginPolicy;
  readonly when: (context: decide.OrganizationContext) => readonly OrganizationEvent[];
  readonly yields: readonly OrganizationEvent[] | RefusalCode;
}

function contextOf({ given = [], givenInstance = [], instancePolicy = policyOf() }: Case): decide.OrganizationContext {
  const instanceEvents = [event.instanceCreated(instancePolicy), ...givenInstance];
  return {
    own: organizationAfter(...given).loginPolicy,
    inherited: fold("instance", instanceEvents).loginPolicy,
    inheritedSequence: instanceEvents.length,
  };
}

/** Both kinds of factor follow the same rules, with events and refusals of their own. */
interface Kind<F> {
  readonly kind: Parameters<typeof decide.addOrganizationFactor<F>>[0];
  readonly factor: F;
  readonly added: OrganizationEvent & InstanceEvent;
  readonly removed: OrganizationEvent & InstanceEvent;
  /** Policies whose list of this kind holds the factor alone, and nothing. */
  readonly having: LoginPolicy;
  readonly lacking: LoginPolicy;
  readonly org: Refusals;
  readonly instance: Refusals;
}
type Refusals = Readonly<Record<"addInvalid" | "exists" | "removeInvalid" | "missing", RefusalCode>>;

const secondFactor: Kind<SecondFactor> = {
  kind: decide.secondFactorKind,
  factor: "otp",
  added: event.secondFactorAdded("otp"),
  removed: event.secondFactorRemoved("otp"),
  having: policyOf({ secondFactors: ["otp"] }),
  lacking: policyOf({ secondFactors: [] }),
  org: {
    addInvalid: "org_second_factor_invalid",
    exists: "org_second_factor_exists",
    removeInvalid: "org_second_factor_remove_invalid",
    missing: "org_second_factor_missing",
  },
  instance: {
    addInvalid: "instance_second_factor_invalid",
    exists: "instance_second_factor_exists",
    removeInvalid: "instance_second_factor_remove_invalid",
    missing: "instance_second_factor_missing",
  },
};

const multiFactor: Kind<MultiFactor> = {
  kind: decide.multiFactorKind,
  factor: "u2f_with_verification",
  added: event.multiFactorAdded("u2f_with_verification"),
  removed: event.multiFactorRemoved("u2f_with_verification"),
  having: policyOf({ multiFactors: ["u2f_with_verification"] }),
  lacking: policyOf({ multiFactors: [] }),
  org: {
    addInvalid: "org_multi_factor_invalid",
    exists: "org_multi_factor_exists",
    removeInvalid: "org_multi_factor_invalid",
    missing: "org_multi_factor_missing",
  },
  instance: {
    addInvalid: "instance_multi_factor_invalid",
    exists: "instance_multi_factor_exists",
    removeInvalid: "instance_multi_factor_remove_invalid",
    missing: "instance_multi_factor_missing",
  },
};

function organizationFactorCases<F>({ kind, factor, added, removed, having, lacking, org }: Kind<F>): Case[] {
  const adding = (wanted: Named<F>) => (context: decide.OrganizationContext) =>
    decide.addOrganizationFactor(kind, context, wanted);
  const removing = (wanted: Named<F>) => (context: decide.OrganizationContext) =>
    decide.removeOrganizationFactor(kind, context, wanted);
  const [add, addNone] = [adding(factor), adding(undefined)];
  const [remove, removeNone] = [removing(factor), removing(undefined)];

  return [
    {
      title: "add of a factor that is inherited copies the policy, which holds it in its place",
      instancePolicy: having,
      when: add,
      yields: [event.policyCopied(having, 1)],
    },
    {
      title: "add of a factor that is not inherited copies the policy and appends the factor",
      instancePolicy: lacking,
      when: add,
      yields: [event.policyCopied(lacking, 1), added],
    },
    {
      title: "remove of a factor that is inherited copies the policy and takes the factor away",
      instancePolicy: having,
      when: remove,
      yields: [event.policyCopied(having, 1), removed],
    },
    {
      title: "remove of a factor that the inherited list does not show is refused",
      instancePolicy: lacking,
      when: remove,
      yields: org.missing,
    },
    {
      title: "the copy is of the instance as it is now, and names its sequence",
      instancePolicy: lacking,
      givenInstance: [event.policyChanged({ forceMfa: true }), added],
      when: remove,
      yields: [event.policyCopied({ ...having, settings: settingsOf({ forceMfa: true }) }, 3), removed],
    },
    {
      title: "add of a factor that is owned by an earlier copy is refused",
      instancePolicy: having,
      given: [event.policyCopied(having, 1)],
      when: add,
      yields: org.exists,
    },
    {
      title: "add of a factor that is owned is refused, whatever the instance has",
      instancePolicy: lacking,
      given: [event.policyAdded(having)],
      when: add,
      yields: org.exists,
    },
    {
      title: "add of a factor that the own policy lacks needs no copy, whatever the instance has",
      instancePolicy: having,
      given: [event.policyAdded(lacking)],
      when: add,
      yields: [added],
    },
    {
      title: "remove of an owned factor takes it away, without a copy",
      given: [event.policyAdded(having)],
      when: remove,
      yields: [removed],
    },
    {
      title: "remove of a factor that only the instance has is refused: a policy of its own inherits nothing",
      instancePolicy: having,
      given: [event.policyAdded(lacking)],
      when: remove,
      yields: org.missing,
    },
    {
      title: "remove is refused the second time",
      given: [event.policyAdded(having), removed],
      when: remove,
      yields: org.missing,
    },
    {
      title: "add of a removed factor is accepted again",
      given: [event.policyAdded(having), removed],
      when: add,
      yields: [added],
    },
    {
      title: "the last factor may be removed while force_mfa is on",
      given: [event.policyAdded({ ...having, settings: settingsOf({ forceMfa: true }) })],
      when: remove,
      yields: [removed],
    },
    {
      title: "after a reset the organization owns nothing, so add copies again",
      instancePolicy: having,
      given: [event.policyAdded(having), event.policyRemoved()],
      when: add,
      yields: [event.policyCopied(having, 1)],
    },
    {
      title: "after a reset and a new policy without the factor, add is accepted",
      given: [event.policyAdded(having), event.policyRemoved(), event.policyAdded(lacking)],
      when: add,
      yields: [added],
    },
    { title: "add of what is no factor is refused, without a copy", when: addNone, yields: org.addInvalid },
    { title: "remove of what is no factor is refused, without a copy", when: removeNone, yields: org.removeInvalid },
    {
      title: "add of what is no factor is refused also with an own policy",
      given: [event.policyAdded()],
      when: addNone,
      yields: org.addInvalid,
    },
    {
      title: "remove of what is no factor is refused also with an own policy",
      given: [event.policyAdded()],
      when: removeNone,
      yields: org.removeInvalid,
    },
  ];
}

function instanceFactorCases<F>({ kind, factor, added, removed, having, lacking, instance }: Kind<F>): Case[] {
  const add = ({ inherited }: decide.OrganizationContext) => decide.addInstanceFactor(kind, inherited, factor);
  const remove = ({ inherited }: decide.OrganizationContext) => decide.removeInstanceFactor(kind, inherited, factor);
  return [
    { title: "add of a factor that is absent appends it", instancePolicy: lacking, when: add, yields: [added] },
    {
      title: "add of a factor that is present is refused",
      instancePolicy: having,
      when: add,
      yields: instance.exists,
    },
    {
      title: "add of a removed factor is accepted again",
      instancePolicy: having,
      givenInstance: [removed],
      when: add,
      yields: [added],
    },
    {
      title: "remove of a factor that is present takes it away",
      instancePolicy: having,
      when: remove,
      yields: [removed],
    },
    {
      title: "remove of a factor that is absent is refused",
      instancePolicy: lacking,
      when: remove,
      yields: instance.missing,
    },
    {
      title: "remove is refused the second time",
      instancePolicy: having,
      givenInstance: [removed],
      when: remove,
      yields: instance.missing,
    },
    {
      title: "add of what is no factor is refused",
      when: ({ inherited }) => decide.addInstanceFactor(kind, inherited, undefined),
      yields: instance.addInvalid,
    },
    {
      title: "remove of what is no factor is refused",
      when: ({ inherited }) => decide.removeInstanceFactor(kind, inherited, undefined),
      yields: instance.removeInvalid,
    },
  ];
}

const badRedirect = settingsOf({ defaultRedirectUri: "no scheme" });

const wantedOf = (wanted: Partial<decide.WantedLoginPolicy> = {}): decide.WantedLoginPolicy => ({
  settings: settingsOf(),
  secondFactors: [],
  multiFactors: [],
  idpIds: [],
  ...wanted,
});
const addCustom = (wanted: Partial<decide.WantedLoginPolicy>) => (context: decide.OrganizationContext) =>
  decide.addCustomLoginPolicy(context.own, wantedOf(wanted));

const addCustomCases: readonly Case[] = [
  {
    title: "copies nothing from the instance",
    instancePolicy: policyOf({ settings: settingsOf({ forceMfa: true }), secondFactors: ["otp_sms"] }),
    when: addCustom({}),
    yields: [event.policyAdded(policyOf({ secondFactors: [], multiFactors: [] }))],
  },
  {
    title: "keeps the order of the request, not that of the numbers",
    when: addCustom({ secondFactors: ["recovery_codes", "otp_sms", "otp"], multiFactors: ["u2f_with_verification"] }),
    yields: [event.policyAdded(policyOf({ secondFactors: ["recovery_codes", "otp_sms", "otp"] }))],
  },
  {
    title: "drops repeated factors, the first of each kept",
    when: addCustom({
      secondFactors: ["u2f", "otp", "u2f", "otp", "otp"],
      multiFactors: ["u2f_with_verification", "u2f_with_verification"],
    }),
    yields: [event.policyAdded(policyOf({ secondFactors: ["u2f", "otp"] }))],
  },
  {
    title: "is accepted again after a reset",
    given: [event.policyAdded(), event.policyRemoved()],
    when: addCustom({}),
    yields: [event.policyAdded(policyOf({ secondFactors: [], multiFactors: [] }))],
  },
  {
    title: "is refused with an own policy",
    given: [event.policyAdded()],
    when: addCustom({}),
    yields: "org_policy_exists",
  },
  {
    title: "is refused after a copy",
    given: [event.policyCopied(policyOf(), 1)],
    when: addCustom({}),
    yields: "org_policy_exists",
  },
  {
    title: "is refused for a bad second factor",
    when: addCustom({ secondFactors: ["otp", undefined] }),
    yields: "org_add_second_factor_invalid",
  },
  {
    title: "is refused for a bad multi-factor",
    when: addCustom({ multiFactors: [undefined] }),
    yields: "org_add_multi_factor_invalid",
  },
  {
    title: "is refused for any identity provider: none exists",
    when: addCustom({ idpIds: ["1"] }),
    yields: "org_add_idp_unknown",
  },
  {
    title: "is refused for a bad redirect URI",
    when: addCustom({ settings: badRedirect }),
    yields: "org_add_redirect_invalid",
  },
  {
    title: "checks the redirect URI before the factors",
    given: [event.policyAdded()],
    when: addCustom({ settings: badRedirect, secondFactors: [undefined], multiFactors: [undefined], idpIds: ["1"] }),
    yields: "org_add_redirect_invalid",
  },
  {
    title: "checks second factors before multi-factors",
    given: [event.policyAdded()],
    when: addCustom({ secondFactors: [undefined], multiFactors: [undefined], idpIds: ["1"] }),
    yields: "org_add_second_factor_invalid",
  },
  {
    title: "checks factors before whether there is a policy",
    given: [event.policyAdded()],
    when: addCustom({ multiFactors: [undefined], idpIds: ["1"] }),
    yields: "org_add_multi_factor_invalid",
  },
  {
    title: "checks whether there is a policy before the identity providers",
    given: [event.policyAdded()],
    when: addCustom({ idpIds: ["1"] }),
    yields: "org_policy_exists",
  },
];

const updateCustom =
  (wanted: LoginPolicySettings) =>
  ({ own }: decide.OrganizationContext) =>
    decide.updateCustomLoginPolicy(own, wanted);
const updateInstance =
  (wanted: LoginPolicySettings) =>
  ({ inherited }: decide.OrganizationContext) =>
    decide.updateInstanceLoginPolicy(inherited, wanted);

const updateCases: readonly Case[] = [
  {
    title: "organization: replaces every setting",
    given: [event.policyAdded()],
    when: updateCustom(settingsOf({ forceMfa: true, defaultRedirectUri: "https://acme.example" })),
    yields: [event.policyChanged({ forceMfa: true, defaultRedirectUri: "https://acme.example" })],
  },
  {
    title: "organization: compares with its own settings, not the instance's",
    given: [event.policyAdded(policyOf({ settings: settingsOf({ forceMfa: true }) }))],
    when: updateCustom(settingsOf()),
    yields: [event.policyChanged({})],
  },
  {
    title: "organization: refuses to change nothing",
    given: [event.policyAdded()],
    when: updateCustom(settingsOf()),
    yields: "org_update_unchanged",
  },
  {
    title: "organization: refuses to change nothing since the last update",
    given: [event.policyAdded(), event.policyChanged({ forceMfa: true })],
    when: updateCustom(settingsOf({ forceMfa: true })),
    yields: "org_update_unchanged",
  },
  {
    title: "organization: never copies",
    when: updateCustom(settingsOf({ forceMfa: true })),
    yields: "org_update_policy_missing",
  },
  {
    title: "organization: refuses a bad redirect URI",
    given: [event.policyAdded()],
    when: updateCustom(badRedirect),
    yields: "org_update_redirect_invalid",
  },
  {
    title: "organization: checks the redirect URI before whether there is a policy",
    when: updateCustom(badRedirect),
    yields: "org_update_redirect_invalid",
  },
  {
    title: "instance: replaces every setting",
    when: updateInstance(settingsOf({ hidePasswordReset: true })),
    yields: [event.policyChanged({ hidePasswordReset: true })],
  },
  {
    title: "instance: refuses to change nothing",
    when: updateInstance(settingsOf()),
    yields: "instance_update_unchanged",
  },
  {
    title: "instance: refuses a bad redirect URI",
    when: updateInstance(badRedirect),
    yields: "instance_update_redirect_invalid",
  },
];

const reset = ({ own }: decide.OrganizationContext) => decide.resetLoginPolicy(own);
const resetCases: readonly Case[] = [
  { title: "removes the own policy", given: [event.policyAdded()], when: reset, yields: [event.policyRemoved()] },
  {
    title: "removes a copied policy",
    given: [event.policyCopied(policyOf(), 1)],
    when: reset,
    yields: [event.policyRemoved()],
  },
  { title: "never copies", when: reset, yields: "org_reset_policy_missing" },
  {
    title: "is refused the second time",
    given: [event.policyAdded(), event.policyRemoved()],
    when: reset,
    yields: "org_reset_policy_missing",
  },
];

const addIdp = ({ own }: decide.OrganizationContext) => decide.addOrganizationIdp(own);
const removeIdp = ({ own }: decide.OrganizationContext) => decide.removeOrganizationIdp(own);
const idpCases: readonly Case[] = [
  { title: "organization: add never copies", when: addIdp, yields: "org_idp_policy_missing" },
  {
    title: "organization: add knows no provider",
    given: [event.policyAdded()],
    when: addIdp,
    yields: "org_idp_unknown",
  },
  { title: "organization: remove never copies", when: removeIdp, yields: "org_idp_remove_policy_missing" },
  {
    title: "organization: remove knows no link",
    given: [event.policyAdded()],
    when: removeIdp,
    yields: "org_idp_not_linked",
  },
  { title: "instance: add knows no provider", when: () => decide.addInstanceIdp(), yields: "instance_idp_unknown" },
  {
    title: "instance: remove knows no link",
    when: () => decide.removeInstanceIdp(),
    yields: "instance_idp_not_linked",
  },
];

const tables: Readonly<Record<string, readonly Case[]>> = {
  "a second factor of an organization": organizationFactorCases(secondFactor),
  "a multi-factor of an organization": organizationFactorCases(multiFactor),
  "a second factor of the instance": instanceFactorCases(secondFactor),
  "a multi-factor of the instance": instanceFactorCases(multiFactor),
  addCustomLoginPolicy: addCustomCases,
  "update of a login policy": updateCases,
  resetLoginPolicy: resetCases,
  "identity providers": idpCases,
};

describe.each(Object.entries(tables))("%s", (_, cases) => {
  it.each(cases)("$title", (one) => {
    const context = contextOf(one);
    if (typeof one.yields !== "string") {
      expect(one.when(context)).toEqual(one.yields);
      return;
    }
    const [kind, id, text] = published[one.yields];
    const refusal = refusalOf(() => one.when(context));
    expect({ code: refusal.code, kind: refusal.kind, id: refusal.id, text: refusal.message }).toEqual({
      code: one.yields,
      kind,
      id,
      text,
    });
  });
});

function refusalOf(act: () => unknown): PolicyError {
  try {
    act();
  } catch (reason) {
    if (reason instanceof PolicyError) return reason;
    throw reason;
  }
  throw new Error("it was not refused");
}

describe("second factors of an organization", () => {
  const { kind } = secondFactor;
  const listAfter = (...given: OrganizationEvent[]) => organizationAfter(...given).loginPolicy?.secondFactors;

  it("appends a re-added factor at the end", () => {
    const given = [
      event.policyAdded(policyOf({ secondFactors: ["otp", "u2f", "otp_sms"] })),
      event.secondFactorRemoved("otp"),
    ];
    const { loginPolicy: own } = organizationAfter(...given);
    const events = decide.addOrganizationFactor(kind, { own, inherited: policyOf(), inheritedSequence: 1 }, "otp");
    expect(listAfter(...given, ...events)).toEqual(["u2f", "otp_sms", "otp"]);
  });

  it("keeps the inherited order when a copy adds a factor", () => {
    const inherited = policyOf({ secondFactors: ["u2f", "otp"] });
    const events = decide.addOrganizationFactor(kind, { own: undefined, inherited, inheritedSequence: 1 }, "otp_email");
    expect(listAfter(...events)).toEqual(["u2f", "otp", "otp_email"]);
  });

  it("keeps the inherited order when a copy adds an inherited factor", () => {
    const inherited = policyOf({ secondFactors: ["u2f", "otp"] });
    const events = decide.addOrganizationFactor(kind, { own: undefined, inherited, inheritedSequence: 1 }, "u2f");
    expect(listAfter(...events)).toEqual(["u2f", "otp"]);
  });

  it("keeps the other factors and all settings when a copy removes one", () => {
    const inherited = policyOf({
      settings: settingsOf({ forceMfa: true, mfaInitSkipLifetime: { seconds: 1, nanos: 5 } }),
      secondFactors: ["u2f", "otp", "otp_sms"],
    });
    const events = decide.removeOrganizationFactor(kind, { own: undefined, inherited, inheritedSequence: 1 }, "otp");
    expect(organizationAfter(...events).loginPolicy).toMatchObject({
      ...inherited,
      secondFactors: ["u2f", "otp_sms"],
    });
  });

  it.each(secondFactors)("%s can be added to and removed from an empty policy", (factor) => {
    const empty = { own: policyOf({ secondFactors: [] }), inherited: policyOf(), inheritedSequence: 1 };
    const full = { ...empty, own: policyOf({ secondFactors: [factor] }) };
    expect(decide.addOrganizationFactor(kind, empty, factor)).toEqual([event.secondFactorAdded(factor)]);
    expect(decide.removeOrganizationFactor(kind, full, factor)).toEqual([event.secondFactorRemoved(factor)]);
  });
});

describe("the refusals", () => {
  it("are those of the published table, and one that the commands raise", () => {
    expect(Object.keys(policyRefusals).sort()).toEqual([...Object.keys(published), "organization_missing"].sort());
  });

  it("are each reached by a case", () => {
    const reached = Object.values(tables)
      .flat()
      .map((one) => one.yields)
      .filter((wanted) => typeof wanted === "string");
    expect([...new Set(reached)].sort()).toEqual(Object.keys(published).sort());
  });

  it("tell of a missing organization as the request gate does", () => {
    const { kind, id, message } = new PolicyError("organization_missing");
    expect([kind, id, message]).toEqual(["permission_denied", "AUTH-Bs7Ds", "Organisation doesn't exist"]);
  });
});
