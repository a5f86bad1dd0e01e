import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type LoginPolicy, LoginPolicySchema } from "../../../gen/portcullis/v1/login_policy_pb.ts";
import type { LoginPolicyService } from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { appliedIn, type Subject } from "../../application/applied-policy.ts";
import { changePolicy, type PolicyChangeWish } from "../../application/change-policies.ts";
import { listPolicies } from "../../application/list-policies.ts";
import { type Access, accessOf } from "../../auth/access.ts";
import { AuthError } from "../../auth/errors.ts";
import { instanceRef, type Store } from "../../store/store.ts";
import { policyHeader } from "../../wire-names.ts";
import { fromApplied } from "./convert.ts";
import { etagMismatch, invalidField } from "./errors.ts";
import { readFilter } from "./filter.ts";
import { pageToken, readPageSize, readPageToken } from "./page-token.ts";
import { readPatch } from "./patch.ts";
import { type FindRevision, isPermitted, preview } from "./preview.ts";

/** `portcullis.v1.LoginPolicyService`: login policies as a whole. */
export function createLoginPolicyService(store: Store): Partial<ServiceImpl<typeof LoginPolicyService>> {
  /** Makes a change, where the policy has the etag, or none is given. */
  async function change(
    wish: PolicyChangeWish,
    call: {
      readonly access: Access;
      readonly subject: Subject;
      readonly etag: string;
      readonly context: HandlerContext;
    },
  ): Promise<LoginPolicy> {
    const { access, subject, etag, context } = call;
    if (!isPermitted(access, subject, wish)) throw new AuthError("permission_missing");
    const changed = await changePolicy(store, {
      subject,
      userId: access.userId,
      wish,
      check(present) {
        if (etag === "") return;
        const current = fromApplied(present).etag;
        if (etag !== current) throw etagMismatch(current);
      },
    });
    if (changed.copied) context.responseHeader.set(policyHeader, "created");
    return fromApplied(changed);
  }

  const findRevision: FindRevision = () => {
    throw new Error("not yet");
  };

  return {
    async getLoginPolicy(_, context) {
      const { access, subject } = namedIn(context);
      const { seen } = access;
      return fromApplied(appliedIn(await store.read([subject, instanceRef], { seen }), subject));
    },

    async listLoginPolicies({ parent, pageSize, pageToken: token, filter }, context) {
      if (parent !== "organizations/-") throw invalidField("parent", "send organizations/-");
      const call = ["list", filter];
      const { policies, next } = await listPolicies(store, {
        ...readFilter(filter),
        readable: accessOf(context).organizations("policy.read"),
        after: readPageToken(token, call),
        limit: readPageSize(pageSize),
      });
      return { loginPolicies: policies.map(fromApplied), nextPageToken: pageToken(call, next) };
    },

    updateLoginPolicy({ loginPolicy = create(LoginPolicySchema), updateMask }, context) {
      const { access, subject } = wholePolicyOf(context, "login_policy.name");
      const paths = { at: "login_policy", maskAt: "update_mask", ofInstance: subject.type === "instance" };
      const patch = readPatch(loginPolicy, updateMask, paths);
      return change({ kind: "update", patch }, { access, subject, etag: loginPolicy.etag, context });
    },

    resetLoginPolicy({ etag }, context) {
      const { access, subject } = wholePolicyOf(context, "name");
      if (subject.type === "instance") throw invalidField("name", "the policy of the instance cannot be reset");
      return change({ kind: "reset" }, { access, subject, etag, context });
    },

    previewLoginPolicy(request, context) {
      return preview(request, { store, ...wholePolicyOf(context, "name"), findRevision });
    },
  };
}

/** What the request names. */
function namedIn(context: HandlerContext): { access: Access; subject: Subject; revision: number | undefined } {
  const access = accessOf(context);
  if (access.name === undefined) throw new Error(`${context.method.name} names no policy`);
  const { resource, revision } = access.name;
  return { access, subject: resource, revision };
}

/** The same for a request that must name a policy as it is. Throws invalid_argument for a revision. */
function wholePolicyOf(context: HandlerContext, field: string): { access: Access; subject: Subject } {
  const { revision, ...named } = namedIn(context);
  if (revision !== undefined) throw invalidField(field, "name the policy, and not a revision of it");
  return named;
}
