import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type LoginPolicy, LoginPolicySchema } from "../../../gen/portcullis/v1/login_policy_pb.ts";
import type {
  PreviewLoginPolicyRequest,
  PreviewLoginPolicyResponseSchema,
} from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { type AppliedPolicy, appliedIn, type Subject } from "../../application/applied-policy.ts";
import { type PolicyChangeWish, previewPolicy } from "../../application/change-policies.ts";
import { countInheriting } from "../../application/list-policies.ts";
import type { Access } from "../../auth/access.ts";
import { parsePolicyName, policyNameOf } from "../../auth/resource.ts";
import { changes } from "../../domain/login-policy/changes.ts";
import { warnings } from "../../domain/login-policy/warnings.ts";
import { instanceRef, type Store } from "../../store/store.ts";
import { fromChange, fromWarning } from "./change-convert.ts";
import { fromApplied } from "./convert.ts";
import { invalidField } from "./errors.ts";
import { readPatch } from "./patch.ts";

/** How many organizations a preview names. */
const mostNames = 20;

export type RollbackWish = Extract<PolicyChangeWish, { kind: "rollback" }>;

/** Finds the state of a revision. Rejects with not_found. */
type FindRevision = (revision: number) => Promise<RollbackWish>;

/** Reads the change that a preview is about. */
async function readWish(
  { name, change }: PreviewLoginPolicyRequest,
  subject: Subject,
  findRevision: FindRevision,
): Promise<PolicyChangeWish> {
  const sameName = (field: string, other: string | undefined) => {
    if (other !== name) throw invalidField(field, "name the policy that the preview names");
  };
  switch (change.case) {
    case "update": {
      const { loginPolicy = create(LoginPolicySchema), updateMask } = change.value;
      if (loginPolicy.name !== "") sameName("update.login_policy.name", loginPolicy.name);
      const paths = {
        at: "update.login_policy",
        maskAt: "update.update_mask",
        ofInstance: subject.type === "instance",
      };
      return { kind: "update", patch: readPatch(loginPolicy, updateMask, paths) };
    }
    case "reset":
      if (change.value.name !== "") sameName("reset.name", change.value.name);
      if (subject.type === "instance") throw invalidField("reset", "the policy of the instance cannot be reset");
      return { kind: "reset" };
    case "rollback": {
      const wanted = parsePolicyName(change.value.name);
      if (wanted?.revision === undefined) throw invalidField("rollback.name", `send ${name}/revisions/{revision}`);
      sameName("rollback.name", policyNameOf(wanted.resource));
      return findRevision(wanted.revision);
    }
    default:
      throw invalidField("change", "send one of update, reset and rollback", "FIELD_MISSING");
  }
}

/** Whether the caller may make a change. */
export function isPermitted(access: Access, subject: Subject, wish: PolicyChangeWish): boolean {
  if (subject.type === "instance") return access.can("iam.policy.write");
  const deletes = wish.kind === "reset" || (wish.kind === "rollback" && wish.target === undefined);
  const writes = wish.kind !== "reset";
  return (!deletes || access.can("policy.delete", subject.id)) && (!writes || access.can("policy.write", subject.id));
}

export async function preview(
  request: PreviewLoginPolicyRequest,
  {
    store,
    access,
    subject,
    findRevision,
  }: { readonly store: Store; readonly access: Access; readonly subject: Subject; readonly findRevision: FindRevision },
): Promise<MessageInitShape<typeof PreviewLoginPolicyResponseSchema>> {
  const wish = await readWish(request, subject, findRevision);
  const view = await store.read([subject, instanceRef], { seen: access.seen });
  const before = appliedIn(view, subject);
  const after = previewPolicy(view, subject, wish);
  const differences = changes(before.policy, after.policy);
  const stopsInheriting =
    subject.type === "organization" && before.owner.type === "instance" && after.owner !== before.owner;
  const isInstance = subject.type === "instance";
  const hasChanges = differences.length > 0;
  const { count, names } = !hasChanges
    ? { count: 0, names: [] }
    : isInstance
      ? await countInheriting(store, { mostNames, mayShow: (id) => access.can("policy.read", id) })
      : { count: 1, names: [before.displayName] };
  return {
    before: fromApplied(before),
    after: hasChanges || after.owner.type !== before.owner.type ? notYetMade(after) : fromApplied(before),
    changes: differences.map(fromChange),
    affectedOrganizations: BigInt(count),
    affectedOrganizationDisplayNames: [...names],
    warnings: warnings({ ...after.policy, identityProviders: [] }, { stopsInheriting }).map(fromWarning),
    permitted: isPermitted(access, subject, wish),
  };
}

/** Without what is not known before the change is made. */
function notYetMade(applied: AppliedPolicy): LoginPolicy {
  const message = fromApplied(applied);
  message.etag = "";
  message.revision = "";
  delete message.createTime;
  delete message.updateTime;
  return message;
}
