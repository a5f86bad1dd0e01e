import type { KeptLoginPolicy, OrganizationState } from "../domain/states.ts";
import { type AggregateRef, instanceRef, type View } from "../store/store.ts";
import { instanceIn } from "./set-up.ts";

/** What a policy is about: the instance or an organization. */
export type Subject = AggregateRef<"instance"> | AggregateRef<"organization">;

/** The policy that applies to a subject. */
export interface AppliedPolicy {
  readonly subject: Subject;
  /** Empty for the instance. */
  readonly displayName: string;
  /** Whose policy it is. */
  readonly owner: Subject;
  readonly policy: KeptLoginPolicy;
}

/** The policy that applies, in a view that contains the instance and the subject. */
export const appliedIn = (view: View, subject: Subject): AppliedPolicy =>
  appliedTo(subject, {
    inherited: instanceIn(view).loginPolicy,
    organization: subject.type === "organization" ? view.get(subject).state : undefined,
  });

export function appliedTo(
  subject: Subject,
  from: { readonly inherited: KeptLoginPolicy; readonly organization: OrganizationState | undefined },
): AppliedPolicy {
  const { inherited, organization } = from;
  const own = organization?.loginPolicy;
  return {
    subject,
    displayName: organization?.name ?? "",
    owner: own === undefined ? instanceRef : subject,
    policy: own ?? inherited,
  };
}
