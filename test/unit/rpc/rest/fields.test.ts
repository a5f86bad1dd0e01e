import { ScalarType } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { isTextField, messageOf, resolveTextField, scalarOf } from "../../../../src/rpc/rest/fields.ts";
import { thingType } from "../../../fixtures/builders.ts";

const thing = thingType();

function fieldOf(name: string) {
  const field = thing.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`no field ${name}`);
  return field;
}

/** Every field of test.Thing: whether one text is one value of it, its scalar type, and its message type. */
const fields: readonly [name: string, isText: boolean, scalar?: ScalarType | undefined, message?: string][] = [
  ["name", true, ScalarType.STRING],
  ["count", true, ScalarType.INT32],
  ["big", true, ScalarType.UINT64],
  ["flag", true, ScalarType.BOOL],
  ["color", true],
  ["display_name", true, ScalarType.STRING],
  ["inner", false, undefined, "test.Thing"],
  ["many", false, undefined, "test.Thing"],
  ["words", true, ScalarType.STRING],
  ["by_key", false],
  ["span", true, undefined, "google.protobuf.Duration"],
  ["free", false, undefined, "google.protobuf.Struct"],
  ["unsigned", true, ScalarType.UINT32],
  ["zigzag", true, ScalarType.SINT32],
  ["fixed", true, ScalarType.FIXED32],
  ["sfixed", true, ScalarType.SFIXED32],
  ["long", true, ScalarType.INT64],
  ["long_zigzag", true, ScalarType.SINT64],
  ["long_fixed", true, ScalarType.FIXED64],
  ["long_sfixed", true, ScalarType.SFIXED64],
  ["double", true, ScalarType.DOUBLE],
  ["float", true, ScalarType.FLOAT],
  ["blob", true, ScalarType.BYTES],
  ["shade", true],
  ["at", true, undefined, "google.protobuf.Timestamp"],
  ["mask", true, undefined, "google.protobuf.FieldMask"],
  ["bool_box", true, ScalarType.BOOL, "google.protobuf.BoolValue"],
  ["bytes_box", true, ScalarType.BYTES, "google.protobuf.BytesValue"],
  ["double_box", true, ScalarType.DOUBLE, "google.protobuf.DoubleValue"],
  ["float_box", true, ScalarType.FLOAT, "google.protobuf.FloatValue"],
  ["int_box", true, ScalarType.INT32, "google.protobuf.Int32Value"],
  ["long_box", true, ScalarType.INT64, "google.protobuf.Int64Value"],
  ["text_box", true, ScalarType.STRING, "google.protobuf.StringValue"],
  ["unsigned_box", true, ScalarType.UINT32, "google.protobuf.UInt32Value"],
  ["big_box", true, ScalarType.UINT64, "google.protobuf.UInt64Value"],
  ["left", true, ScalarType.STRING],
  ["right", true, ScalarType.INT32],
  ["side", false, undefined, "test.Thing"],
  ["raw_side", false, undefined, "google.api.HttpBody"],
  ["nick", true, ScalarType.STRING],
  ["maybe_count", true, ScalarType.INT32],
  ["maybe_color", true],
  ["numbers", true, ScalarType.INT32],
  ["longs", true, ScalarType.INT64],
  ["colors", true],
  ["spans", true, undefined, "google.protobuf.Duration"],
  ["boxes", true, ScalarType.INT64, "google.protobuf.Int64Value"],
  ["counts", false],
  ["value", false, undefined, "google.protobuf.Value"],
  ["values", false, undefined, "google.protobuf.ListValue"],
  ["any", false, undefined, "google.protobuf.Any"],
  ["raw", false, undefined, "google.api.HttpBody"],
  ["value_of", true, ScalarType.STRING],
];

describe("a field", () => {
  it("of every kind is among these", () => {
    expect(fields.map(([name]) => name)).toEqual(thing.fields.map(({ name }) => name));
  });

  it.each(fields)("%s can be set by text, or not: %s", (name, isText) => {
    expect(isTextField(fieldOf(name))).toBe(isText);
  });

  it.each(fields)("%s has its scalar type and message", (name, _, scalar, message) => {
    expect([scalarOf(fieldOf(name)), messageOf(fieldOf(name))?.typeName]).toEqual([scalar, message]);
  });
});

describe("resolveTextField", () => {
  it.each(fields)("of %s", (name, isText) => {
    const isSingular = fieldOf(name).fieldKind !== "list";
    if (isText && isSingular) expect(resolveTextField(thing, [name])).toEqual([fieldOf(name)]);
    else {
      expect(() => resolveTextField(thing, [name])).toThrow(
        new Error(`the path names the field ${name}, which a text cannot set`),
      );
    }
  });

  it.each([[["inner", "name"]], [["inner", "inner", "side", "at"]], [["raw", "content_type"]]])(
    "leads through %j",
    (path) => {
      expect(resolveTextField(thing, path).map(({ name }) => name)).toEqual(path);
    },
  );

  it.each([
    [["nothing"], "nothing, which test.Thing does not have"],
    [["displayName"], "displayName, which test.Thing does not have"],
    [["valueOf"], "valueOf, which test.Thing does not have"],
    [["__proto__"], "__proto__, which test.Thing does not have"],
    [["inner", "nothing"], "nothing, which test.Thing does not have"],
    [["span", "seconds"], "seconds, which the field span, which leads no further, does not have"],
    [["int_box", "value"], "value, which the field int_box, which leads no further, does not have"],
    [["free", "fields"], "fields, which the field free, which leads no further, does not have"],
    [["any", "type_url"], "type_url, which the field any, which leads no further, does not have"],
    [["name", "name"], "name, which the field name, which leads no further, does not have"],
    [["many", "name"], "name, which the field many, which leads no further, does not have"],
    [["by_key", "value"], "value, which the field by_key, which leads no further, does not have"],
    [["inner", "many", "name"], "name, which the field many, which leads no further, does not have"],
    [["choice", "left"], "choice, which test.Thing does not have"],
    [["inner", "words"], "inner.words, which a text cannot set"],
    [["inner", "inner"], "inner.inner, which a text cannot set"],
  ])("refuses %j", (path, reason) => {
    expect(() => resolveTextField(thing, path)).toThrow(new Error(`the path names the field ${reason}`));
  });
});
