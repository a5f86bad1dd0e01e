import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { protoCamelCase, protoSnakeCase, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { isWrapper, messageOf, scalarOf } from "./fields.ts";
import { checkValue, formOf } from "./proto-json.ts";
import { conflict, mismatch } from "./violations.ts";

export interface TextSetting {
  /** The field to set, behind the fields that lead to it. */
  readonly fields: readonly DescField[];
  /** One text, or the items of a list. */
  readonly texts: readonly string[];
  /** The name that the caller used, for errors. */
  readonly name: string;
  /** Whether it takes the place of another member of its oneof. Default false: that is refused. */
  readonly overrides?: boolean;
  readonly registry: Registry;
}

/**
 * Sets a field of a message by text, as protobuf's JSON reads it. Throws a ConnectError, invalid_argument, that names the
 * field: for a text that is no such value, and, unless `overrides`, for a second member of a oneof.
 */
export function setByText(message: ReflectMessage, setting: TextSetting): void {
  const { fields, texts, name, overrides = false, registry } = setting;
  let target = message;
  for (const field of fields.slice(0, -1)) {
    if (!overrides) refuseSecondMember(target, field, name);
    if (!target.isSet(field)) target.set(field, reflect(messageOf(field) as DescMessage));
    target = target.get(field) as ReflectMessage;
  }
  const field = fields.at(-1) as DescField;
  if (!overrides) refuseSecondMember(target, field, name);
  target.set(field, parse(target, { field, texts, name, registry }));
}

function refuseSecondMember(target: ReflectMessage, field: DescField, name: string): void {
  const set = field.oneof && target.oneofCase(field.oneof);
  if (set !== undefined && set !== field) {
    throw conflict(name, `it and ${set.name} are alternatives: send one of them`);
  }
}

function parse(
  target: ReflectMessage,
  { field, texts, name, registry }: Omit<TextSetting, "fields" | "overrides"> & { readonly field: DescField },
): never {
  const values = texts.map((text) => {
    try {
      return checkValue(field, toJsonValue(field, text), registry);
    } catch (cause) {
      // The only texts that a URL can hold and a field of text cannot.
      const wanted = scalarOf(field) === ScalarType.STRING ? "a string without NUL characters" : formOf(field);
      throw mismatch(name, { text, wanted, cause });
    }
  });
  const value = field.fieldKind === "list" ? values : (values[0] as JsonValue);
  // A request may be a wrapper, whose JSON is the value alone.
  const json = isWrapper(target.desc) ? value : { [field.jsonName]: value };
  const parsed = fromJson(target.desc, json, { registry });
  // `set` knows the type by the field; its declaration cannot.
  return reflect(target.desc, parsed).get(field) as never;
}

/** A text in the JSON form of its field. */
function toJsonValue(field: DescField, text: string): JsonValue {
  if (field.enum !== undefined) return /^-?\d+$/.test(text) ? Number(text) : text;
  switch (scalarOf(field)) {
    case ScalarType.STRING:
      // Databases and C programs would cut the text there.
      if (text.includes("\0")) throw new Error("a NUL character");
      return text;
    case ScalarType.BOOL:
      return text === "true" || (text === "false" ? false : text);
    default:
      return messageOf(field)?.typeName === "google.protobuf.FieldMask" ? toCamelCase(text) : text;
  }
}

/** Takes paths in JSON's form, and those of proto files, which people know better. */
function toCamelCase(mask: string): string {
  return mask
    .split(",")
    .map((path) => {
      const camel = path.split(".").map(protoCamelCase).join(".");
      // JSON has no way to write some names, `a_1` among them: another field must not take their place.
      if (path.includes("_") && protoSnakeCase(camel) !== path) throw new Error("no path that JSON can write");
      return camel;
    })
    .join(",");
}
