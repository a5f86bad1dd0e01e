import type { OrganizationEvent } from "../events.ts";
import type { LoginPolicy } from "./settings.ts";

/** The policy of the instance, and the sequence of the instance at that moment. */
export interface InheritedPolicy {
  readonly inherited: LoginPolicy;
  readonly inheritedSequence: number;
}

/**
 * The event that gives an organization a copy of the instance's policy as its own. The first factor that an organization adds
 * or removes needs it; from then on, changes to the instance no longer reach the organization.
 */
export function copyOnWrite({ inherited, inheritedSequence }: InheritedPolicy): OrganizationEvent {
  const { settings, secondFactors, multiFactors } = inherited;
  return {
    type: "LoginPolicyAdded",
    version: 1,
    payload: { settings, secondFactors, multiFactors, copiedFromSequence: inheritedSequence },
  };
}
