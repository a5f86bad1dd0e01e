import { hash } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type LoginPolicy, LoginPolicy_Origin, LoginPolicySchema } from "../../../gen/portcullis/v1/login_policy_pb.ts";
import type { AppliedPolicy, Subject } from "../../application/applied-policy.ts";
import { policyNameOf, revisionNameOf } from "../../auth/resource.ts";
import type { LoginPolicySettings } from "../../domain/login-policy/settings.ts";
import { fromInstant, fromPolicyValues } from "../values.ts";

export const originOf = (subject: Subject, owner: Subject): LoginPolicy_Origin =>
  subject.type === owner.type ? LoginPolicy_Origin.OWN : LoginPolicy_Origin.INHERITED;

/** The policy that applies, with its etag. */
export function fromApplied({ subject, displayName, owner, policy }: AppliedPolicy): LoginPolicy {
  return withEtag({
    name: policyNameOf(subject),
    organizationDisplayName: displayName,
    origin: originOf(subject, owner),
    revision: revisionNameOf(owner, policy.sequence),
    createTime: fromInstant(policy.createdAt),
    updateTime: fromInstant(policy.changedAt),
    ...fromPolicyValues(policy),
  });
}

/** Sets the etag: a digest of all that the message shows. */
export function withEtag(init: MessageInitShape<typeof LoginPolicySchema>): LoginPolicy {
  const message = create(LoginPolicySchema, init);
  message.etag = `"${hash("sha256", toBinary(LoginPolicySchema, message), "base64url").slice(0, 27)}"`;
  return message;
}

/** The fields of LoginPolicy that hold settings, by the names of the domain, which are those of the messages. */
export const settingFields = LoginPolicySchema.fields.filter(
  ({ number }) => number >= LoginPolicySchema.field.allowUsernamePassword.number,
);

/** The wire name of a field: `force_mfa` for `forceMfa`. */
export const wireName = (
  setting: keyof LoginPolicySettings | "secondFactors" | "multiFactors" | "identityProviders" | "origin",
) => LoginPolicySchema.field[setting].name;
