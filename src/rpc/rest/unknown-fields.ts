import type { DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";

/**
 * The JSON without the fields that the message does not have, at any depth. protobuf's own option for that
 * (`ignoreUnknownFields`) also takes an unknown enum name for an unset field, which would turn a misspelt setting into
 * its default in silence.
 */
export function withoutUnknownFields(desc: DescMessage, json: JsonValue): JsonValue {
  // The well-known types have JSON forms of their own, without unknown fields.
  if (!isObject(json) || desc.typeName.startsWith("google.protobuf.")) return json;
  const known = new Map(
    desc.fields.flatMap((field) => [[field.jsonName, field] as const, [field.name, field] as const]),
  );
  return Object.fromEntries(
    Object.entries(json).flatMap(([name, value]) => {
      const field = known.get(name);
      if (field === undefined) return [];
      if (field.fieldKind === "message") return [[name, withoutUnknownFields(field.message, value)]];
      if (field.fieldKind === "list" && field.listKind === "message" && Array.isArray(value)) {
        return [[name, value.map((item) => withoutUnknownFields(field.message, item))]];
      }
      if (field.fieldKind === "map" && field.mapKind === "message" && isObject(value)) {
        const entries = Object.entries(value);
        return [
          [name, Object.fromEntries(entries.map(([key, item]) => [key, withoutUnknownFields(field.message, item)]))],
        ];
      }
      return [[name, value]];
    }),
  );
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
