import type { LoginPolicyEvent, OrganizationEvent } from "../events.ts";
import { copyOnWrite } from "./copy-on-write.ts";
import { type OrganizationContext, resetLoginPolicy } from "./decide.ts";
import { difference } from "./difference.ts";
import { PolicyError, type PolicyErrorCode } from "./errors.ts";
import type { MultiFactor, SecondFactor } from "./factors.ts";
import { isRedirectUri, type LoginPolicy, type LoginPolicySettings } from "./settings.ts";

// Changes to a policy as a whole. Each function decides one call: it returns the events that follow from the state and the
// request, none where nothing differs, or throws a PolicyError.

/** The part of a policy that a caller wants to change. What it does not name stays as it is. */
export interface PolicyPatch {
  readonly settings: Partial<LoginPolicySettings>;
  /** The whole set. A repeated value counts once, and so in the other sets. */
  readonly secondFactors?: readonly SecondFactor[];
  readonly multiFactors?: readonly MultiFactor[];
  readonly identityProviderIds?: readonly string[];
}

/** The policy with a patch. A factor that stays keeps its place in the order, and new ones come after it. */
export function patched(policy: LoginPolicy, patch: PolicyPatch): LoginPolicy {
  return {
    settings: { ...policy.settings, ...patch.settings },
    secondFactors: replaced(policy.secondFactors, patch.secondFactors),
    multiFactors: replaced(policy.multiFactors, patch.multiFactors),
  };
}

const replaced = <F>(present: readonly F[], wanted: readonly F[] = present): readonly F[] => [
  ...new Set([...present.filter((factor) => wanted.includes(factor)), ...wanted]),
];

/** Changes an organization's policy. A patch that names anything makes an inherited policy its own, also where no value differs. */
export function updateOrganization({ own, ...instance }: OrganizationContext, patch: PolicyPatch): OrganizationEvent[] {
  refuse(patch, { redirect: "org_update_redirect_invalid", provider: "org_add_idp_unknown" });
  const { settings, ...sets } = patch;
  const isNamed = [...Object.values(settings), ...Object.values(sets)].some((value) => value !== undefined);
  if (!isNamed) return [];
  const present = own ?? instance.inherited;
  const events = difference(present, patched(present, patch));
  return own === undefined ? [copyOnWrite(instance), ...events] : events;
}

export function updateInstance(policy: LoginPolicy, patch: PolicyPatch): LoginPolicyEvent[] {
  refuse(patch, { redirect: "instance_update_redirect_invalid", provider: "instance_idp_unknown" });
  return difference(policy, patched(policy, patch));
}

function refuse(
  { settings: { defaultRedirectUri = "" }, identityProviderIds = [] }: PolicyPatch,
  code: Readonly<Record<"redirect" | "provider", PolicyErrorCode>>,
): void {
  if (!isRedirectUri(defaultRedirectUri)) throw new PolicyError(code.redirect);
  // No identity provider exists yet.
  if (identityProviderIds.length > 0) throw new PolicyError(code.provider);
}

/** Makes an organization inherit, where it does not yet. */
export const resetOrganization = (own: LoginPolicy | undefined): OrganizationEvent[] =>
  own === undefined ? [] : resetLoginPolicy(own);

/** Gives an organization an earlier policy of its own again, or makes it inherit where `target` is undefined. */
export function rollbackOrganization(
  { own }: Pick<OrganizationContext, "own">,
  target: LoginPolicy | undefined,
): OrganizationEvent[] {
  if (target === undefined) return resetOrganization(own);
  if (own !== undefined) return difference(own, target);
  const { settings, secondFactors, multiFactors } = target;
  return [{ type: "LoginPolicyAdded", version: 1, payload: { settings, secondFactors, multiFactors } }];
}

/** Gives the instance an earlier policy again. */
export const rollbackInstance = (policy: LoginPolicy, target: LoginPolicy): LoginPolicyEvent[] =>
  difference(policy, target);
