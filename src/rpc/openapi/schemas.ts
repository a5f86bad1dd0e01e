import { type DescEnum, type DescField, type DescMessage, type JsonObject, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import type { Comments } from "./comments.ts";

// JSON Schema (2020-12, the one of OpenAPI 3.1) for the JSON form of protobuf messages.

/** Of the well-known types that have a JSON form of their own. */
const wellKnown: Readonly<Record<string, JsonObject>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?\\d+(\\.\\d{1,9})?s$", examples: ["1.5s"] },
  "google.protobuf.FieldMask": { type: "string", description: "Paths of fields, separated by commas." },
  "google.protobuf.Struct": { type: "object", additionalProperties: true },
  "google.protobuf.Value": {},
  "google.protobuf.ListValue": { type: "array", items: {} },
  "google.protobuf.Empty": { type: "object" },
  "google.protobuf.Any": {
    type: "object",
    properties: { "@type": { type: "string", description: "Says which message this is." } },
    additionalProperties: true,
  },
  "google.protobuf.BoolValue": { type: ["boolean", "null"] },
  "google.protobuf.StringValue": { type: ["string", "null"] },
  "google.protobuf.BytesValue": { type: ["string", "null"], contentEncoding: "base64" },
  "google.protobuf.DoubleValue": { type: ["number", "string", "null"], format: "double" },
  "google.protobuf.FloatValue": { type: ["number", "string", "null"], format: "float" },
  "google.protobuf.Int32Value": { type: ["integer", "null"], format: "int32" },
  "google.protobuf.UInt32Value": { type: ["integer", "null"], format: "uint32", minimum: 0 },
  "google.protobuf.Int64Value": { type: ["string", "null"], format: "int64" },
  "google.protobuf.UInt64Value": { type: ["string", "null"], format: "uint64" },
};

/** In which body a schema occurs. */
export type Use = "request" | "answer";

/** Collects the schemas of messages and enums that others refer to by name. */
export class SchemaCollection {
  readonly #comments: Comments;
  /** Whether a request's body must have a field. */
  readonly isAsked: (field: DescField) => boolean;
  readonly #messages = new Map<
    string,
    { readonly desc: DescMessage; readonly uses: Set<Use>; properties: JsonObject }
  >();
  readonly #enums = new Map<string, { readonly desc: DescEnum; readonly uses: Set<Use> }>();

  constructor({ comments, isAsked }: { readonly comments: Comments; isAsked(field: DescField): boolean }) {
    this.#comments = comments;
    this.isAsked = isAsked;
  }

  /** Every schema that others refer to, by name. */
  toJson(): JsonObject {
    const schemas = [
      ...[...this.#messages].map(([name, message]) => [name, this.#messageSchema(message)] as const),
      ...[...this.#enums].map(([name, used]) => [name, this.#enumSchema(used)] as const),
    ];
    return Object.fromEntries(schemas.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  describe(name: string): JsonObject {
    const text = this.#comments[name];
    return text === undefined ? {} : { description: text };
  }

  message(desc: DescMessage, use: Use): JsonObject {
    const known = wellKnown[desc.typeName];
    if (known !== undefined) return known;
    const message = this.#messages.get(desc.typeName) ?? { desc, uses: new Set<Use>(), properties: {} };
    this.#messages.set(desc.typeName, message);
    if (!message.uses.has(use)) {
      // Before the fields: a message may hold itself.
      message.uses.add(use);
      message.properties = Object.fromEntries(desc.fields.map((field) => [field.jsonName, this.field(field, use)]));
    }
    return { $ref: `#/components/schemas/${desc.typeName}` };
  }

  /** A field as it stands in its message, with its meaning. */
  field(field: DescField, use: Use): JsonObject {
    const described = this.describe(`${field.parent.typeName}.${field.name}`);
    return { ...this.#value(field, use), ...described };
  }

  #value(field: DescField, use: Use): JsonObject {
    switch (field.fieldKind) {
      case "scalar":
        return scalar(field.scalar);
      case "enum":
        return this.#enumeration(field.enum, use);
      case "message":
        return this.message(field.message, use);
      case "list":
        return { type: "array", items: this.#item(field, use) };
      case "map":
        return { type: "object", additionalProperties: this.#item(field, use) };
    }
  }

  #item(field: DescField & { readonly fieldKind: "list" | "map" }, use: Use): JsonObject {
    if (field.enum !== undefined) return this.#enumeration(field.enum, use);
    if (field.message !== undefined) return this.message(field.message, use);
    return scalar(field.scalar);
  }

  #enumeration(desc: DescEnum, use: Use): JsonObject {
    if (desc.typeName === "google.protobuf.NullValue") return { type: "null" };
    const used = this.#enums.get(desc.typeName) ?? { desc, uses: new Set<Use>() };
    this.#enums.set(desc.typeName, used);
    used.uses.add(use);
    return { $ref: `#/components/schemas/${desc.typeName}` };
  }

  #messageSchema({
    desc,
    uses,
    properties,
  }: {
    desc: DescMessage;
    uses: Set<Use>;
    properties: JsonObject;
  }): JsonObject {
    // A schema for requests and answers requires only what both must have.
    const required = desc.fields
      .filter((field) => !uses.has("answer") || isAlwaysAnswered(field))
      .filter((field) => !uses.has("request") || this.isAsked(field))
      .map(({ jsonName }) => jsonName);
    return {
      type: "object",
      ...this.describe(desc.typeName),
      properties,
      ...(required.length > 0 && { required }),
    };
  }

  #enumSchema({ desc, uses }: { desc: DescEnum; uses: Set<Use> }): JsonObject {
    const values = desc.values.map(({ name }) => ({ name, text: this.#comments[`${desc.typeName}.${name}`] }));
    const meanings = values.flatMap(({ name, text }) => (text === undefined ? [] : [`- \`${name}\`: ${text}`]));
    // The type is a string alone: with numbers as well, generated code would lose the names.
    const numbers = uses.has("request") ? "A request may also give the number of a value." : undefined;
    const description = [this.#comments[desc.typeName], meanings.join("\n"), numbers].filter(Boolean).join("\n\n");
    return { type: "string", enum: values.map(({ name }) => name), ...(description !== "" && { description }) };
  }
}

/** Whether every answer has a field, set or not. A required field of proto2 cannot be unset. */
const isAlwaysAnswered = ({ presence }: DescField): boolean =>
  presence === FeatureSet_FieldPresence.IMPLICIT || presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;

function scalar(type: ScalarType): JsonObject {
  switch (type) {
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.DOUBLE:
      return { type: ["number", "string"], format: "double", description: "Also `NaN`, `Infinity` and `-Infinity`." };
    case ScalarType.FLOAT:
      return { type: ["number", "string"], format: "float", description: "Also `NaN`, `Infinity` and `-Infinity`." };
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return { type: "integer", format: "int32" };
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: "integer", format: "uint32", minimum: 0 };
    // As text: a JSON number loses digits in JavaScript.
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return { type: "string", format: "int64" };
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: "string", format: "uint64" };
  }
}
