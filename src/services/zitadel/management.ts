import type { ServiceImpl } from "@connectrpc/connect";
import type { ManagementService } from "../../../gen/zitadel/management_pb.ts";
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
  toWantedPolicy,
} from "./convert.ts";

/** `zitadel.management.v1.ManagementService`: the login policy of the caller's organization. */
export function createManagementService(policies: LoginPolicies): ServiceImpl<typeof ManagementService> {
  return {
    healthz: () => ({}),

    async getLoginPolicy(_, context) {
      const read = await policies.getEffective(principalOf(context));
      return { policy: fromPolicy(read), isDefault: read.isDefault };
    },
    async getDefaultLoginPolicy(_, context) {
      return { policy: fromPolicy(await policies.getDefault(principalOf(context))) };
    },
    async addCustomLoginPolicy(request, context) {
      return fromAdded(await policies.addCustom(principalOf(context), toWantedPolicy(request)), context);
    },
    async updateCustomLoginPolicy(request, context) {
      return fromChanged(await policies.updateCustom(principalOf(context), toSettings(request)), context);
    },
    async resetLoginPolicyToDefault(_, context) {
      return fromChanged(await policies.reset(principalOf(context)), context);
    },

    async listLoginPolicySecondFactors(_, context) {
      return fromSecondFactorList(await policies.getEffective(principalOf(context)));
    },
    async addSecondFactorToLoginPolicy({ type }, context) {
      return fromAdded(await policies.addFactor(principalOf(context), toSecondFactor(type)), context);
    },
    async removeSecondFactorFromLoginPolicy({ type }, context) {
      return fromChanged(await policies.removeFactor(principalOf(context), toSecondFactor(type)), context);
    },

    async listLoginPolicyMultiFactors(_, context) {
      return fromMultiFactorList(await policies.getEffective(principalOf(context)));
    },
    async addMultiFactorToLoginPolicy({ type }, context) {
      return fromAdded(await policies.addFactor(principalOf(context), toMultiFactor(type)), context);
    },
    async removeMultiFactorFromLoginPolicy({ type }, context) {
      return fromChanged(await policies.removeFactor(principalOf(context), toMultiFactor(type)), context);
    },

    async listLoginPolicyIDPs(_, context) {
      return fromIdpList(await policies.getEffective(principalOf(context)));
    },
    async addIDPToLoginPolicy(_, context) {
      return fromAdded(await policies.addIdp(principalOf(context)), context);
    },
    async removeIDPFromLoginPolicy(_, context) {
      return fromChanged(await policies.removeIdp(principalOf(context)), context);
    },
  };
}
