import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { isWellKnown, scalarOf, wrappedScalar } from "./fields.ts";

/**
 * Parses JSON text that is meant for a message. An integer that JavaScript would round stays exact where its field is one of
 * 64 bits: as a text, which proto JSON takes too. Everywhere else it stays a number, so that a field of another type
 * refuses it, or rounds it, as it does with any. The registry says which fields a google.protobuf.Any has.
 */
export function parseWithLongIntegers(desc: DescMessage, text: string, registry: Registry): JsonValue {
  let hasLong = false;
  const exact = JSON.parse(text, (_, value: unknown, { source }: { source?: string } = {}) => {
    if (!Number.isInteger(value) || Number.isSafeInteger(value)) return withoutInfinity(value);
    hasLong = true;
    return source ?? value;
  }) as JsonValue;
  if (!hasLong) return exact;
  const rounded = JSON.parse(text, (_, value: unknown) => withoutInfinity(value)) as JsonValue;
  return createMerge(registry)(desc, rounded, exact);
}

/**
 * Stands for a number beyond the range of numbers: no field takes it. A google.protobuf.Value would take infinity, which JSON
 * lacks.
 */
const withoutInfinity = (value: unknown): unknown =>
  value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY ? 2n ** 64n : value;

type Merge = (desc: DescMessage, rounded: JsonValue, exact: JsonValue) => JsonValue;

/** The values of `exact` for fields of 64-bit integers, and those of `rounded` for all others. */
function createMerge(registry: Registry): Merge {
  const merge: Merge = (desc, rounded, exact) => {
    if (longTypes.has(wrappedScalar(desc))) return exact;
    if (!isObject(rounded) || !isObject(exact)) return rounded;
    if (desc.typeName === "google.protobuf.Any") return mergeAny(rounded, exact);
    const fields = new Map(
      desc.fields.flatMap((field) => [[field.jsonName, field] as const, [field.name, field] as const]),
    );
    return mapValues(rounded, exact, (name, value, other) => {
      const field = fields.get(name);
      return field === undefined ? value : mergeField(field, value, other);
    });
  };

  /** The type of an Any determines its fields; an unknown type is refused later. */
  function mergeAny(rounded: JsonObject, exact: JsonObject): JsonValue {
    const type = rounded["@type"];
    const desc = typeof type === "string" ? registry.getMessage(type.slice(type.lastIndexOf("/") + 1)) : undefined;
    if (desc === undefined) return rounded;
    if (!isWellKnown(desc)) return merge(desc, rounded, exact);
    // A type with a JSON form of its own is a value beside its name.
    return mapValues(rounded, exact, (name, value, other) => (name === "value" ? merge(desc, value, other) : value));
  }

  function mergeField(field: DescField, rounded: JsonValue, exact: JsonValue): JsonValue {
    if (longTypes.has(field.fieldKind === "map" ? field.scalar : scalarOf(field))) return exact;
    if (field.fieldKind === "enum" || field.fieldKind === "scalar" || field.message === undefined) return rounded;
    const { message } = field;
    if (field.fieldKind === "message") return merge(message, rounded, exact);
    if (field.fieldKind === "map") {
      if (!isObject(rounded) || !isObject(exact)) return rounded;
      return mapValues(rounded, exact, (_, value, other) => merge(message, value, other));
    }
    if (!Array.isArray(rounded) || !Array.isArray(exact)) return rounded;
    return rounded.map((item, index) => merge(message, item, exact[index] ?? null));
  }

  return merge;
}

const longTypes: ReadonlySet<ScalarType | undefined> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

function mapValues(
  rounded: JsonObject,
  exact: JsonObject,
  change: (name: string, value: JsonValue, other: JsonValue) => JsonValue,
): JsonObject {
  const others = new Map(Object.entries(exact));
  const entries = Object.entries(rounded);
  return Object.fromEntries(entries.map(([name, value]) => [name, change(name, value, others.get(name) ?? null)]));
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
