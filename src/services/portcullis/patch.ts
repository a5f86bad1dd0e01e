import { isFieldSet } from "@bufbuild/protobuf";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { type LoginPolicy, LoginPolicySchema } from "../../../gen/portcullis/v1/login_policy_pb.ts";
import { PasswordlessType } from "../../../gen/zitadel/policy_pb.ts";
import { PolicyError, type PolicyErrorCode } from "../../domain/login-policy/errors.ts";
import { isRedirectUri, type LoginPolicySettings } from "../../domain/login-policy/settings.ts";
import type { PolicyPatch } from "../../domain/login-policy/update.ts";
import { multiFactorOf, secondFactorOf, toDuration } from "../values.ts";
import { settingFields } from "./convert.ts";
import { invalidField, refusedField } from "./errors.ts";

/** The fields that only answers have, and those that say which policy is meant. A mask may name them, and then they count for nothing. */
const ignored: ReadonlySet<string> = new Set(
  LoginPolicySchema.fields.filter((field) => !settingFields.includes(field)).map(({ name }) => name),
);

/**
 * Reads what an update names. `at` is the path of the policy in the request, for errors. Throws invalid_argument for a path that is no
 * field, for a scalar that the mask names and the message lacks, and for values that no policy has.
 */
export function readPatch(
  policy: LoginPolicy,
  mask: FieldMask | undefined,
  { at, maskAt, ofInstance }: { readonly at: string; readonly maskAt: string; readonly ofInstance: boolean },
): PolicyPatch {
  const names = namesIn(policy, mask, { at, maskAt });
  const fieldOf = (name: string) => `${at}.${name}`;
  const code = (ofOrganization: PolicyErrorCode, ofTheInstance: PolicyErrorCode) =>
    new PolicyError(ofInstance ? ofTheInstance : ofOrganization);
  const settings: Record<string, unknown> = {};
  for (const field of settingFields) {
    const { localName, name } = field;
    if (!names.has(name) || field.fieldKind === "list") continue;
    const value = policy[localName as keyof LoginPolicy];
    if (field.fieldKind === "message") settings[localName] = toDuration(value as LoginPolicy["passwordCheckLifetime"]);
    else if (field.fieldKind === "enum") settings[localName] = passwordlessType(Number(value), fieldOf(name));
    else settings[localName] = value;
  }
  const uri = (settings as Partial<LoginPolicySettings>).defaultRedirectUri;
  if (uri !== undefined && !isRedirectUri(uri)) {
    const refused = code("org_update_redirect_invalid", "instance_update_redirect_invalid");
    throw refusedField(
      fieldOf("default_redirect_uri"),
      refused,
      "send a URL with a scheme and a host, or an empty text",
    );
  }
  const factors = <Type, Factor>(types: readonly Type[], factorOf: (type: Type) => Factor | undefined, name: string) =>
    types.map((type, index) => {
      const factor = factorOf(type);
      if (factor !== undefined) return factor;
      const refused = code(
        name === "second_factors" ? "org_second_factor_invalid" : "org_multi_factor_invalid",
        name === "second_factors" ? "instance_second_factor_invalid" : "instance_multi_factor_invalid",
      );
      throw refusedField(`${fieldOf(name)}[${index}]`, refused, "send the name of a factor");
    });
  return {
    settings: settings as Partial<LoginPolicySettings>,
    ...(names.has("second_factors") && {
      secondFactors: factors(policy.secondFactors, secondFactorOf, "second_factors"),
    }),
    ...(names.has("multi_factors") && { multiFactors: factors(policy.multiFactors, multiFactorOf, "multi_factors") }),
    ...(names.has("identity_providers") && { identityProviderIds: policy.identityProviders.map(({ id }) => id) }),
  };
}

function passwordlessType(value: number, field: string): LoginPolicySettings["passwordlessType"] {
  if (value === PasswordlessType.ALLOWED) return "allowed";
  if (value === PasswordlessType.NOT_ALLOWED) return "not_allowed";
  throw invalidField(field, "send PASSWORDLESS_TYPE_NOT_ALLOWED or PASSWORDLESS_TYPE_ALLOWED");
}

/** The wire names of the settings and sets to change. */
function namesIn(
  policy: LoginPolicy,
  mask: FieldMask | undefined,
  { at, maskAt }: { readonly at: string; readonly maskAt: string },
): ReadonlySet<string> {
  const isPopulated = (field: (typeof settingFields)[number]) => isFieldSet(policy, field);
  if (mask === undefined || mask.paths.length === 0) {
    return new Set(settingFields.filter(isPopulated).map(({ name }) => name));
  }
  const names = new Set<string>();
  for (const path of mask.paths) {
    const fields = path === "*" ? settingFields : settingFields.filter(({ name }) => name === path);
    if (fields.length === 0 && !ignored.has(path)) {
      throw invalidField(
        maskAt,
        `${JSON.stringify(path.slice(0, 100))} is no field of LoginPolicy`,
        "MASK_PATH_UNKNOWN",
      );
    }
    for (const field of fields) {
      if (field.fieldKind !== "list" && !isPopulated(field)) {
        throw invalidField(`${at}.${field.name}`, "the mask names it, so send its value", "FIELD_MISSING");
      }
      names.add(field.name);
    }
  }
  return names;
}
