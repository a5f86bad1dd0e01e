import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type LoginPolicy, LoginPolicySchema } from "../../../gen/portcullis/v1/login_policy_pb.ts";
import {
  ListLoginPolicyRevisionsRequest_View,
  type LoginPolicyService,
} from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { appliedIn, type Subject } from "../../application/applied-policy.ts";
import { changePolicy, type PolicyChangeWish } from "../../application/change-policies.ts";
import { listPolicies } from "../../application/list-policies.ts";
import { createPolicyHistory } from "../../application/policy-history.ts";
import { type Access, accessOf } from "../../auth/access.ts";
import { AuthError } from "../../auth/errors.ts";
import { policyNameOf, revisionNameOf } from "../../auth/resource.ts";
import { type Clock, instanceRef, type Store } from "../../store/store.ts";
import { policyHeader } from "../../wire-names.ts";
import { fromApplied } from "./convert.ts";
import { etagMismatch, invalidField } from "./errors.ts";
import { evaluateSignIn } from "./evaluate.ts";
import { explainHistory } from "./explain-convert.ts";
import { readFilter } from "./filter.ts";
import { pageToken, readPageSize, readPageToken } from "./page-token.ts";
import { readPatch } from "./patch.ts";
import { isPermitted, preview, type RollbackWish } from "./preview.ts";
import { findRevision, fromRevision, readHistory, revisionsOf, type SubjectHistory, snapshotOf } from "./revisions.ts";
import { createWatch, type WatchServiceOptions } from "./watch.ts";

export interface LoginPolicyServiceOptions extends Omit<WatchServiceOptions, "history"> {
  readonly store: Store;
  /** Decides on the age of checks, unless a request says when it is to be evaluated. */
  readonly clock: Clock;
}

/** `portcullis.v1.LoginPolicyService`: login policies as a whole. */
export function createLoginPolicyService(options: LoginPolicyServiceOptions): ServiceImpl<typeof LoginPolicyService> {
  const { store, clock } = options;

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

  const history = createPolicyHistory(store);

  async function historyOf(subject: Subject, { seen }: Access): Promise<SubjectHistory> {
    return readHistory(history, await store.read([subject, instanceRef], { seen }), subject);
  }

  /** A rollback to a revision. Rejects with not_found. */
  async function rollbackTo(revision: number, { subject, access }: Named): Promise<RollbackWish> {
    const { policy } = findRevision(await historyOf(subject, access), revision);
    return { kind: "rollback", revision, target: policy };
  }

  return {
    async getLoginPolicy(_, context) {
      const { access, subject, revision } = namedIn(context);
      if (revision !== undefined) {
        const history = await historyOf(subject, access);
        return snapshotOf(history, findRevision(history, revision));
      }
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
      const named = wholePolicyOf(context, "name");
      return preview(request, { store, ...named, findRevision: (revision) => rollbackTo(revision, named) });
    },

    async explainLoginPolicy(_, context) {
      const { access, subject } = wholePolicyOf(context, "name");
      return explainHistory(await historyOf(subject, access), access);
    },

    async evaluateSignIn(request, context) {
      const { access, subject } = wholePolicyOf(context, "name");
      const { seen } = access;
      const { policy, owner } = appliedIn(await store.read([subject, instanceRef], { seen }), subject);
      return evaluateSignIn(request, { policy, revision: revisionNameOf(owner, policy.sequence), now: clock() });
    },

    async listLoginPolicyRevisions({ pageSize, pageToken: token, view }, context) {
      const { access, subject } = wholePolicyOf(context, "parent");
      const isFull = view === ListLoginPolicyRevisionsRequest_View.FULL;
      const call = ["revisions", policyNameOf(subject), isFull];
      const [before, limit] = [readPageToken(token, call), readPageSize(pageSize)];
      const history = await historyOf(subject, access);
      const older = revisionsOf(history).filter(({ revision }) => before === undefined || revision < Number(before));
      const page = older.slice(-limit).reverse();
      return {
        loginPolicyRevisions: page.map((revision) => fromRevision(history, revision, { access, isFull })),
        nextPageToken: pageToken(call, older.length > limit ? String(page.at(-1)?.revision) : undefined),
      };
    },

    async rollbackLoginPolicy({ name, etag }, context) {
      const { access, subject, revision } = namedIn(context);
      if (revision === undefined) throw invalidField("name", `send ${name}/revisions/{revision}`);
      const wish = await rollbackTo(revision, { access, subject });
      return change(wish, { access, subject, etag, context });
    },

    watchLoginPolicies: createWatch({ ...options, history }),
  };
}

interface Named {
  readonly access: Access;
  readonly subject: Subject;
}

/** What the request names. */
function namedIn(context: HandlerContext): Named & { readonly revision: number | undefined } {
  const access = accessOf(context);
  if (access.name === undefined) throw new Error(`${context.method.name} names no policy`);
  const { resource, revision } = access.name;
  return { access, subject: resource, revision };
}

/** The same for a request that must name a policy as it is. Throws invalid_argument for a revision. */
function wholePolicyOf(context: HandlerContext, field: string): Named {
  const { revision, ...named } = namedIn(context);
  if (revision !== undefined) throw invalidField(field, "name the policy, and not a revision of it");
  return named;
}
