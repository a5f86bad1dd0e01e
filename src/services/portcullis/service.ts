import type { ServiceImpl } from "@connectrpc/connect";
import type { LoginPolicyService } from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { appliedIn } from "../../application/applied-policy.ts";
import { listPolicies } from "../../application/list-policies.ts";
import { accessOf } from "../../auth/access.ts";
import { parsePolicyName } from "../../auth/resource.ts";
import { instanceRef, type Store } from "../../store/store.ts";
import { fromApplied } from "./convert.ts";
import { invalidField } from "./errors.ts";
import { readFilter } from "./filter.ts";
import { pageToken, readPageSize, readPageToken } from "./page-token.ts";

/** `portcullis.v1.LoginPolicyService`: login policies as a whole. */
export function createLoginPolicyService(store: Store): ServiceImpl<typeof LoginPolicyService> {
  return {
    async getLoginPolicy({ name }, context) {
      const { seen } = accessOf(context);
      const { resource, revision } = parsePolicyName(name);
      return fromApplied(appliedIn(await store.read([resource, instanceRef], { seen }), resource));
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
  };
}
