import { type DescEnum, type DescField, type DescMessage, type JsonObject, ScalarType } from "@bufbuild/protobuf";

// JSON Schema (2020-12, as OpenAPI 3.1 has it) of what proto JSON makes of a message.

/** What protobuf's own JSON form of a well-known type is. */
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

/** Texts of the proto files by the full name of what they describe. */
export type Comments = Readonly<Record<string, string>>;

/** Collects the schemas of messages and enums that others refer to by name. */
export class SchemaCollection {
  readonly #comments: Comments;
  readonly #schemas = new Map<string, JsonObject>();

  constructor(comments: Comments) {
    this.#comments = comments;
  }

  /** Every schema that was referred to, by name. */
  toJson(): JsonObject {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  describe(name: string): JsonObject {
    const text = this.#comments[name];
    return text === undefined ? {} : { description: text };
  }

  message(desc: DescMessage): JsonObject {
    const known = wellKnown[desc.typeName];
    if (known !== undefined) return known;
    if (!this.#schemas.has(desc.typeName)) {
      // Its place is taken before its fields are looked at: a message may hold itself.
      this.#schemas.set(desc.typeName, {});
      const properties = Object.fromEntries(desc.fields.map((field) => [field.jsonName, this.field(field)]));
      this.#schemas.set(desc.typeName, { type: "object", ...this.describe(desc.typeName), properties });
    }
    return { $ref: `#/components/schemas/${desc.typeName}` };
  }

  /** A field as it stands in its message, with its meaning. */
  field(field: DescField): JsonObject {
    const described = this.describe(`${field.parent.typeName}.${field.name}`);
    return { ...this.#value(field), ...described };
  }

  #value(field: DescField): JsonObject {
    switch (field.fieldKind) {
      case "scalar":
        return scalar(field.scalar);
      case "enum":
        return this.#enumeration(field.enum);
      case "message":
        return this.message(field.message);
      case "list":
        return { type: "array", items: this.#item(field) };
      case "map":
        return { type: "object", additionalProperties: this.#item(field) };
    }
  }

  #item(field: DescField & { readonly fieldKind: "list" | "map" }): JsonObject {
    if (field.enum !== undefined) return this.#enumeration(field.enum);
    if (field.message !== undefined) return this.message(field.message);
    return scalar(field.scalar);
  }

  #enumeration(desc: DescEnum): JsonObject {
    if (desc.typeName === "google.protobuf.NullValue") return { type: "null" };
    if (!this.#schemas.has(desc.typeName)) {
      const values = desc.values.map(({ name }) => ({ name, text: this.#comments[`${desc.typeName}.${name}`] }));
      const meanings = values.flatMap(({ name, text }) => (text === undefined ? [] : [`- \`${name}\`: ${text}`]));
      const description = [this.#comments[desc.typeName], meanings.join("\n")].filter(Boolean).join("\n\n");
      this.#schemas.set(desc.typeName, {
        type: "string",
        enum: values.map(({ name }) => name),
        ...(description !== "" && { description }),
      });
    }
    return { $ref: `#/components/schemas/${desc.typeName}` };
  }
}

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
