import { Code } from "@connectrpc/connect";
import { SecondFactorType as Second } from "../../../gen/zitadel/policy_pb.ts";
import { added, admin, type Case, call, list, management } from "../case.ts";

const listSecond = call(management.listLoginPolicySecondFactors);
const addSecond = call(management.addSecondFactorToLoginPolicy, { type: Second.OTP_SMS });
const listDefault = call(admin.listLoginPolicySecondFactors);
const factors = list("SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_U2F");

const unauthenticated = { code: Code.Unauthenticated, http: 401 };
const badHeader = { ...unauthenticated, id: "AUTH-7fs1e", text: "invalid auth header" };
const badToken = { ...unauthenticated, id: "AUTH-7fs1e", text: "The access token is unknown, expired or revoked" };
const forbidden = { code: Code.PermissionDenied, http: 403, id: "AUTH-5mWD2", text: "No matching permissions found" };
const noOrganization = { code: Code.PermissionDenied, http: 403, id: "AUTH-Bs7Ds", text: "Organisation doesn't exist" };

/** Who may call (as ZITADEL does, and where we differ). */
export const accessCases: readonly Case[] = [
  {
    name: "no Authorization header",
    caller: "nobody",
    when: listSecond,
    want: { ...unauthenticated, text: "auth header missing" },
  },
  { name: "an unknown token", caller: { authorization: "Bearer nonsense" }, when: listSecond, want: badToken },
  { name: "another scheme", caller: { authorization: "Basic YTpi" }, when: listSecond, want: badHeader },
  { name: "a scheme in lower case", caller: { authorization: "bearer x" }, when: listSecond, want: badHeader },
  { name: "a scheme without a token", caller: { authorization: "Bearer" }, when: listSecond, want: badHeader },
  {
    name: "two tokens in one header",
    caller: { authorization: "Bearer a Bearer b" },
    when: listSecond,
    want: badHeader,
  },
  {
    name: "two headers joined by a comma",
    caller: { authorization: "Bearer a, Bearer b" },
    when: listSecond,
    want: badHeader,
  },
  {
    name: "authentication comes before validation",
    caller: "nobody",
    when: call(management.addSecondFactorToLoginPolicy),
    want: { ...unauthenticated, text: "auth header missing" },
  },
  {
    name: "permission comes before validation",
    caller: "ORG_OWNER_VIEWER",
    when: call(management.addSecondFactorToLoginPolicy),
    want: forbidden,
  },
  {
    name: "an empty organization header means the home organization",
    organization: { header: "" },
    when: listSecond,
    want: factors,
  },
  {
    name: "the organization header chooses the organization",
    organization: { header: "other" },
    when: addSecond,
    want: { ...added(3, "<other>"), copied: true },
  },
  {
    name: "an instance role learns that an organization does not exist",
    organization: { header: "unknown" },
    when: listSecond,
    want: noOrganization,
  },
  {
    name: "so it does on the admin service",
    organization: { header: "unknown" },
    when: listDefault,
    want: noOrganization,
  },
  {
    name: "an instance role without any permission learns it too",
    caller: "IAM_USER_MANAGER",
    organization: { header: "unknown" },
    when: listSecond,
    want: noOrganization,
  },
  {
    name: "an organization role does not learn whether another organization exists: one that does not",
    caller: "ORG_OWNER",
    organization: { header: "unknown" },
    when: listSecond,
    want: forbidden,
  },
  {
    name: "an organization role does not learn whether another organization exists: one that does",
    caller: "ORG_OWNER",
    organization: { header: "other" },
    when: listSecond,
    want: forbidden,
  },
  {
    name: "an organization role counts on its own organization",
    caller: "ORG_OWNER",
    organization: { ofCaller: "other", header: "other" },
    when: addSecond,
    want: { ...added(3, "<other>"), copied: true },
  },
  {
    name: "without a header a call is about the home organization",
    caller: "ORG_OWNER",
    organization: { ofCaller: "other" },
    when: addSecond,
    want: { ...added(3, "<other>"), copied: true },
  },
  { name: "an organization owner may not read the instance", caller: "ORG_OWNER", when: listDefault, want: forbidden },
  {
    name: "an organization owner may not change the instance",
    caller: "ORG_OWNER",
    when: call(admin.addSecondFactorToLoginPolicy, { type: Second.OTP_SMS }),
    want: forbidden,
  },
  { name: "a viewer of the instance may read it", caller: "IAM_OWNER_VIEWER", when: listDefault, want: factors },
];
