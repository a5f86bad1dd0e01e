import type { LoginPolicyEvent, OrganizationEvent } from "../domain/events.ts";
import * as decide from "../domain/login-policy/decide.ts";
import { PolicyError } from "../domain/login-policy/errors.ts";
import type { Named } from "../domain/login-policy/factors.ts";
import type { LoginPolicySettings } from "../domain/login-policy/settings.ts";
import type { InstanceState, KeptLoginPolicy } from "../domain/states.ts";
import {
  instanceRef,
  organizationRef,
  type ReadOptions,
  type RecordedEvent,
  type Store,
  type View,
} from "../store/store.ts";

/** What the request gate read earlier in the same call. */
type Seen = Pick<ReadOptions, "seen">;

/** The user who makes a change. */
export interface Author {
  readonly userId: string;
}

/** The organization that a change is about, and its author. */
export interface Target extends Author {
  readonly organizationId: string;
}

/** The factor in a request, and its kind. */
export interface RequestedFactor<F> {
  readonly kind: decide.FactorKind<F>;
  readonly factor: Named<F>;
}

/** The result of a change. */
export interface Written {
  /** The id of the organization or the instance that owns the policy. */
  readonly owner: string;
  /** The sequence and time of the last event of the change. */
  readonly sequence: number;
  readonly recordedAt: number;
  /** Whether the change copied the inherited policy (copy on write). */
  readonly copied: boolean;
}

export interface ReadPolicy {
  readonly policy: KeptLoginPolicy;
  readonly owner: string;
  /** Whether it is the policy of the instance. */
  readonly isDefault: boolean;
  /** Global position and time of the newest event that the read reflects. */
  readonly position: number;
  readonly recordedAt: number;
}

/**
 * Commands and queries on the login policies of organizations and of the instance. A refused command rejects with a
 * PolicyError and writes nothing; a failing store rejects with a StoreError. A change is on disk when it resolves, and every
 * later read shows it.
 */
export type LoginPolicies = ReturnType<typeof createLoginPolicies>;

export function createLoginPolicies(store: Store) {
  async function changeOrganization(
    { organizationId, userId }: Target,
    decideEvents: (context: decide.OrganizationContext) => readonly OrganizationEvent[],
  ): Promise<Written> {
    const ref = organizationRef(organizationId);
    const { events } = await store.execute({
      actor: userId,
      // The instance too, so that a copy contains its latest policy.
      reads: [ref, instanceRef],
      decide(view) {
        const organization = view.get(ref).state;
        if (organization === undefined || organization.removed) throw new PolicyError("organization_missing");
        const context = {
          own: organization.loginPolicy,
          inherited: instanceOf(view).loginPolicy,
          inheritedSequence: view.get(instanceRef).version,
        };
        return { changes: [{ ref, events: decideEvents(context) }], value: undefined };
      },
    });
    return written(organizationId, events);
  }

  async function changeInstance(
    { userId }: Author,
    decideEvents: (policy: KeptLoginPolicy) => readonly LoginPolicyEvent[],
  ): Promise<Written> {
    const { value, events } = await store.execute({
      actor: userId,
      reads: [instanceRef],
      decide(view) {
        const { instanceId, loginPolicy } = instanceOf(view);
        return { changes: [{ ref: instanceRef, events: decideEvents(loginPolicy) }], value: instanceId };
      },
    });
    return written(value, events);
  }

  return {
    /** The organization's own policy, or the instance's. */
    async getEffective({ organizationId, seen }: Seen & { readonly organizationId: string }): Promise<ReadPolicy> {
      const ref = organizationRef(organizationId);
      const view = await store.read([ref, instanceRef], { seen });
      const own = view.get(ref).state?.loginPolicy;
      if (own === undefined) return readDefault(view);
      return {
        policy: own,
        owner: organizationId,
        isDefault: false,
        position: view.position,
        recordedAt: view.recordedAt,
      };
    },

    /** The instance's policy. */
    async getDefault({ seen }: Seen): Promise<ReadPolicy> {
      return readDefault(await store.read([instanceRef], { seen }));
    },

    addCustom: (target: Target, wanted: decide.WantedLoginPolicy) =>
      changeOrganization(target, ({ own }) => decide.addCustomLoginPolicy(own, wanted)),
    updateCustom: (target: Target, wanted: LoginPolicySettings) =>
      changeOrganization(target, ({ own }) => decide.updateCustomLoginPolicy(own, wanted)),
    reset: (target: Target) => changeOrganization(target, ({ own }) => decide.resetLoginPolicy(own)),
    addFactor: <F>(target: Target, { kind, factor }: RequestedFactor<F>) =>
      changeOrganization(target, (context) => decide.addOrganizationFactor(kind, context, factor)),
    removeFactor: <F>(target: Target, { kind, factor }: RequestedFactor<F>) =>
      changeOrganization(target, (context) => decide.removeOrganizationFactor(kind, context, factor)),
    addIdp: (target: Target) => changeOrganization(target, ({ own }) => decide.addOrganizationIdp(own)),
    removeIdp: (target: Target) => changeOrganization(target, ({ own }) => decide.removeOrganizationIdp(own)),

    updateDefault: (author: Author, wanted: LoginPolicySettings) =>
      changeInstance(author, (policy) => decide.updateInstanceLoginPolicy(policy, wanted)),
    addDefaultFactor: <F>(author: Author, { kind, factor }: RequestedFactor<F>) =>
      changeInstance(author, (policy) => decide.addInstanceFactor(kind, policy, factor)),
    removeDefaultFactor: <F>(author: Author, { kind, factor }: RequestedFactor<F>) =>
      changeInstance(author, (policy) => decide.removeInstanceFactor(kind, policy, factor)),
    addDefaultIdp: (author: Author) => changeInstance(author, decide.addInstanceIdp),
    removeDefaultIdp: (author: Author) => changeInstance(author, decide.removeInstanceIdp),
  };
}

function instanceOf(view: View): InstanceState {
  const { state } = view.get(instanceRef);
  if (state === undefined) throw new Error("the store has no instance: it was never set up");
  return state;
}

function readDefault(view: View): ReadPolicy {
  const { loginPolicy, instanceId } = instanceOf(view);
  const { position, recordedAt } = view;
  return { policy: loginPolicy, owner: instanceId, isDefault: true, position, recordedAt };
}

function written(owner: string, events: readonly RecordedEvent[]): Written {
  const last = events.at(-1);
  if (last === undefined) throw new Error("a change was written without an event");
  const copied = events.some(({ event }) => event.type === "LoginPolicyAdded" && "copiedFromSequence" in event.payload);
  return { owner, sequence: last.sequence, recordedAt: last.recordedAt, copied };
}
