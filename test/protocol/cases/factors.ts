import { Code } from "@connectrpc/connect";
import { MultiFactorType as Multi, SecondFactorType as Second } from "../../../gen/zitadel/policy_pb.ts";
import { added, admin, type Case, call, changed, list, management } from "../case.ts";

const otp = "SECOND_FACTOR_TYPE_OTP";
const u2f = "SECOND_FACTOR_TYPE_U2F";
const email = "SECOND_FACTOR_TYPE_OTP_EMAIL";
const sms = "SECOND_FACTOR_TYPE_OTP_SMS";
const recovery = "SECOND_FACTOR_TYPE_RECOVERY_CODES";
const verified = "MULTI_FACTOR_TYPE_U2F_WITH_VERIFICATION";

const addSecond = (type: Second) => call(management.addSecondFactorToLoginPolicy, { type });
const removeSecond = (type: Second) => call(management.removeSecondFactorFromLoginPolicy, { type });
const listSecond = call(management.listLoginPolicySecondFactors);
const addMulti = (type: Multi) => call(management.addMultiFactorToLoginPolicy, { type });
const removeMulti = (type: Multi) => call(management.removeMultiFactorFromLoginPolicy, { type });
const listMulti = call(management.listLoginPolicyMultiFactors);
const addDefaultSecond = (type: Second) => call(admin.addSecondFactorToLoginPolicy, { type });
const removeDefaultSecond = (type: Second) => call(admin.removeSecondFactorFromLoginPolicy, { type });
const listDefaultSecond = call(admin.listLoginPolicySecondFactors);
const addDefaultMulti = (type: Multi) => call(admin.addMultiFactorToLoginPolicy, { type });
const removeDefaultMulti = (type: Multi) => call(admin.removeMultiFactorFromLoginPolicy, { type });
const listDefaultMulti = call(admin.listLoginPolicyMultiFactors);
const ownPolicy = call(management.addCustomLoginPolicy, {
  secondFactors: [Second.OTP],
  multiFactors: [Multi.U2F_WITH_VERIFICATION],
});
const ownEmptyPolicy = call(management.addCustomLoginPolicy);

const exists = { code: Code.AlreadyExists, http: 409, text: "Multifactor already exists" };
const missing = { code: Code.NotFound, http: 404, text: "Multifactor not existing" };
const unspecifiedText = (request: string, name: string) =>
  `invalid ${request}.Type: value must not be in list [${name}]`;
const unspecified = (request: string, name: string) => ({
  code: Code.InvalidArgument,
  http: 400,
  text: unspecifiedText(request, name),
  field: "type",
});
const undefinedNumber = (request: string) => ({
  code: Code.InvalidArgument,
  http: 400,
  text: `invalid ${request}.Type: value must be one of the defined enum values`,
  field: "type",
});

