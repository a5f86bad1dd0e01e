import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

// Which fields a text can set, as path variables and query parameters do.

/** The wrapper messages, by the scalar that they wrap. */
const wrappedScalars: ReadonlyMap<string, ScalarType> = new Map([
  ["google.protobuf.BoolValue", ScalarType.BOOL],
  ["google.protobuf.BytesValue", ScalarType.BYTES],
  ["google.protobuf.DoubleValue", ScalarType.DOUBLE],
  ["google.protobuf.FloatValue", ScalarType.FLOAT],
  ["google.protobuf.Int32Value", ScalarType.INT32],
  ["google.protobuf.Int64Value", ScalarType.INT64],
  ["google.protobuf.StringValue", ScalarType.STRING],
  ["google.protobuf.UInt32Value", ScalarType.UINT32],
  ["google.protobuf.UInt64Value", ScalarType.UINT64],
]);

/** Messages whose JSON form is a single text, number or truth value. */
const textTypes: ReadonlySet<string> = new Set([
  "google.protobuf.Timestamp",
  "google.protobuf.Duration",
  "google.protobuf.FieldMask",
  ...wrappedScalars.keys(),
]);

/** Whether one text is one value of the field; of a list, one item. */
export function isTextField(field: DescField): boolean {
  switch (field.fieldKind) {
    case "scalar":
    case "enum":
      return true;
    case "message":
      return textTypes.has(field.message.typeName);
    case "list":
      return field.listKind !== "message" || textTypes.has(field.message.typeName);
    case "map":
      return false;
  }
}

/**
 * The fields along a path of proto names through a message; a path variable sets the last one. Throws an Error that names the
 * field that does not exist, or that a text cannot set.
 */
export function resolveTextField(message: DescMessage, fieldPath: readonly string[]): readonly DescField[] {
  const fields: DescField[] = [];
  let within: DescMessage | undefined = message;
  for (const name of fieldPath) {
    const field: DescField | undefined = within?.fields.find((candidate) => candidate.name === name);
    if (within === undefined || field === undefined) {
      const place = within?.typeName ?? `the field ${fields.at(-1)?.name}, which leads no further,`;
      throw new Error(`the path names the field ${name}, which ${place} does not have`);
    }
    fields.push(field);
    within = innerMessage(field);
  }
  const last = fields.at(-1);
  if (last === undefined || last.fieldKind === "list" || !isTextField(last)) {
    throw new Error(`the path names the field ${fieldPath.join(".")}, which a text cannot set`);
  }
  return fields;
}

/** The message that a dotted name leads into. A well-known type is one value to JSON, without names within. */
export function innerMessage(field: DescField): DescMessage | undefined {
  if (field.fieldKind !== "message" || isWellKnown(field.message)) return undefined;
  return field.message;
}

/** The scalar type of a field's value, or of what a wrapper wraps; undefined where it has none. */
export function scalarOf(field: DescField): ScalarType | undefined {
  if (field.fieldKind === "scalar") return field.scalar;
  if (field.fieldKind === "list" && field.listKind === "scalar") return field.scalar;
  const message = messageOf(field);
  return message && wrappedScalar(message);
}

/** The message that a field, or each item of a list, is. */
export function messageOf(field: DescField): DescMessage | undefined {
  if (field.fieldKind === "message") return field.message;
  return field.fieldKind === "list" && field.listKind === "message" ? field.message : undefined;
}

/** The scalar that a wrapper message wraps; undefined for other messages. */
export const wrappedScalar = (message: DescMessage): ScalarType | undefined => wrappedScalars.get(message.typeName);

/** Whether a message is a wrapper of one scalar. */
export const isWrapper = (message: DescMessage): boolean => wrappedScalars.has(message.typeName);

/** Whether a message has, or may have, a JSON form of its own: then JSON does not have its field names. */
export const isWellKnown = (message: DescMessage): boolean => message.typeName.startsWith("google.protobuf.");

const known = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** Finds a field by its JSON or proto name. Where one field's proto name is another's JSON name, the JSON name wins. */
export function fieldNamed(message: DescMessage, name: string): DescField | undefined {
  let fields = known.get(message);
  if (fields === undefined) {
    fields = new Map([
      ...message.fields.map((field) => [field.name, field] as const),
      ...message.fields.map((field) => [field.jsonName, field] as const),
    ]);
    known.set(message, fields);
  }
  return fields.get(name);
}
