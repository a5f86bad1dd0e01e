import { fromJson, type JsonObject, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import type { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { type LoginPolicy, LoginPolicySchema } from "../../../gen/portcullis/v1/login_policy_pb.ts";
import { ConfigError } from "../../config.ts";

/** The fields that can be changed, by their wire names. */
const fields = new Map(
  LoginPolicySchema.fields
    .filter(({ number }) => number >= LoginPolicySchema.field.allowUsernamePassword.number)
    .map((field) => [field.name, field]),
);

/** Reads `force_mfa=true` and the like. Throws a ConfigError for what is no setting, and for a value that it cannot have. */
export function readAssignments(assignments: readonly string[]): {
  readonly policy: LoginPolicy;
  readonly mask: MessageInitShape<typeof FieldMaskSchema>;
} {
  const json: JsonObject = {};
  for (const assignment of assignments) {
    const [, name = "", text = ""] = /^([a-z_]+)=(.*)$/s.exec(assignment) ?? [];
    const field = fields.get(name);
    if (field === undefined) {
      throw new ConfigError(
        `${assignment} does not begin with the name of a setting and "=": ${[...fields.keys()].join(", ")}`,
      );
    }
    if (field.fieldKind === "list") json[name] = text === "" ? [] : text.split(",").map((item) => item.trim());
    else json[name] = text === "true" || text === "false" ? text === "true" : text;
  }
  try {
    return { policy: fromJson(LoginPolicySchema, json), mask: { paths: Object.keys(json) } };
  } catch (cause) {
    // As "cannot decode field portcullis.v1.LoginPolicy.force_mfa from JSON: …".
    const reason = (cause as Error).message.replace(/^.*LoginPolicy\./, "").replace(" from JSON", "");
    throw new ConfigError(`a value does not fit its setting: ${reason}`);
  }
}

/** A policy as lines for people, in the order of its fields. */
export function formatPolicy(policy: LoginPolicy): string {
  const json = toJson(LoginPolicySchema, policy, { alwaysEmitImplicit: true }) as JsonObject;
  return LoginPolicySchema.fields
    .filter(({ jsonName }) => json[jsonName] !== undefined)
    .map(({ name, jsonName }) => `${name}: ${formatValue(json[jsonName] ?? null)}`)
    .join("\n");
}

export function formatValue(value: JsonValue): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(formatValue).join(", ");
  if (value === "") return "none";
  if (typeof value === "object" && value !== null) return String((value as JsonObject)["id"] ?? JSON.stringify(value));
  return String(value);
}
