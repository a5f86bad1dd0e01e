import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { AddCustomLoginPolicyRequest } from "../../../gen/zitadel/management_pb.ts";
import type { ListDetailsSchema, ObjectDetailsSchema } from "../../../gen/zitadel/object_pb.ts";
import {
  type LoginPolicySchema,
  type MultiFactorType,
  PasswordlessType,
  type SecondFactorType,
} from "../../../gen/zitadel/policy_pb.ts";
import type { ReadPolicy, Written } from "../../application/login-policy.ts";
import { multiFactorKind, secondFactorKind, type WantedLoginPolicy } from "../../domain/login-policy/decide.ts";
import type { LoginPolicySettings } from "../../domain/login-policy/settings.ts";
import { policyHeader } from "../../wire-names.ts";
import {
  fromInstant,
  fromMultiFactors,
  fromPolicyValues,
  fromSecondFactors,
  multiFactorOf,
  secondFactorOf,
  toDuration,
} from "../values.ts";

// Converts between messages and domain values. Nothing else knows both.

/** The factor with this wire number, and its kind. The factor is undefined for `unspecified` and for unknown numbers. */
export const toSecondFactor = (type: SecondFactorType) => ({
  kind: secondFactorKind,
  factor: secondFactorOf(type),
});
export const toMultiFactor = (type: MultiFactorType) => ({
  kind: multiFactorKind,
  factor: multiFactorOf(type),
});

/** The fields that all requests with settings share. An absent one is false, zero or empty. */
type SettingsRequest = Pick<
  AddCustomLoginPolicyRequest,
  Exclude<keyof AddCustomLoginPolicyRequest, "secondFactors" | "multiFactors" | "idps" | `$${string}`>
>;

export function toSettings(request: SettingsRequest): LoginPolicySettings {
  return {
    allowUsernamePassword: request.allowUsernamePassword,
    allowRegister: request.allowRegister,
    allowExternalIdp: request.allowExternalIdp,
    allowDomainDiscovery: request.allowDomainDiscovery,
    disableLoginWithEmail: request.disableLoginWithEmail,
    disableLoginWithPhone: request.disableLoginWithPhone,
    forceMfa: request.forceMfa,
    forceMfaLocalOnly: request.forceMfaLocalOnly,
    hidePasswordReset: request.hidePasswordReset,
    ignoreUnknownUsernames: request.ignoreUnknownUsernames,
    passwordlessType: request.passwordlessType === PasswordlessType.ALLOWED ? "allowed" : "not_allowed",
    defaultRedirectUri: request.defaultRedirectUri,
    passwordCheckLifetime: toDuration(request.passwordCheckLifetime),
    externalLoginCheckLifetime: toDuration(request.externalLoginCheckLifetime),
    mfaInitSkipLifetime: toDuration(request.mfaInitSkipLifetime),
    secondFactorCheckLifetime: toDuration(request.secondFactorCheckLifetime),
    multiFactorCheckLifetime: toDuration(request.multiFactorCheckLifetime),
  };
}

export function toWantedPolicy(request: AddCustomLoginPolicyRequest): WantedLoginPolicy {
  return {
    settings: toSettings(request),
    secondFactors: request.secondFactors.map((type) => toSecondFactor(type).factor),
    multiFactors: request.multiFactors.map((type) => toMultiFactor(type).factor),
    idpIds: request.idps.map(({ idpId }) => idpId),
  };
}

export function fromPolicy({ policy, owner, isDefault }: ReadPolicy): MessageInitShape<typeof LoginPolicySchema> {
  return {
    ...fromPolicyValues(policy),
    details: {
      sequence: BigInt(policy.sequence),
      creationDate: fromInstant(policy.createdAt),
      changeDate: fromInstant(policy.changedAt),
      resourceOwner: owner,
    },
    isDefault,
  };
}

/** The answers to the three kinds of list. No identity provider exists, so no policy links one. */
export const fromSecondFactorList = (read: ReadPolicy) => fromList(read, fromSecondFactors(read.policy.secondFactors));
export const fromMultiFactorList = (read: ReadPolicy) => fromList(read, fromMultiFactors(read.policy.multiFactors));
export const fromIdpList = (read: ReadPolicy) => fromList(read, []);

function fromList<Item>(
  { position, recordedAt }: ReadPolicy,
  result: Item[],
): { details: MessageInitShape<typeof ListDetailsSchema>; result: Item[] } {
  return {
    details: {
      totalResult: BigInt(result.length),
      processedSequence: BigInt(position),
      viewTimestamp: fromInstant(recordedAt),
    },
    result,
  };
}

type DetailsInit = { details: MessageInitShape<typeof ObjectDetailsSchema> };

/** The answer to an Add, with a creation date. Sets the header of a copied policy. */
export function fromAdded(written: Written, context: HandlerContext): DetailsInit {
  const { details } = fromChanged(written, context);
  return { details: { ...details, creationDate: fromInstant(written.recordedAt) } };
}

/** The answer to any other write. Sets the header of a copied policy. */
export function fromChanged({ owner, sequence, recordedAt, copied }: Written, context: HandlerContext): DetailsInit {
  if (copied) context.responseHeader.set(policyHeader, "created");
  return { details: { sequence: BigInt(sequence), changeDate: fromInstant(recordedAt), resourceOwner: owner } };
}
