import { Code } from "@connectrpc/connect";
import { IDPOwnerType } from "../../../gen/zitadel/idp_pb.ts";
import {
  MultiFactorType as Multi,
  PasswordlessType,
  SecondFactorType as Second,
} from "../../../gen/zitadel/policy_pb.ts";
import { added, admin, type Case, call, changed, list, management, type Success } from "../case.ts";

const get = call(management.getLoginPolicy);
const getDefault = call(management.getDefaultLoginPolicy);
const reset = call(management.resetLoginPolicyToDefault);
const lifetime = (seconds: bigint, nanos = 0) => ({ seconds, nanos });

const settings = {
  allowUsernamePassword: true,
  allowRegister: false,
  allowExternalIdp: true,
  forceMfa: true,
  forceMfaLocalOnly: true,
  passwordlessType: PasswordlessType.ALLOWED,
  hidePasswordReset: true,
  ignoreUnknownUsernames: true,
  allowDomainDiscovery: true,
  disableLoginWithEmail: true,
  disableLoginWithPhone: true,
  defaultRedirectUri: "https://example.com/after?x=1",
  passwordCheckLifetime: lifetime(1n, 500_000_000),
  externalLoginCheckLifetime: lifetime(864_000n),
  mfaInitSkipLifetime: lifetime(0n, 1),
  secondFactorCheckLifetime: lifetime(-3n, -250_000_000),
  multiFactorCheckLifetime: lifetime(315_576_000_000n),
};
const settingsJson = {
  ...settings,
  passwordlessType: "PASSWORDLESS_TYPE_ALLOWED",
  passwordCheckLifetime: "1.500s",
  externalLoginCheckLifetime: "864000s",
  mfaInitSkipLifetime: "0.000000001s",
  secondFactorCheckLifetime: "-3.250s",
  multiFactorCheckLifetime: "315576000000s",
};
const emptyJson = {
  allowUsernamePassword: false,
  allowRegister: false,
  allowExternalIdp: false,
  forceMfa: false,
  forceMfaLocalOnly: false,
  passwordlessType: "PASSWORDLESS_TYPE_NOT_ALLOWED",
  hidePasswordReset: false,
  ignoreUnknownUsernames: false,
  allowDomainDiscovery: false,
  disableLoginWithEmail: false,
  disableLoginWithPhone: false,
  defaultRedirectUri: "",
  passwordCheckLifetime: "0s",
  externalLoginCheckLifetime: "0s",
  mfaInitSkipLifetime: "0s",
  secondFactorCheckLifetime: "0s",
  multiFactorCheckLifetime: "0s",
};
const defaultsJson = {
  ...emptyJson,
  allowUsernamePassword: true,
  allowRegister: true,
  allowExternalIdp: true,
  allowDomainDiscovery: true,
  passwordlessType: "PASSWORDLESS_TYPE_ALLOWED",
  passwordCheckLifetime: "864000s",
  externalLoginCheckLifetime: "864000s",
  mfaInitSkipLifetime: "2592000s",
  secondFactorCheckLifetime: "64800s",
  multiFactorCheckLifetime: "43200s",
};

/** A policy as a read shows it. */
const policy = (shown: {
  sequence: number;
  owner: string;
  isDefault: boolean;
  second?: string[];
  multi?: string[];
}) => ({
  details: {
    sequence: String(shown.sequence),
    creationDate: "<time>",
    changeDate: "<time>",
    resourceOwner: shown.owner,
  },
  isDefault: shown.isDefault,
  secondFactors: (shown.second ?? []).map((name) => `SECOND_FACTOR_TYPE_${name}`),
  multiFactors: (shown.multi ?? []).map((name) => `MULTI_FACTOR_TYPE_${name}`),
  idps: [],
});
const instancePolicy = {
  ...defaultsJson,
  ...policy({
    sequence: 1,
    owner: "<instance>",
    isDefault: true,
    second: ["OTP", "U2F"],
    multi: ["U2F_WITH_VERIFICATION"],
  }),
};
const shown = (body: Success["body"]): Success => ({ body });

