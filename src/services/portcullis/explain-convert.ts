import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type FactorExplanationSchema,
  SettingExplanation_Level,
  type SettingExplanationSchema,
} from "../../../gen/portcullis/v1/login_policy_pb.ts";
import type { ExplainLoginPolicyResponseSchema } from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import type { Access } from "../../auth/access.ts";
import { revisionNameOf } from "../../auth/resource.ts";
import { explain, type FactorExplanation, type Origin } from "../../domain/login-policy/explain.ts";
import { fromInstant, multiFactorTypes, secondFactorTypes } from "../values.ts";
import { fromSetting } from "./change-convert.ts";
import { wireName } from "./convert.ts";
import { actorOf, ownerRef, type SubjectHistory } from "./revisions.ts";

const levels = {
  built_in: SettingExplanation_Level.BUILT_IN,
  instance: SettingExplanation_Level.INSTANCE,
  organization: SettingExplanation_Level.ORGANIZATION,
} as const satisfies Record<Origin["level"], SettingExplanation_Level>;

/** Explains the policy that applies to a subject. */
export function explainHistory(
  { subject, timelines }: SubjectHistory,
  access: Pick<Access, "can">,
): MessageInitShape<typeof ExplainLoginPolicyResponseSchema> {
  const fromOrigin = ({ level, setBy }: Origin) => {
    const owner = ownerRef(subject, level === "organization" ? "organization" : "instance");
    return {
      level: levels[level],
      revision: revisionNameOf(owner, setBy.revision),
      setTime: fromInstant(setBy.recordedAt),
      actor: actorOf(access, owner, setBy.actor),
    };
  };
  const fromFactor = (one: FactorExplanation<unknown>): MessageInitShape<typeof FactorExplanationSchema> => ({
    ...fromOrigin(one),
    allowed: one.allowed,
    ...(one.allowedAfterReset !== undefined && { allowedAfterReset: one.allowedAfterReset }),
  });
  const { settings, secondFactors, multiFactors } = explain(timelines);
  return {
    settings: settings.map(
      ({ path, value, valueAfterReset, ...origin }): MessageInitShape<typeof SettingExplanationSchema> => ({
        ...fromOrigin(origin),
        path: wireName(path),
        value: fromSetting(path, value),
        ...(valueAfterReset !== undefined && { valueAfterReset: fromSetting(path, valueAfterReset) }),
      }),
    ),
    factors: [
      ...secondFactors.map((one) => ({
        ...fromFactor(one),
        factor: { case: "secondFactor", value: secondFactorTypes[one.factor] } as const,
      })),
      ...multiFactors.map((one) => ({
        ...fromFactor(one),
        factor: { case: "multiFactor", value: multiFactorTypes[one.factor] } as const,
      })),
    ],
  };
}
