// Our .proto files are written by hand; the published descriptors of @zitadel/proto say whether they are right.
import {
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  hasOption,
  ScalarType,
  toJsonString,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import {
  FieldRulesSchema as TheirFieldRulesSchema,
  rules as theirRules,
  file_validate_validate as theirValidate,
} from "@zitadel/proto/validate/validate_pb";
import { file_zitadel_admin as theirAdmin } from "@zitadel/proto/zitadel/admin_pb";
import { file_zitadel_auth as theirAuth } from "@zitadel/proto/zitadel/auth_pb";
import { file_zitadel_idp as theirIdp } from "@zitadel/proto/zitadel/idp_pb";
import { file_zitadel_management as theirManagement } from "@zitadel/proto/zitadel/management_pb";
import { file_zitadel_message as theirMessage } from "@zitadel/proto/zitadel/message_pb";
import { file_zitadel_object as theirObject } from "@zitadel/proto/zitadel/object_pb";
import { file_zitadel_options as theirOptions } from "@zitadel/proto/zitadel/options_pb";
import { file_zitadel_policy as theirPolicy } from "@zitadel/proto/zitadel/policy_pb";
import { expect, test } from "vitest";
import { http } from "../../../gen/google/api/annotations_pb.ts";
import { FieldRulesSchema, file_validate_validate, rules } from "../../../gen/validate/validate_pb.ts";
import { file_zitadel_admin } from "../../../gen/zitadel/admin_pb.ts";
import { file_zitadel_auth } from "../../../gen/zitadel/auth_pb.ts";
import { file_zitadel_idp } from "../../../gen/zitadel/idp_pb.ts";
import { file_zitadel_management } from "../../../gen/zitadel/management_pb.ts";
import { file_zitadel_message } from "../../../gen/zitadel/message_pb.ts";
import { file_zitadel_object } from "../../../gen/zitadel/object_pb.ts";
import { auth_option, file_zitadel_options } from "../../../gen/zitadel/options_pb.ts";
import { file_zitadel_policy } from "../../../gen/zitadel/policy_pb.ts";

const pairs: [ours: DescFile, theirs: DescFile][] = [
  [file_zitadel_management, theirManagement],
  [file_zitadel_admin, theirAdmin],
  [file_zitadel_auth, theirAuth],
  [file_zitadel_policy, theirPolicy],
  [file_zitadel_idp, theirIdp],
  [file_zitadel_object, theirObject],
  [file_zitadel_options, theirOptions],
  [file_zitadel_message, theirMessage],
  [file_validate_validate, theirValidate],
];

/**
 * Every difference there may be. One that is gone fails the test as one that is new does. What does not change calls is
 * not compared: language options (go_package and the like) and ZITADEL's OpenAPI annotations.
 */
const differences: Difference[] = [
  {
    at: "zitadel.policy.v1.SecondFactorType value SECOND_FACTOR_TYPE_RECOVERY_CODES",
    ours: "5",
    theirs: undefined,
    reason: "ZITADEL has it since January 2026 (zitadel-go v3.21.0); @zitadel/proto 1.3.1 does not yet",
  },
];

/** ZITADEL's gateway puts these before the paths of its HTTP rules; ours carry the full path. */
const pathPrefix = new Map([
  ["zitadel.management.v1.ManagementService", "/management/v1"],
  ["zitadel.admin.v1.AdminService", "/admin/v1"],
  ["zitadel.auth.v1.AuthService", "/auth/v1"],
]);

/** Of these we hold a part, so what only they have is no difference. Of everything else we hold all. */
const partial = new Map([
  ["zitadel.management.v1.ManagementService", "14 of its methods are about the login policy, and Healthz"],
  ["zitadel.admin.v1.AdminService", "11 of its methods are about the login policy, and Healthz"],
  ["zitadel.auth.v1.AuthService", "Healthz alone"],
  ["validate.FieldRules", "only the two kinds of rules in use"],
  ["validate.StringRules", "only the rules in use"],
  ["validate.EnumRules", "only the rules in use"],
]);

interface Difference {
  at: string;
  ours: string | undefined;
  theirs: string | undefined;
  reason: string;
}

type Element = DescMessage | DescEnum | DescService | DescExtension;
type Facts = Map<string, string>;

function elements(file: DescFile): Map<string, Element> {
  const all: Element[] = [...file.enums, ...file.services, ...file.extensions];
  const add = (message: DescMessage) => {
    all.push(message, ...message.nestedEnums, ...message.nestedExtensions);
    message.nestedMessages.forEach(add);
  };
  file.messages.forEach(add);
  return new Map(all.map((element) => [element.typeName, element]));
}

function typeOf(field: DescField | DescExtension): string {
  switch (field.fieldKind) {
    case "scalar":
      return ScalarType[field.scalar];
    case "enum":
      return field.enum.typeName;
    case "message":
      return field.message.typeName;
    case "list":
      if (field.listKind === "scalar") return `repeated ${ScalarType[field.scalar]}`;
      return `repeated ${field.listKind === "enum" ? field.enum.typeName : field.message.typeName}`;
    case "map":
      throw new Error(`${field.toString()} is a map: the wire API has none`);
  }
}

function fieldText(field: DescField | DescExtension): string {
  const presence = FeatureSet_FieldPresence[field.presence];
  const packed = field.fieldKind === "list" ? ` packed ${field.packed}` : "";
  const oneof = field.oneof ? ` oneof ${field.oneof.name}` : "";
  const deprecated = field.deprecated ? " deprecated" : "";
  return `${field.number} ${typeOf(field)} json ${field.jsonName} ${presence}${packed}${oneof}${deprecated}`;
}

/** Each side is read with its own schema, so that a rule that ours does not know is not lost. */
function rulesText(field: DescField): string {
  if (pairs.some(([ours]) => ours === field.parent.file)) {
    return hasOption(field, rules) ? toJsonString(FieldRulesSchema, getOption(field, rules)) : "none";
  }
  return hasOption(field, theirRules) ? toJsonString(TheirFieldRulesSchema, getOption(field, theirRules)) : "none";
}

function methodText(method: DescMethod, prefix: string): string {
  const rule = getOption(method, http);
  const { case: verb, value } = rule.pattern;
  const path = typeof value === "string" ? prefix + value : "unknown";
  const auth = getOption(method, auth_option);
  return [
    `${method.methodKind} ${method.input.typeName} -> ${method.output.typeName}`,
    `${verb} ${path} body '${rule.body}' response_body '${rule.responseBody}' more ${rule.additionalBindings.length}`,
    `permission '${auth.permission}' check_field_name '${auth.checkFieldName}'`,
    `idempotency ${MethodOptions_IdempotencyLevel[method.idempotency]} deprecated ${method.deprecated}`,
  ].join("; ");
}

function reservedText({ proto }: DescMessage | DescEnum): string {
  const numbers = proto.reservedRange.map(({ start, end }) => `${start}-${end}`);
  return [...numbers, ...proto.reservedName].join(" ");
}

/** What is comparable about an element. The first word of a key is its kind, the rest says which. */
function facts(element: Element, prefix: string): Facts {
  const found: Facts = new Map();
  switch (element.kind) {
    case "message":
      for (const field of element.fields) {
        found.set(`field ${field.name}`, fieldText(field));
        found.set(`rules of ${field.name}`, rulesText(field));
      }
      found.set("reserved", reservedText(element));
      break;
    case "enum":
      for (const value of element.values) found.set(`value ${value.name}`, `${value.number}`);
      found.set("reserved", reservedText(element));
      found.set("open", `${element.open}`);
      break;
    case "service":
      for (const method of element.methods) found.set(`method ${method.name}`, methodText(method, prefix));
      break;
    case "extension":
      found.set("definition", `extends ${element.extendee.typeName}: ${fieldText(element)}`);
      break;
  }
  return found;
}

test("every RPC has an HTTP rule and, but for Healthz, a permission", () => {
  const files = [file_zitadel_management, file_zitadel_admin, file_zitadel_auth];
  for (const method of files.flatMap(({ services }) => services).flatMap(({ methods }) => methods)) {
    expect(hasOption(method, http), method.toString()).toBe(true);
    const { permission } = getOption(method, auth_option);
    expect(permission === "", `${method} has the permission ${permission}`).toBe(method.name === "Healthz");
  }
});

test("our descriptors agree with the published ones", () => {
  const found: Difference[] = [];
  const counts: Record<string, number> = {};
  const count = (kind: string) => {
    counts[kind] = (counts[kind] ?? 0) + 1;
  };

  for (const [ours, theirs] of pairs) {
    expect([ours.name, ours.proto.package, ours.edition]).toEqual([theirs.name, theirs.proto.package, theirs.edition]);
    const published = elements(theirs);
    for (const [name, element] of elements(ours)) {
      const counterpart = published.get(name);
      if (counterpart === undefined) throw new Error(`${name} is not published`);
      count(element.kind);

      const our = facts(element, "");
      const their = facts(counterpart, pathPrefix.get(name) ?? "");
      const more = [...their.keys()].filter((key) => !our.has(key));
      if (partial.has(name)) {
        expect(more, `${name} is said to have more than our part`).not.toEqual([]);
        for (const key of more) their.delete(key);
      }
      for (const key of new Set([...our.keys(), ...their.keys()])) {
        const [mine, yours] = [our.get(key), their.get(key)];
        if (mine !== undefined && yours !== undefined && mine !== "none") count(key.split(" ")[0] ?? key);
        if (mine === yours) continue;
        const at = `${name} ${key}`;
        const reason = differences.find((listed) => listed.at === at)?.reason ?? "not listed";
        found.push({ at, ours: mine, theirs: yours, reason });
      }
    }
  }

  expect(found).toEqual(differences);
  for (const kind of ["message", "field", "rules", "enum", "value", "extension"]) {
    expect(counts[kind], `number of compared items of kind ${kind}`).toBeGreaterThan(0);
  }
  expect(counts["service"]).toBe(3);
  expect(counts["method"]).toBe(28);
});
