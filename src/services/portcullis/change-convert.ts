import { create, fromJson, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { DurationSchema, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  type PolicyChangeSchema,
  PolicyWarning_Reason,
  type PolicyWarningSchema,
} from "../../../gen/portcullis/v1/login_policy_pb.ts";
import {
  MultiFactorTypeSchema,
  PasswordlessType,
  PasswordlessTypeSchema,
  SecondFactorTypeSchema,
} from "../../../gen/zitadel/policy_pb.ts";
import type { PolicyChange } from "../../domain/login-policy/changes.ts";
import type { MultiFactor, SecondFactor } from "../../domain/login-policy/factors.ts";
import type { SettingName, SettingValue } from "../../domain/login-policy/settings.ts";
import type { PolicyWarning } from "../../domain/login-policy/warnings.ts";
import { fromDuration, fromMultiFactors, fromSecondFactors } from "../values.ts";
import { wireName } from "./convert.ts";

/** The value of a setting in the form that it has in JSON. */
export function fromSetting(path: SettingName, value: SettingValue): Value {
  let json: JsonValue;
  if (typeof value === "object") json = toJson(DurationSchema, create(DurationSchema, fromDuration(value)));
  else if (path !== "passwordlessType") json = value;
  else {
    const type = value === "allowed" ? PasswordlessType.ALLOWED : PasswordlessType.NOT_ALLOWED;
    json = nameIn(PasswordlessTypeSchema, type);
  }
  return fromJson(ValueSchema, json);
}

const nameIn = (
  desc: { readonly value: Readonly<Record<number, { readonly name: string }>> },
  number: number,
): string => desc.value[number]?.name ?? String(number);
const secondFactorNames = (factors: readonly SecondFactor[]) =>
  fromSecondFactors(factors).map((type) => nameIn(SecondFactorTypeSchema, type));
const multiFactorNames = (factors: readonly MultiFactor[]) =>
  fromMultiFactors(factors).map((type) => nameIn(MultiFactorTypeSchema, type));

export function fromChange(change: PolicyChange): MessageInitShape<typeof PolicyChangeSchema> {
  const path = wireName(change.path);
  switch (change.path) {
    case "secondFactors":
      return { path, added: secondFactorNames(change.added), removed: secondFactorNames(change.removed) };
    case "multiFactors":
      return { path, added: multiFactorNames(change.added), removed: multiFactorNames(change.removed) };
    default:
      return { path, before: fromSetting(change.path, change.before), after: fromSetting(change.path, change.after) };
  }
}

export const fromWarning = ({
  reason,
  path,
  message,
}: PolicyWarning): MessageInitShape<typeof PolicyWarningSchema> => ({
  reason: PolicyWarning_Reason[reason],
  path: wireName(path),
  message,
});
