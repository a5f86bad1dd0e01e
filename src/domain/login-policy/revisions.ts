import type { Cause, EventOrigin, EventsOf } from "../events.ts";
import { evolve } from "../evolve.ts";
import type { KeptLoginPolicy, StatesOf } from "../states.ts";
import { changedValues, changes, type PolicyChange, type PolicyValue } from "./changes.ts";
import { defaultLoginPolicy } from "./settings.ts";

/** The kinds of aggregate that have a login policy. */
export type PolicyOwner = "instance" | "organization";

/** An event of an owner's stream, as it was recorded. */
export interface PolicyOwnerEvent extends EventOrigin {
  readonly position: number;
  readonly actor: string;
  readonly event: EventsOf[PolicyOwner];
  /** Position of the first event of the same append; absent where an older version wrote it. */
  readonly append?: number | undefined;
  readonly cause?: Cause | undefined;
}

/** Why there is a revision. */
export type RevisionCause =
  | { readonly type: "created" | "changed" | "reset" }
  | { readonly type: "copied"; readonly instanceSequence: number }
  /** `revision` is the number of the revision that became the present one again. */
  | { readonly type: "rolled_back"; readonly revision: number };

/** One state of an owner's policy, which one append made. */
export interface Revision {
  /** The sequence of the append's last event. */
  readonly revision: number;
  /** Positions of the first and the last event. */
  readonly firstPosition: number;
  readonly position: number;
  readonly recordedAt: number;
  readonly actor: string;
  readonly cause: RevisionCause;
  /** Undefined: the organization inherits. */
  readonly policy: KeptLoginPolicy | undefined;
  /** For each value that has changed since the policy was added or created, the number of the revision that changed it last. */
  readonly setBy: Readonly<Partial<Record<PolicyValue, number>>>;
}

/** All revisions of one owner, oldest first. */
export type Timeline = readonly Revision[];

/** A timeline and what it takes to go on with it. */
export interface FoldedStream {
  readonly timeline: Timeline;
  readonly state: StatesOf[PolicyOwner] | undefined;
  /** The newest event in it. */
  readonly last: PolicyOwnerEvent | undefined;
}

export const emptyStream: FoldedStream = { timeline: [], state: undefined, last: undefined };

/** Folds the events that follow, oldest first. Throws an Error as `evolve` does. */
export function foldEvents(type: PolicyOwner, before: FoldedStream, events: readonly PolicyOwnerEvent[]): FoldedStream {
  const timeline = [...before.timeline];
  let { state, last } = before;
  for (const one of events) {
    state = evolve(type, { state, event: one.event, origin: one });
    if (one.event.type !== "OrganizationAdded" && one.event.type !== "OrganizationRemoved") {
      const begun = last !== undefined && isSameAppend(last, one) ? timeline.pop() : undefined;
      const previous = timeline.at(-1);
      const { sequence: revision, position, recordedAt, actor } = one;
      const policy = state.loginPolicy;
      const { firstPosition, cause } = begun ?? { firstPosition: position, cause: causeOf(one) };
      const setBy = { ...(policy && previous?.policy && previous.setBy) };
      for (const value of changedValues(previous?.policy, policy)) setBy[value] = revision;
      timeline.push({ revision, firstPosition, position, recordedAt, actor, cause, policy, setBy });
    }
    last = one;
  }
  return { timeline, state, last };
}

function isSameAppend(before: PolicyOwnerEvent, { event, position, actor, append }: PolicyOwnerEvent): boolean {
  if (before.append !== undefined || append !== undefined) return before.append === append;
  // Older versions appended one event at a time, or a copy and a change of one factor.
  const isCopy = before.event.type === "LoginPolicyAdded" && before.event.payload.copiedFromSequence !== undefined;
  return isCopy && "factor" in event.payload && position === before.position + 1 && actor === before.actor;
}

function causeOf({ event, cause }: PolicyOwnerEvent): RevisionCause {
  if (cause !== undefined) return { type: "rolled_back", revision: cause.revision };
  switch (event.type) {
    case "InstanceCreated":
      return { type: "created" };
    case "LoginPolicyAdded": {
      const { copiedFromSequence } = event.payload;
      return copiedFromSequence === undefined
        ? { type: "created" }
        : { type: "copied", instanceSequence: copiedFromSequence };
    }
    case "LoginPolicyRemoved":
      return { type: "reset" };
    default:
      return { type: "changed" };
  }
}

/** The revision with exactly this number. */
export function revisionNumbered(timeline: Timeline, number: number): Revision | undefined {
  const found = newest(timeline, ({ revision }) => revision <= number);
  return found?.revision === number ? found : undefined;
}

/** The newest revision whose events are at this position or before it. */
export const revisionAt = (timeline: Timeline, position: number): Revision | undefined =>
  newest(timeline, (revision) => revision.position <= position);

/** The last revision for which it is true; it is true for all before that one, and for none after it. */
function newest(timeline: Timeline, isReached: (revision: Revision) => boolean): Revision | undefined {
  let [low, high] = [0, timeline.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isReached(timeline[middle] as Revision)) low = middle + 1;
    else high = middle;
  }
  return timeline[low - 1];
}

/** What decides which policy applies: the instance's timeline, and of an organization its own. */
export interface Timelines {
  readonly instance: Timeline;
  readonly organization?: Timeline | undefined;
}

/** The revision in force, and whose it is. */
export interface Applied {
  readonly owner: PolicyOwner;
  readonly revision: Revision;
  readonly policy: KeptLoginPolicy;
}

/** What applied after the event at a position, or without one what applies now. Undefined before the instance was there. */
export function appliedAt(
  { instance, organization = [] }: Timelines,
  position = Number.POSITIVE_INFINITY,
): Applied | undefined {
  for (const [owner, timeline] of [
    ["organization", organization],
    ["instance", instance],
  ] as const) {
    const revision = revisionAt(timeline, position);
    if (revision?.policy !== undefined) return { owner, revision, policy: revision.policy };
  }
  return undefined;
}

/**
 * What a revision changed in the policy that applies, which may have been the instance's before or after it. The first policy
 * of the instance is compared with the one that a new instance has.
 */
export function changesOf(timelines: Timelines, { firstPosition, position }: Revision): PolicyChange[] {
  const after = appliedAt(timelines, position);
  if (after === undefined) throw new Error("a timeline of the instance lacks its first revision");
  return changes(appliedAt(timelines, firstPosition - 1)?.policy ?? defaultLoginPolicy, after.policy);
}