const update = call(management.updateCustomLoginPolicy, settings);
const updateDefault = call(admin.updateLoginPolicy, settings);
const addOwn = call(management.addCustomLoginPolicy, settings);
const invalid = { code: Code.InvalidArgument, http: 400 };
const badRedirect = { ...invalid, text: "Default Redirect URI is invalid" };
const badFactor = { ...invalid, text: "Multifactor invalid" };
const noPolicy = { code: Code.NotFound, http: 404, text: "Login Policy not found" };
const idpUnknown = {
  code: Code.FailedPrecondition,
  http: 400,
  text: "Identity Provider Configuration doesn't exist",
};
const idp = { idpId: "217471908375560193", ownerType: IDPOwnerType.IDP_OWNER_TYPE_ORG };

/** The login-policy and IDP RPCs. */
export const policyCases: readonly Case[] = [
  {
    name: "an organization without a policy shows the instance's",
    when: get,
    want: shown({ policy: instancePolicy, isDefault: true }),
  },
  { name: "the default policy is the instance's", when: getDefault, want: shown({ policy: instancePolicy }) },
  {
    name: "the default policy stays the instance's for an organization with its own",
    given: [addOwn],
    when: getDefault,
    want: shown({ policy: instancePolicy }),
  },
  {
    name: "the admin service shows the instance's policy",
    when: call(admin.getLoginPolicy),
    want: shown({ policy: instancePolicy }),
  },
  { name: "a custom policy is added", when: addOwn, want: added(2) },
  {
    name: "a custom policy holds what was given and nothing of the instance",
    given: [addOwn],
    when: get,
    want: shown({
      policy: { ...settingsJson, ...policy({ sequence: 2, owner: "<default>", isDefault: false }) },
      isDefault: false,
    }),
  },
  {
    name: "an empty custom policy is all off",
    given: [call(management.addCustomLoginPolicy)],
    when: get,
    want: shown({
      policy: { ...emptyJson, ...policy({ sequence: 2, owner: "<default>", isDefault: false }) },
      isDefault: false,
    }),
  },
  {
    name: "a copied policy holds everything of the instance's",
    given: [call(management.addSecondFactorToLoginPolicy, { type: Second.OTP_SMS })],
    when: get,
    want: shown({
      policy: {
        ...defaultsJson,
        ...policy({
          sequence: 3,
          owner: "<default>",
          isDefault: false,
          second: ["OTP", "U2F", "OTP_SMS"],
          multi: ["U2F_WITH_VERIFICATION"],
        }),
      },
      isDefault: false,
    }),
  },
  {
    name: "factors given twice are kept once, in their order",
    given: [
      call(management.addCustomLoginPolicy, {
        secondFactors: [Second.U2F, Second.OTP, Second.U2F],
        multiFactors: [Multi.U2F_WITH_VERIFICATION, Multi.U2F_WITH_VERIFICATION],
      }),
    ],
    when: call(management.listLoginPolicySecondFactors),
    want: list("SECOND_FACTOR_TYPE_U2F", "SECOND_FACTOR_TYPE_OTP"),
  },
  {
    name: "a second custom policy is refused",
    given: [addOwn],
    when: addOwn,
    want: {
      code: Code.AlreadyExists,
      http: 409,
      id: "Org-Dgfb2",
      text: "Login Policy already exists: change it with UpdateCustomLoginPolicy, or remove it with ResetLoginPolicyToDefault",
    },
  },
  {
    name: "a custom policy after a copy is refused",
    given: [call(management.addSecondFactorToLoginPolicy, { type: Second.OTP })],
    when: addOwn,
    want: {
      code: Code.AlreadyExists,
      http: 409,
      id: "Org-Dgfb2",
      text: "Login Policy already exists: change it with UpdateCustomLoginPolicy, or remove it with ResetLoginPolicyToDefault",
    },
  },
  {
    name: "a custom policy with an unspecified second factor is refused",
    when: call(management.addCustomLoginPolicy, { secondFactors: [Second.OTP, Second.UNSPECIFIED] }),
    want: { ...badFactor, id: "Org-SFeea" },
  },
  {
    name: "a custom policy with an unknown multi-factor is refused",
    when: call(management.addCustomLoginPolicy, { multiFactors: [77 as Multi] }),
    want: { ...badFactor, id: "Org-WSfrg" },
  },
  {
    name: "a bad factor is told before the policy that exists",
    given: [addOwn],
    when: call(management.addCustomLoginPolicy, { secondFactors: [Second.UNSPECIFIED] }),
    want: { ...badFactor, id: "Org-SFeea" },
  },
  {
    name: "a custom policy with a bad redirect URI is refused",
    when: call(management.addCustomLoginPolicy, { defaultRedirectUri: "no-scheme" }),
    want: { ...badRedirect, id: "Org-WSfdq" },
  },
  {
    name: "localhost:8080 is a redirect URI",
    when: call(management.addCustomLoginPolicy, { defaultRedirectUri: "localhost:8080" }),
    want: added(2),
  },
  {
    name: "a custom policy with an IDP is refused, since none exists",
    when: call(management.addCustomLoginPolicy, { idps: [idp] }),
    want: { ...idpUnknown, id: "Org-FEd32" },
  },
  {
    name: "an invalid IDP of a custom policy is named",
    when: call(management.addCustomLoginPolicy, { idps: [idp, { ...idp, idpId: "" }] }),
    want: {
      ...invalid,
      text:
        "invalid AddCustomLoginPolicyRequest.Idps[1]: embedded message failed validation | caused by: " +
        "invalid AddCustomLoginPolicyRequest_IDP.IdpId: value length must be between 1 and 200 runes, inclusive",
      field: "idps[1].idp_id",
    },
  },
  {
    name: "an unknown passwordless type is refused",
    when: call(management.addCustomLoginPolicy, { passwordlessType: 9 as PasswordlessType }),
    want: {
      ...invalid,
      text: "invalid AddCustomLoginPolicyRequest.PasswordlessType: value must be one of the defined enum values",
      field: "passwordless_type",
    },
  },
  {
    name: "updating replaces every setting",
    given: [call(management.addCustomLoginPolicy, { secondFactors: [Second.U2F] }), update],
    when: get,
    want: shown({
      policy: { ...settingsJson, ...policy({ sequence: 3, owner: "<default>", isDefault: false, second: ["U2F"] }) },
      isDefault: false,
    }),
  },
  { name: "an update is answered", given: [call(management.addCustomLoginPolicy)], when: update, want: changed(3) },
  {
    name: "an absent setting is switched off by an update",
    given: [addOwn, call(management.updateCustomLoginPolicy)],
    when: get,
    want: shown({
      policy: { ...emptyJson, ...policy({ sequence: 3, owner: "<default>", isDefault: false }) },
      isDefault: false,
    }),
  },
  {
    name: "an update that changes nothing is refused",
    given: [addOwn],
    when: update,
    want: { code: Code.FailedPrecondition, http: 400, id: "Org-5M9vdd", text: "Login Policy has not been changed" },
  },
  {
    name: "an update without an own policy is refused and copies nothing",
    when: update,
    want: { ...noPolicy, id: "Org-M0sif" },
  },
  {
    name: "an update with a bad redirect URI is refused",
    when: call(management.updateCustomLoginPolicy, { defaultRedirectUri: "https://" }),
    want: { ...badRedirect, id: "Org-Sfd21" },
  },
  { name: "a reset is answered", given: [addOwn], when: reset, want: changed(3) },
  {
    name: "after a reset the instance's policy applies again",
    given: [addOwn, reset],
    when: get,
    want: shown({ policy: instancePolicy, isDefault: true }),
  },
  { name: "a reset without an own policy is refused", when: reset, want: { ...noPolicy, id: "Org-GHB37" } },
  {
    name: "a second reset is refused",
    given: [addOwn, reset],
    when: reset,
    want: { ...noPolicy, id: "Org-GHB37" },
  },
  {
    name: "a factor can be added again after a reset",
    given: [call(management.addSecondFactorToLoginPolicy, { type: Second.OTP_EMAIL }), reset],
    when: call(management.addSecondFactorToLoginPolicy, { type: Second.OTP_EMAIL }),
    want: { ...added(6), copied: true },
  },
  { name: "the instance's policy is updated", when: updateDefault, want: changed(2, "<instance>") },
  {
    name: "the instance's update replaces every setting and keeps the factors",
    given: [updateDefault],
    when: call(admin.getLoginPolicy),
    want: shown({
      policy: { ...instancePolicy, ...settingsJson, details: { ...instancePolicy.details, sequence: "2" } },
    }),
  },
  {
    name: "an update of the instance that changes nothing is refused",
    given: [updateDefault],
    when: updateDefault,
    want: {
      code: Code.FailedPrecondition,
      http: 400,
      id: "INSTANCE-5M9vdd",
      text: "Default Login Policy has not been changed",
    },
  },
  {
    name: "an update of the instance with a bad redirect URI is refused",
    when: call(admin.updateLoginPolicy, { defaultRedirectUri: "http:///path" }),
    want: { ...badRedirect, id: "IAM-SFdqd" },
  },
  { name: "no IDP is linked to an organization's policy", when: call(management.listLoginPolicyIDPs), want: list() },
  {
    name: "no IDP is linked to the instance's policy, whatever the query",
    when: call(admin.listLoginPolicyIDPs, { query: { offset: 5n, limit: 1, asc: true } }),
    want: list(),
  },
  {
    name: "linking an IDP without an own policy is refused",
    when: call(management.addIDPToLoginPolicy, idp),
    want: { ...noPolicy, id: "Org-Ffgw2" },
  },
  {
    name: "linking an IDP that does not exist is refused",
    given: [addOwn],
    when: call(management.addIDPToLoginPolicy, idp),
    want: { ...idpUnknown, id: "Org-3N9fs" },
  },
  {
    name: "linking an IDP without an owner type is refused",
    when: call(management.addIDPToLoginPolicy, { idpId: "1" }),
    want: {
      ...invalid,
      text: "invalid AddIDPToLoginPolicyRequest.OwnerType: value must not be in list [IDP_OWNER_TYPE_UNSPECIFIED]",
      field: "ownerType",
    },
  },
  {
    name: "linking an IDP with an id that is too long is refused",
    when: call(admin.addIDPToLoginPolicy, { idpId: "x".repeat(201) }),
    want: {
      ...invalid,
      text: "invalid AddIDPToLoginPolicyRequest.IdpId: value length must be between 1 and 200 runes, inclusive",
      field: "idp_id",
    },
  },
  {
    name: "unlinking an IDP without an own policy is refused",
    when: call(management.removeIDPFromLoginPolicy, { idpId: "1" }),
    want: { ...noPolicy, id: "Org-GVDfe" },
  },
  {
    name: "unlinking an IDP that is not linked is refused",
    given: [addOwn],
    when: call(management.removeIDPFromLoginPolicy, { idpId: "a/b c" }),
    want: { code: Code.NotFound, http: 404, id: "Org-39fjs", text: "Identity provider doesn't exist" },
  },
  {
    name: "linking an IDP to the instance is refused, since none exists",
    when: call(admin.addIDPToLoginPolicy, { idpId: "1" }),
    want: { ...idpUnknown, id: "INSTANCE-m8fsd" },
  },
  {
    name: "unlinking an IDP from the instance is refused, since none is linked",
    when: call(admin.removeIDPFromLoginPolicy, { idpId: "1" }),
    want: { code: Code.NotFound, http: 404, id: "INSTANCE-39fjs", text: "Identity provider doesn't exist" },
  },
];
