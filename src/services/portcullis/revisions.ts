import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type LoginPolicy,
  LoginPolicyRevision_Cause,
  type LoginPolicyRevisionSchema,
} from "../../../gen/portcullis/v1/login_policy_pb.ts";
import type { AppliedPolicy, Subject } from "../../application/applied-policy.ts";
import type { PolicyHistory } from "../../application/policy-history.ts";
import type { Access } from "../../auth/access.ts";
import { revisionNameOf } from "../../auth/resource.ts";
import {
  appliedAt,
  changesOf,
  type PolicyOwner,
  type Revision,
  type RevisionCause,
  revisionNumbered,
  type Timelines,
} from "../../domain/login-policy/revisions.ts";
import { instanceRef, type View } from "../../store/store.ts";
import { fromInstant } from "../values.ts";
import { fromChange } from "./change-convert.ts";
import { fromApplied, withEtag } from "./convert.ts";
import { revisionNotFound } from "./errors.ts";

/** The revisions of a subject's own policy, and what is needed to show them. */
export interface SubjectHistory {
  readonly subject: Subject;
  readonly displayName: string;
  readonly timelines: Timelines;
}

/** Reads the history of a subject, as of a view that contains it and the instance. */
export async function readHistory(history: PolicyHistory, view: View, subject: Subject): Promise<SubjectHistory> {
  if (subject.type === "instance") return { subject, displayName: "", timelines: await history.timelines(view) };
  const displayName = view.get(subject).state?.name ?? "";
  return { subject, displayName, timelines: await history.timelines(view, subject.id) };
}

/** Oldest first. */
export const revisionsOf = ({ subject, timelines }: SubjectHistory): readonly Revision[] =>
  (subject.type === "instance" ? timelines.instance : timelines.organization) ?? [];

/** Throws not_found where the subject never had the revision. */
export function findRevision(history: SubjectHistory, revision: number): Revision {
  const found = revisionNumbered(revisionsOf(history), revision);
  if (found === undefined) throw revisionNotFound(revisionNameOf(history.subject, revision));
  return found;
}

/** The policy that applied with a revision. Its name is that of the revision. */
export function snapshotOf({ subject, displayName, timelines }: SubjectHistory, revision: Revision): LoginPolicy {
  const applied = appliedAt(timelines, revision.position);
  if (applied === undefined) throw new Error("a revision is older than the instance");
  const then: AppliedPolicy = { subject, displayName, owner: ownerRef(subject, applied.owner), policy: applied.policy };
  return withEtag({ ...fromApplied(then), name: revisionNameOf(subject, revision.revision), etag: "" });
}

export const ownerRef = (subject: Subject, owner: PolicyOwner): Subject =>
  owner === "instance" ? instanceRef : subject;

/** Who changes the instance is shown only to those who may read its policy. */
export const actorOf = (access: Pick<Access, "can">, owner: Subject, actor: string): string =>
  owner.type === "organization" || access.can("iam.policy.read") ? actor : "instance";

export function fromRevision(
  history: SubjectHistory,
  revision: Revision,
  { access, isFull }: { readonly access: Access; readonly isFull: boolean },
): MessageInitShape<typeof LoginPolicyRevisionSchema> {
  const { subject, timelines } = history;
  return {
    name: revisionNameOf(subject, revision.revision),
    createTime: fromInstant(revision.recordedAt),
    actor: actorOf(access, subject, revision.actor),
    changes: changesOf(timelines, revision).map(fromChange),
    ...fromCause(subject, revision.cause),
    ...(isFull && { snapshot: snapshotOf(history, revision) }),
  };
}

function fromCause(
  subject: Subject,
  cause: RevisionCause,
): { cause: LoginPolicyRevision_Cause; sourceRevision?: string } {
  switch (cause.type) {
    case "created":
      return { cause: LoginPolicyRevision_Cause.CREATED };
    case "changed":
      return { cause: LoginPolicyRevision_Cause.CHANGED };
    case "reset":
      return { cause: LoginPolicyRevision_Cause.RESET };
    case "copied":
      return {
        cause: LoginPolicyRevision_Cause.COPIED,
        sourceRevision: revisionNameOf(instanceRef, cause.instanceSequence),
      };
    case "rolled_back":
      return {
        cause: LoginPolicyRevision_Cause.ROLLED_BACK,
        sourceRevision: revisionNameOf(subject, cause.revision),
      };
  }
}
