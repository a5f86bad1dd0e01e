import type { LoginPolicyEvent, OrganizationEvent } from "../events.ts";
import { copyOnWrite, type InheritedPolicy } from "./copy-on-write.ts";
import { PolicyError, type PolicyErrorCode } from "./errors.ts";
import type { MultiFactor, Named, SecondFactor } from "./factors.ts";
import { isRedirectUri, isSameSettings, type LoginPolicy, type LoginPolicySettings } from "./settings.ts";

// Each function decides one call: it returns the events that follow from the state and the request, or throws a PolicyError.

/** The policies that decide a change to an organization. */
export interface OrganizationContext extends InheritedPolicy {
  /** The organization's own policy; undefined while it inherits. */
  readonly own: LoginPolicy | undefined;
}

/** The events and refusals of one kind of factor. */
export interface FactorKind<Factor> {
  list(policy: LoginPolicy): readonly Factor[];
  added(factor: Factor): LoginPolicyEvent;
  removed(factor: Factor): LoginPolicyEvent;
  readonly org: FactorRefusals;
  readonly instance: FactorRefusals;
}
interface FactorRefusals {
  readonly addInvalid: PolicyErrorCode;
  readonly exists: PolicyErrorCode;
  readonly removeInvalid: PolicyErrorCode;
  readonly missing: PolicyErrorCode;
}

export const secondFactorKind: FactorKind<SecondFactor> = {
  list: (policy) => policy.secondFactors,
  added: (factor) => ({ type: "SecondFactorAdded", version: 1, payload: { factor } }),
  removed: (factor) => ({ type: "SecondFactorRemoved", version: 1, payload: { factor } }),
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

export const multiFactorKind: FactorKind<MultiFactor> = {
  list: (policy) => policy.multiFactors,
  added: (factor) => ({ type: "MultiFactorAdded", version: 1, payload: { factor } }),
  removed: (factor) => ({ type: "MultiFactorRemoved", version: 1, payload: { factor } }),
  org: {
    addInvalid: "org_multi_factor_invalid",
    exists: "org_multi_factor_exists",
    // ZITADEL has one id for adding and removing an invalid multi-factor on an organization.
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

export function addInstanceFactor<F>(kind: FactorKind<F>, policy: LoginPolicy, factor: Named<F>): LoginPolicyEvent[] {
  if (factor === undefined) throw new PolicyError(kind.instance.addInvalid);
  if (kind.list(policy).includes(factor)) throw new PolicyError(kind.instance.exists);
  return [kind.added(factor)];
}

export function removeInstanceFactor<F>(
  kind: FactorKind<F>,
  policy: LoginPolicy,
  factor: Named<F>,
): LoginPolicyEvent[] {
  if (factor === undefined) throw new PolicyError(kind.instance.removeInvalid);
  if (!kind.list(policy).includes(factor)) throw new PolicyError(kind.instance.missing);
  return [kind.removed(factor)];
}

/**
 * Adds a factor to an organization. Adding an inherited factor succeeds: it is not the organization's own yet, and the copy
 * contains it.
 */
export function addOrganizationFactor<F>(
  kind: FactorKind<F>,
  { own, ...instance }: OrganizationContext,
  factor: Named<F>,
): OrganizationEvent[] {
  if (factor === undefined) throw new PolicyError(kind.org.addInvalid);
  if (own === undefined) {
    const copied = copyOnWrite(instance);
    return kind.list(instance.inherited).includes(factor) ? [copied] : [copied, kind.added(factor)];
  }
  if (kind.list(own).includes(factor)) throw new PolicyError(kind.org.exists);
  return [kind.added(factor)];
}

/** Removes a factor from an organization's own policy, or from a copy of the inherited one. */
export function removeOrganizationFactor<F>(
  kind: FactorKind<F>,
  { own, ...instance }: OrganizationContext,
  factor: Named<F>,
): OrganizationEvent[] {
  if (factor === undefined) throw new PolicyError(kind.org.removeInvalid);
  if (!kind.list(own ?? instance.inherited).includes(factor)) throw new PolicyError(kind.org.missing);
  return own === undefined ? [copyOnWrite(instance), kind.removed(factor)] : [kind.removed(factor)];
}

/** The policy in an AddCustomLoginPolicy request. Its lists may contain repeats and values that are no factor. */
export interface WantedLoginPolicy {
  readonly settings: LoginPolicySettings;
  readonly secondFactors: readonly Named<SecondFactor>[];
  readonly multiFactors: readonly Named<MultiFactor>[];
  readonly idpIds: readonly string[];
}

/** Gives an organization its own policy with the caller's values alone. Drops repeated factors and keeps their order. */
export function addCustomLoginPolicy(own: LoginPolicy | undefined, wanted: WantedLoginPolicy): OrganizationEvent[] {
  if (!isRedirectUri(wanted.settings.defaultRedirectUri)) throw new PolicyError("org_add_redirect_invalid");
  const secondFactors = valid(wanted.secondFactors, "org_add_second_factor_invalid");
  const multiFactors = valid(wanted.multiFactors, "org_add_multi_factor_invalid");
  if (own !== undefined) throw new PolicyError("org_policy_exists");
  if (wanted.idpIds.length > 0) throw new PolicyError("org_add_idp_unknown");
  return [
    { type: "LoginPolicyAdded", version: 1, payload: { settings: wanted.settings, secondFactors, multiFactors } },
  ];
}

function valid<F>(named: readonly Named<F>[], code: PolicyErrorCode): readonly F[] {
  return [
    ...new Set(
      named.map((factor) => {
        if (factor === undefined) throw new PolicyError(code);
        return factor;
      }),
    ),
  ];
}

export function updateCustomLoginPolicy(own: LoginPolicy | undefined, wanted: LoginPolicySettings): LoginPolicyEvent[] {
  if (!isRedirectUri(wanted.defaultRedirectUri)) throw new PolicyError("org_update_redirect_invalid");
  if (own === undefined) throw new PolicyError("org_update_policy_missing");
  if (isSameSettings(own.settings, wanted)) throw new PolicyError("org_update_unchanged");
  return [{ type: "LoginPolicyChanged", version: 1, payload: wanted }];
}

export function updateInstanceLoginPolicy(policy: LoginPolicy, wanted: LoginPolicySettings): LoginPolicyEvent[] {
  if (!isRedirectUri(wanted.defaultRedirectUri)) throw new PolicyError("instance_update_redirect_invalid");
  if (isSameSettings(policy.settings, wanted)) throw new PolicyError("instance_update_unchanged");
  return [{ type: "LoginPolicyChanged", version: 1, payload: wanted }];
}

/** Removes an organization's own policy with its factors, so that it inherits again. */
export function resetLoginPolicy(own: LoginPolicy | undefined): OrganizationEvent[] {
  if (own === undefined) throw new PolicyError("org_reset_policy_missing");
  return [{ type: "LoginPolicyRemoved", version: 1, payload: {} }];
}

// No identity provider exists yet, so a policy cannot link or unlink one.

export function addOrganizationIdp(own: LoginPolicy | undefined): never {
  throw new PolicyError(own === undefined ? "org_idp_policy_missing" : "org_idp_unknown");
}

export function removeOrganizationIdp(own: LoginPolicy | undefined): never {
  throw new PolicyError(own === undefined ? "org_idp_remove_policy_missing" : "org_idp_not_linked");
}

export function addInstanceIdp(): never {
  throw new PolicyError("instance_idp_unknown");
}

export function removeInstanceIdp(): never {
  throw new PolicyError("instance_idp_not_linked");
}
