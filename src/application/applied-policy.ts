import type { LoginPolicy } from "../domain/login-policy/settings.ts";
import type { KeptLoginPolicy } from "../domain/states.ts";
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
export function appliedIn(view: View, subject: Subject): AppliedPolicy {
  const instance = { owner: instanceRef, policy: instanceIn(view).loginPolicy };
  if (subject.type === "instance") return { subject, displayName: "", ...instance };
  const { state } = view.get(subject);
  const displayName = state?.name ?? "";
  const own = state?.loginPolicy;
  return own === undefined
    ? { subject, displayName, ...instance }
    : { subject, displayName, owner: subject, policy: own };
}

/** Without what says when and where it is kept. */
export const valuesOf = ({ settings, secondFactors, multiFactors }: LoginPolicy): LoginPolicy => ({
  settings,
  secondFactors,
  multiFactors,
});
