import type { Cause, OrganizationEvent } from "../domain/events.ts";
import { evolve } from "../domain/evolve.ts";
import type { OrganizationContext } from "../domain/login-policy/decide.ts";
import { PolicyError } from "../domain/login-policy/errors.ts";
import type { LoginPolicy } from "../domain/login-policy/settings.ts";
import {
  type PolicyPatch,
  resetOrganization,
  rollbackInstance,
  rollbackOrganization,
  updateInstance,
  updateOrganization,
} from "../domain/login-policy/update.ts";
import type { InstanceState, KeptLoginPolicy, OrganizationState } from "../domain/states.ts";
import { instanceRef, type Store, type View } from "../store/store.ts";
import { type AppliedPolicy, appliedIn, appliedTo, type Subject } from "./applied-policy.ts";
import { instanceIn } from "./set-up.ts";

/** A change to a policy as a whole. */
export type PolicyChangeWish =
  | { readonly kind: "update"; readonly patch: PolicyPatch }
  | { readonly kind: "reset" }
  | {
      readonly kind: "rollback";
      readonly revision: number;
      /** The policy of the revision's owner then; undefined: it inherited. */
      readonly target: LoginPolicy | undefined;
    };

export interface PolicyCommand {
  readonly subject: Subject;
  readonly userId: string;
  readonly wish: PolicyChangeWish;
  /** Throws where the change must not be made to the policy as it is. Decided in the same transaction. */
  readonly check: (present: AppliedPolicy) => void;
}

export interface ChangedPolicy extends AppliedPolicy {
  /** Whether the change copied the inherited policy (copy on write). */
  readonly copied: boolean;
}

/**
 * Makes a change, in one append, and resolves to the policy after it. Writes nothing where nothing differs. Rejects with a PolicyError
 * where it is refused, and with what `check` throws.
 */
export async function changePolicy(store: Store, command: PolicyCommand): Promise<ChangedPolicy> {
  const { subject, userId, wish, check } = command;
  const cause: Cause | undefined =
    wish.kind === "rollback" ? { type: "RolledBack", revision: wish.revision } : undefined;
  const { value, events } = await store.execute({
    actor: userId,
    ...(cause && { cause }),
    reads: subject.type === "instance" ? [instanceRef] : [subject, instanceRef],
    decide(view) {
      const decided = decideEvents(view, subject, wish);
      check(appliedIn(view, subject));
      const changes = decided.length === 0 ? [] : [{ ref: subject, events: decided }];
      return { changes, value: { before: view.get(subject).state, inherited: instanceIn(view).loginPolicy } };
    },
  });
  const { before, inherited } = value;
  const copied = events.some(({ event }) => event.type === "LoginPolicyAdded" && "copiedFromSequence" in event.payload);
  const after = events.reduce<typeof before>(
    (state, { event, ...origin }) => evolve(subject.type, { state: state as never, event: event as never, origin }),
    before,
  );
  return { ...applied(subject, after, inherited), copied };
}

/** What a change would make of a policy. Its times and its revision are not known yet. Throws as `changePolicy` rejects. */
export function previewPolicy(view: View, subject: Subject, wish: PolicyChangeWish): AppliedPolicy {
  const { state: before, version } = view.get(subject);
  const events = decideEvents(view, subject, wish);
  const after = events.reduce<typeof before>(
    (state, event, index) =>
      evolve(subject.type, {
        state: state as never,
        event: event as never,
        origin: { sequence: version + 1 + index, recordedAt: view.recordedAt },
      }),
    before,
  );
  return applied(subject, after, instanceIn(view).loginPolicy);
}

function applied(
  subject: Subject,
  state: InstanceState | OrganizationState | undefined,
  inherited: KeptLoginPolicy,
): AppliedPolicy {
  if (subject.type === "organization")
    return appliedTo(subject, { inherited, organization: state as OrganizationState });
  return appliedTo(subject, { inherited: (state as InstanceState).loginPolicy, organization: undefined });
}

function decideEvents(view: View, subject: Subject, wish: PolicyChangeWish): readonly OrganizationEvent[] {
  const { loginPolicy } = instanceIn(view);
  if (subject.type === "instance") {
    switch (wish.kind) {
      case "update":
        return updateInstance(loginPolicy, wish.patch);
      case "rollback":
        return wish.target === undefined ? [] : rollbackInstance(loginPolicy, wish.target);
      case "reset":
        throw new Error("the instance's policy cannot be reset");
    }
  }
  const { state } = view.get(subject);
  // For an organization that was removed after its name was authorized.
  if (state === undefined || state.removed) throw new PolicyError("organization_missing");
  const context: OrganizationContext = {
    own: state.loginPolicy,
    inherited: loginPolicy,
    inheritedSequence: view.get(instanceRef).version,
  };
  switch (wish.kind) {
    case "update":
      return updateOrganization(context, wish.patch);
    case "rollback":
      return rollbackOrganization(context, wish.target);
    case "reset":
      return resetOrganization(context.own);
  }
}
