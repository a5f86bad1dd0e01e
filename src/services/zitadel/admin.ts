import type { ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../../gen/zitadel/admin_pb.ts";
import type { LoginPolicies } from "../../application/login-policy.ts";
import { principalOf } from "../../auth/principal.ts";
import {
  fromAdded,
  fromChanged,
  fromIdpList,
  fromMultiFactorList,
  fromPolicy,
  fromSecondFactorList,
  toMultiFactor,
  toSecondFactor,
  toSettings,
} from "./convert.ts";

/** `zitadel.admin.v1.AdminService`: the login policy of the instance, which organizations inherit. */
export function createAdminService(policies: LoginPolicies): ServiceImpl<typeof AdminService> {
  return {
    healthz: () => ({}),

    async getLoginPolicy(_, context) {
      return { policy: fromPolicy(await policies.getDefault(principalOf(context))) };
    },
    async updateLoginPolicy(request, context) {
      return fromChanged(await policies.updateDefault(principalOf(context), toSettings(request)), context);
    },

    async listLoginPolicySecondFactors(_, context) {
      return fromSecondFactorList(await policies.getDefault(principalOf(context)));
    },
    async addSecondFactorToLoginPolicy({ type }, context) {
      return fromAdded(await policies.addDefaultFactor(principalOf(context), toSecondFactor(type)), context);
    },
    async removeSecondFactorFromLoginPolicy({ type }, context) {
      return fromChanged(await policies.removeDefaultFactor(principalOf(context), toSecondFactor(type)), context);
    },

    async listLoginPolicyMultiFactors(_, context) {
      return fromMultiFactorList(await policies.getDefault(principalOf(context)));
    },
    async addMultiFactorToLoginPolicy({ type }, context) {
      return fromAdded(await policies.addDefaultFactor(principalOf(context), toMultiFactor(type)), context);
    },
    async removeMultiFactorFromLoginPolicy({ type }, context) {
      return fromChanged(await policies.removeDefaultFactor(principalOf(context), toMultiFactor(type)), context);
    },

    async listLoginPolicyIDPs(_, context) {
      return fromIdpList(await policies.getDefault(principalOf(context)));
    },
    async addIDPToLoginPolicy(_, context) {
      return fromAdded(await policies.addDefaultIdp(principalOf(context)), context);
    },
    async removeIDPFromLoginPolicy(_, context) {
      return fromChanged(await policies.removeDefaultIdp(principalOf(context)), context);
    },
  };
}