/** The factor RPCs: inheritance, copy on write, order, refusals (as ZITADEL does, and where we differ). */
export const factorCases: readonly Case[] = [
  {
    name: "an organization without a policy lists the instance's second factors",
    when: listSecond,
    want: list(otp, u2f),
  },
  {
    name: "an organization without a policy lists the instance's multi-factors",
    when: listMulti,
    want: list(verified),
  },
  {
    name: "an inheriting organization sees a change of the instance at once",
    given: [addDefaultSecond(Second.OTP_SMS), removeDefaultSecond(Second.OTP)],
    when: listSecond,
    want: list(u2f, sms),
  },
  {
    name: "adding a factor that was not inherited copies the policy and adds it",
    when: addSecond(Second.OTP_EMAIL),
    want: { ...added(3), copied: true },
  },
  {
    name: "the added factor is listed after the inherited ones",
    given: [addSecond(Second.OTP_EMAIL)],
    when: listSecond,
    want: list(otp, u2f, email),
  },
  {
    name: "adding an inherited factor succeeds and makes it the organization's own",
    when: addSecond(Second.OTP),
    want: { ...added(2), copied: true },
  },
  {
    name: "an inherited factor that was added keeps its place",
    given: [addSecond(Second.U2F)],
    when: listSecond,
    want: list(otp, u2f),
  },
  {
    name: "adding a factor again is refused",
    given: [addSecond(Second.OTP)],
    when: addSecond(Second.OTP),
    want: { ...exists, id: "Org-2B0ps" },
  },
  {
    name: "adding a factor that an earlier copy brought is refused",
    given: [addSecond(Second.OTP_EMAIL)],
    when: addSecond(Second.U2F),
    want: { ...exists, id: "Org-2B0ps" },
  },
  {
    name: "removing an inherited factor that the list shows copies and succeeds",
    when: removeSecond(Second.OTP),
    want: { ...changed(3), copied: true },
  },
  {
    name: "the removed factor is gone from the list and the instance keeps it",
    given: [removeSecond(Second.OTP)],
    when: listSecond,
    want: list(u2f),
  },
  {
    name: "removing on an organization leaves the instance alone",
    given: [removeSecond(Second.OTP)],
    when: listDefaultSecond,
    want: list(otp, u2f),
  },
  {
    name: "removing a factor that the list does not show is refused",
    when: removeSecond(Second.OTP_SMS),
    want: { ...missing, id: "Org-3M9od" },
  },
  {
    name: "a refused removal copies nothing",
    given: [],
    when: call(management.resetLoginPolicyToDefault),
    want: { code: Code.NotFound, http: 404, text: "Login Policy not found", id: "Org-GHB37" },
  },
  {
    name: "a removed factor is added again at the end",
    given: [addSecond(Second.OTP_EMAIL), removeSecond(Second.OTP), addSecond(Second.OTP)],
    when: listSecond,
    want: list(u2f, email, otp),
  },
  {
    name: "recovery codes are a second factor",
    given: [addSecond(Second.RECOVERY_CODES)],
    when: listSecond,
    want: list(otp, u2f, recovery),
  },
  {
    name: "an organization of its own no longer follows the instance",
    given: [addSecond(Second.OTP_EMAIL), addDefaultSecond(Second.OTP_SMS)],
    when: listSecond,
    want: list(otp, u2f, email),
  },
  { name: "a custom policy may have no factor: second", given: [ownEmptyPolicy], when: listSecond, want: list() },
  { name: "a custom policy may have no factor: multi", given: [ownEmptyPolicy], when: listMulti, want: list() },
  {
    name: "adding to an own policy copies nothing",
    given: [ownEmptyPolicy],
    when: addSecond(Second.U2F),
    want: added(3),
  },
  {
    name: "removing the last factor is allowed while MFA is forced",
    given: [call(management.addCustomLoginPolicy, { forceMfa: true, secondFactors: [Second.OTP] })],
    when: removeSecond(Second.OTP),
    want: changed(3),
  },
  {
    name: "adding an inherited multi-factor succeeds and makes it the organization's own",
    when: addMulti(Multi.U2F_WITH_VERIFICATION),
    want: { ...added(2), copied: true },
  },
  {
    name: "adding a multi-factor that was not inherited copies the policy and adds it",
    given: [removeDefaultMulti(Multi.U2F_WITH_VERIFICATION)],
    when: addMulti(Multi.U2F_WITH_VERIFICATION),
    want: { ...added(3), copied: true },
  },
  {
    name: "adding a multi-factor again is refused",
    given: [ownPolicy],
    when: addMulti(Multi.U2F_WITH_VERIFICATION),
    want: { ...exists, id: "Org-3M9od" },
  },
  {
    name: "removing an inherited multi-factor copies and succeeds",
    when: removeMulti(Multi.U2F_WITH_VERIFICATION),
    want: { ...changed(3), copied: true },
  },
  {
    name: "the removed multi-factor is gone from the list",
    given: [removeMulti(Multi.U2F_WITH_VERIFICATION)],
    when: listMulti,
    want: list(),
  },
  {
    name: "removing a multi-factor that the list does not show is refused",
    given: [ownEmptyPolicy],
    when: removeMulti(Multi.U2F_WITH_VERIFICATION),
    want: { ...missing, id: "Org-3M9df" },
  },
  { name: "the instance lists its second factors", when: listDefaultSecond, want: list(otp, u2f) },
  { name: "the instance lists its multi-factors", when: listDefaultMulti, want: list(verified) },
  {
    name: "the instance's list ignores the organization header",
    given: [],
    organization: { header: "other" },
    when: listDefaultSecond,
    want: list(otp, u2f),
  },
  {
    name: "a second factor is added to the instance",
    when: addDefaultSecond(Second.OTP_SMS),
    want: added(2, "<instance>"),
  },
  {
    name: "a second factor that the instance has is refused",
    when: addDefaultSecond(Second.OTP),
    want: { ...exists, id: "INSTANCE-2B0ps" },
  },
  {
    name: "a second factor is removed from the instance",
    when: removeDefaultSecond(Second.OTP),
    want: changed(2, "<instance>"),
  },
  {
    name: "a second factor that the instance does not have cannot be removed",
    when: removeDefaultSecond(Second.OTP_SMS),
    want: { ...missing, id: "INSTANCE-3M9od" },
  },
  {
    name: "a multi-factor is added to the instance",
    given: [removeDefaultMulti(Multi.U2F_WITH_VERIFICATION)],
    when: addDefaultMulti(Multi.U2F_WITH_VERIFICATION),
    want: added(3, "<instance>"),
  },
  {
    name: "a multi-factor that the instance has is refused",
    when: addDefaultMulti(Multi.U2F_WITH_VERIFICATION),
    want: { ...exists, id: "INSTANCE-3M9od" },
  },
  {
    name: "a multi-factor that the instance does not have cannot be removed",
    given: [removeDefaultMulti(Multi.U2F_WITH_VERIFICATION)],
    when: removeDefaultMulti(Multi.U2F_WITH_VERIFICATION),
    want: { ...missing, id: "INSTANCE-3M9df" },
  },
  ...[
    {
      calls: [addSecond, addDefaultSecond],
      request: "AddSecondFactorToLoginPolicyRequest",
      name: "SECOND_FACTOR_TYPE_UNSPECIFIED",
    },
    {
      calls: [removeSecond, removeDefaultSecond],
      request: "RemoveSecondFactorFromLoginPolicyRequest",
      name: "SECOND_FACTOR_TYPE_UNSPECIFIED",
    },
    {
      calls: [addMulti, addDefaultMulti],
      request: "AddMultiFactorToLoginPolicyRequest",
      name: "MULTI_FACTOR_TYPE_UNSPECIFIED",
    },
    {
      calls: [removeMulti, removeDefaultMulti],
      request: "RemoveMultiFactorFromLoginPolicyRequest",
      name: "MULTI_FACTOR_TYPE_UNSPECIFIED",
    },
  ].flatMap(({ calls, request, name }) =>
    calls.flatMap((make, index): Case[] => {
      const where = index === 0 ? "of an organization" : "of the instance";
      return [
        { name: `${request} ${where} names no factor`, when: make(0 as never), want: unspecified(request, name) },
        {
          name: `${request} ${where} names an unknown number`,
          when: make(99 as never),
          want: undefinedNumber(request),
        },
      ];
    }),
  ),
];
