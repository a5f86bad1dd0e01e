/** The kind of a refusal, which decides its status code (interceptors/errors.ts). */
export type RefusalKind = "invalid" | "not_found" | "already_exists" | "failed_precondition" | "permission_denied";

interface Refusal {
  readonly kind: RefusalKind;
  /** ZITADEL's error id, which clients match. Several refusals may share one. */
  readonly id: string;
  /** ZITADEL's English text, or a sentence in place of a raw translation key. */
  readonly text: string;
}

const invalidFactor = "Multifactor invalid";
const missingFactor = "Multifactor not existing";
const missingPolicy = "Login Policy not found";
const invalidRedirect = "Default Redirect URI is invalid";
const missingIdp = "Identity Provider Configuration doesn't exist";

/** All expected refusals of login-policy calls, with their texts. */
export const policyRefusals = {
  // For an organization that was removed after the request gate, which answers the same.
  organization_missing: { kind: "permission_denied", id: "AUTH-Bs7Ds", text: "Organisation doesn't exist" },
  org_second_factor_invalid: { kind: "invalid", id: "Org-5m9fs", text: invalidFactor },
  org_second_factor_exists: { kind: "already_exists", id: "Org-2B0ps", text: "Multifactor already exists" },
  org_second_factor_remove_invalid: { kind: "invalid", id: "Org-55n8s", text: invalidFactor },
  org_second_factor_missing: { kind: "not_found", id: "Org-3M9od", text: missingFactor },
  org_multi_factor_invalid: { kind: "invalid", id: "Org-5m9fs", text: invalidFactor },
  org_multi_factor_exists: { kind: "already_exists", id: "Org-3M9od", text: "Multifactor already exists" },
  org_multi_factor_missing: { kind: "not_found", id: "Org-3M9df", text: missingFactor },
  instance_second_factor_invalid: { kind: "invalid", id: "INSTANCE-5m9fs", text: invalidFactor },
  instance_second_factor_exists: { kind: "already_exists", id: "INSTANCE-2B0ps", text: "Multifactor already exists" },
  instance_second_factor_remove_invalid: { kind: "invalid", id: "INSTANCE-55n8s", text: invalidFactor },
  instance_second_factor_missing: { kind: "not_found", id: "INSTANCE-3M9od", text: missingFactor },
  instance_multi_factor_invalid: { kind: "invalid", id: "INSTANCE-5m9fs", text: invalidFactor },
  instance_multi_factor_exists: { kind: "already_exists", id: "INSTANCE-3M9od", text: "Multifactor already exists" },
  instance_multi_factor_remove_invalid: { kind: "invalid", id: "INSTANCE-33m9F", text: invalidFactor },
  instance_multi_factor_missing: { kind: "not_found", id: "INSTANCE-3M9df", text: missingFactor },
  org_add_redirect_invalid: { kind: "invalid", id: "Org-WSfdq", text: invalidRedirect },
  org_add_second_factor_invalid: { kind: "invalid", id: "Org-SFeea", text: invalidFactor },
  org_add_multi_factor_invalid: { kind: "invalid", id: "Org-WSfrg", text: invalidFactor },
  org_policy_exists: {
    kind: "already_exists",
    id: "Org-Dgfb2",
    text: "Login Policy already exists: change it with UpdateCustomLoginPolicy, or remove it with ResetLoginPolicyToDefault",
  },
  org_add_idp_unknown: { kind: "failed_precondition", id: "Org-FEd32", text: missingIdp },
  org_update_redirect_invalid: { kind: "invalid", id: "Org-Sfd21", text: invalidRedirect },
  org_update_policy_missing: { kind: "not_found", id: "Org-M0sif", text: missingPolicy },
  org_update_unchanged: {
    kind: "failed_precondition",
    id: "Org-5M9vdd",
    text: "Login Policy has not been changed",
  },
  org_reset_policy_missing: { kind: "not_found", id: "Org-GHB37", text: missingPolicy },
  instance_update_redirect_invalid: { kind: "invalid", id: "IAM-SFdqd", text: invalidRedirect },
  instance_update_unchanged: {
    kind: "failed_precondition",
    id: "INSTANCE-5M9vdd",
    text: "Default Login Policy has not been changed",
  },
  org_idp_policy_missing: { kind: "not_found", id: "Org-Ffgw2", text: missingPolicy },
  org_idp_unknown: { kind: "failed_precondition", id: "Org-3N9fs", text: missingIdp },
  org_idp_remove_policy_missing: { kind: "not_found", id: "Org-GVDfe", text: missingPolicy },
  org_idp_not_linked: { kind: "not_found", id: "Org-39fjs", text: "Identity provider doesn't exist" },
  instance_idp_unknown: { kind: "failed_precondition", id: "INSTANCE-m8fsd", text: missingIdp },
  instance_idp_not_linked: { kind: "not_found", id: "INSTANCE-39fjs", text: "Identity provider doesn't exist" },
} as const satisfies Record<string, Refusal>;

export type PolicyErrorCode = keyof typeof policyRefusals;

/** An expected refusal of a login-policy call. Nothing was written. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  readonly code: PolicyErrorCode;
  readonly kind: RefusalKind;
  readonly id: string;

  constructor(code: PolicyErrorCode) {
    const { kind, id, text } = policyRefusals[code];
    super(text);
    this.code = code;
    this.kind = kind;
    this.id = id;
  }
}
