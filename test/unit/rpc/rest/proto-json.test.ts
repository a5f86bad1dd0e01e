// What protobuf's JSON has for each type, in a body, a query and a path; what protobuf-es takes besides; and what it leaves out.
import { Readable } from "node:stream";
import { create, createRegistry, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { DurationSchema, FieldMaskSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { mergeBody } from "../../../../src/rpc/rest/body.ts";
import { bindPath } from "../../../../src/rpc/rest/path-binding.ts";
import { checkMessage, formOf } from "../../../../src/rpc/rest/proto-json.ts";
import { bindQuery } from "../../../../src/rpc/rest/query.ts";
import { routeOf, ruleOf, thingType } from "../../../fixtures/builders.ts";

const registry = createRegistry(thingType(), DurationSchema, FieldMaskSchema, TimestampSchema);
const thing = thingType();

/** What a JSON value makes of a field, as proto JSON; `undefined` where it is unset, which is its default. */
async function byBody(field: string, value: string): Promise<JsonValue | undefined> {
  const route = routeOf(ruleOf("post", "/x", { body: field }));
  const head = { method: "POST", url: "/", headers: { "content-type": "application/json" } };
  const request = { head, source: Readable.from([Buffer.from(value)]) };
  const message = create(route.rpc.spec.method.input);
  await mergeBody(reflect(route.rpc.spec.method.input, message), route, request, {
    registry,
    ignoreUnknown: false,
    maxBytes: 1_000_000,
  });
  return fieldOf(toJson(route.rpc.spec.method.input, message, { registry }), field);
}

function byQuery(field: string, text: string): JsonValue | undefined {
  const route = routeOf(ruleOf("get", "/x"));
  const { input } = route.rpc.spec.method;
  const message = create(input);
  bindQuery(reflect(input, message), route, `${field}=${encodeURIComponent(text)}`, { registry, ignoreUnknown: false });
  return fieldOf(toJson(input, message, { registry }), field);
}

function byPath(field: string, text: string): JsonValue | undefined {
  const route = routeOf(ruleOf("get", `/x/{${field}}`));
  const { input } = route.rpc.spec.method;
  const message = create(input);
  bindPath(reflect(input, message), route, { pathValues: [text], overrides: false, registry });
  return fieldOf(toJson(input, message, { registry }), field);
}

const fieldOf = (json: JsonValue, field: string): JsonValue | undefined =>
  (json as JsonObject)[field.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())];

async function refusalOf(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (reason) {
    if (!(reason instanceof ConnectError)) throw reason;
    const [violation] = reason.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
    expect(reason.rawMessage).toContain(violation?.description);
    return reason.rawMessage;
  }
  throw new Error("it was not refused");
}

const int32 = "an integer from -2147483648 to 2147483647";
const int64 = "an integer from -9223372036854775808 to 9223372036854775807";
const uint64 = "an integer from 0 to 18446744073709551615";
const base64 = 'bytes in base64, such as "aGVsbG8="';
const time = 'a time of RFC 3339, such as "2026-01-31T12:00:00Z"';
const duration = 'a duration in seconds, such as "3600s" or "1.5s"';
const mask = 'names of fields, such as "name,address.postalCode"';
const double = "a number of up to 1.8e308, such as 1.5";
const float = "a number of up to 3.4e38, such as 1.5";

// What is a text in JSON, and the same in a query and a path.
const texts: readonly {
  field: string;
  good: readonly [text: string, value: JsonValue][];
  bad: string[];
  form: string;
}[] = [
  ...["count", "int_box", "zigzag", "sfixed"].map((field) => ({
    field,
    good: [
      ["7", 7],
      ["-7", -7],
      ["1e2", 100],
      ["1E+2", 100],
      ["-1.5e1", -15],
      ["100.000", 100],
      ["2147483647", 2_147_483_647],
      ["-2.147483648e9", -2_147_483_648],
      ["007", 7],
    ] as [string, JsonValue][],
    bad: ["0x10", "0b11", "0o7", " 7", "7 ", "7\n", "", " ", "+7", "1.5", "1e-1", "2147483648", "1e10", "1e999999999"],
    form: int32,
  })),
  ...["long", "long_box", "long_zigzag", "long_sfixed"].map((field) => ({
    field,
    good: [
      ["9007199254740993", "9007199254740993"],
      ["-9223372036854775808", "-9223372036854775808"],
      ["1e2", "100"],
      ["9.007199254740993e15", "9007199254740993"],
      ["90071992547409930E-1", "9007199254740993"],
      [`${"0".repeat(100)}7`, "7"],
    ] as [string, JsonValue][],
    bad: [
      "0x10",
      "0b11",
      "0o7",
      " 7",
      "7 ",
      "",
      "1_000",
      "+7",
      "1.5",
      "9223372036854775808",
      "1e19",
      "1e999999999",
      "7n",
    ],
    form: int64,
  })),
  ...["big", "big_box", "long_fixed"].map((field) => ({
    field,
    good: [
      ["18446744073709551615", "18446744073709551615"],
      ["1.8446744073709551615e19", "18446744073709551615"],
    ] as [string, JsonValue][],
    bad: ["0x10", " 7 ", "-1", "18446744073709551616", "1e20", "١"],
    form: uint64,
  })),
  ...["double", "double_box"].map((field) => ({
    field,
    good: [
      ["1.5", 1.5],
      ["-1e3", -1000],
      ["NaN", "NaN"],
      ["-Infinity", "-Infinity"],
    ] as [string, JsonValue][],
    bad: ["0x10", "0b11", " 1", "1 ", "", ".5", "5.", "+1", "1e400", "nan", "inf", "1,5"],
    form: double,
  })),
  { field: "float", good: [["1.5", 1.5]], bad: ["0x10", "3.5e38", "-1e39", ""], form: float },
  ...["blob", "bytes_box"].map((field) => ({
    field,
    good: [
      ["+/8=", "+/8="],
      ["+/8", "+/8="],
      ["-_8=", "+/8="],
      ["-_8", "+/8="],
    ] as [string, JsonValue][],
    bad: ["Z", "Zg=", "Z===", "Zg==Zg==", "Zm 9v", "Zm9v\n", " ", "!", "+_8=", "Zm9v=", "="],
    form: base64,
  })),
  {
    field: "at",
    good: [
      ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"],
      ["2026-01-02T03:04:05.123456789+01:00", "2026-01-02T02:04:05.123456789Z"],
      ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"],
      ["9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"],
    ],
    bad: [
      "2026-02-30T00:00:00Z",
      "2026-02-29T00:00:00Z",
      "2026-04-31T00:00:00Z",
      "2026-01-01T24:00:00Z",
      "2026-01-01T23:59:60Z",
      "2026-13-01T00:00:00Z",
      "2026-01-01t00:00:00Z",
      "2026-01-01T00:00:00z",
      "2026-01-01T00:00:00",
      "2026-01-01 00:00:00Z",
      "2026-01-01T00:00:00+24:00",
      "2026-01-01T00:00:00.1234567890Z",
      "0000-12-31T23:59:59Z",
      "9999-12-31T23:59:59-00:01",
      " 2026-01-01T00:00:00Z",
      "1767225600",
      "",
    ],
    form: time,
  },
  {
    field: "span",
    good: [
      ["1s", "1s"],
      ["-0.5s", "-0.500s"],
      ["1.000000001s", "1.000000001s"],
      ["315576000000s", "315576000000s"],
    ],
    bad: [
      "1sx",
      "1s ",
      " 1s",
      "1",
      "1m",
      "1.s",
      ".5s",
      "+1s",
      "1e3s",
      "1.0000000001s",
      "315576000000.1s",
      "315576000001s",
      "",
    ],
    form: duration,
  },
  {
    field: "mask",
    good: [
      ["displayName", "displayName"],
      ["inner.byKey,name", "inner.byKey,name"],
    ],
    bad: ["a b", "a, b", "a,", ",a", "a..b", "a.", "1a", "a-b", " "],
    form: mask,
  },
  {
    field: "color",
    good: [["RED", "RED"]],
    bad: ["", "red", "RED ", "0x1", "1e0"],
    form: "RED",
  },
  { field: "shade", good: [["DARK", "DARK"]], bad: ["RED", "3"], form: "one of LIGHT, DARK" },
];

describe.each(texts)("a text for the field $field", ({ field, good, bad, form }) => {
  it.each(good)("may be %j", async (text, value) => {
    expect(await byBody(field, JSON.stringify(text))).toEqual(value);
    expect(byQuery(field, text)).toEqual(value);
    expect(byPath(field, text)).toEqual(value);
  });

  it.each(bad)("is refused, and told what would be right: %j", async (text) => {
    expect(await refusalOf(() => byBody(field, JSON.stringify(text)))).toBe(
      `invalid value for the field ${field}: send ${form}`,
    );
    const told = text.trim() === "" ? JSON.stringify(text) : text;
    for (const bind of [byQuery, byPath]) {
      expect(await refusalOf(() => bind(field, text))).toBe(
        `type mismatch, parameter: ${field}, error: ${told} is not valid: send ${form}`,
      );
    }
  });
});

describe("a JSON value that is no text", () => {
  it.each<[field: string, json: string, value: JsonValue | undefined]>([
    ["count", "1e2", 100],
    ["count", "100.0", 100],
    ["long", "1e2", "100"],
    ["long", "-9007199254740993", "-9007199254740993"],
    ["double", "1", 1],
    ["flag", "true", true],
    ["color", "1", "RED"],
    ["color", "99", 99],
    ["color", "1.0", "RED"],
    ["color", "null", undefined],
    ["int_box", "null", undefined],
    ["words", "null", undefined],
    ["counts", "null", undefined],
    ["value", "null", null],
    ["mask", '"*"', "*"],
    ["mask", '""', ""],
    ["any", '{"@type":"a/google.protobuf.Duration","value":"1.5s"}', undefined],
  ])("of %s may be %s", async (field, json, value) => {
    const read = await byBody(field, json);
    if (field === "any") expect(read).toMatchObject({ value: "1.500s" });
    else expect(read).toEqual(value);
  });

  it.each([
    ["count", "1.5", `count: send ${int32}`],
    ["count", "true", `count: send ${int32}`],
    ["count", "1e400", `count: send ${int32}`],
    ["long", "0.5", `long: send ${int64}`],
    ["flag", '"true"', "flag: send true or false"],
    ["flag", "1", "flag: send true or false"],
    ["name", "1", "name: send a string"],
    ["name", '"\\ud800"', "name: send a string"],
    ["blob", "[1]", `blob: send ${base64}`],
    ["span", "5", `span: send ${duration}`],
    ["color", '"1"', "color: send RED"],
    ["color", "2147483648", "color: send RED"],
    ["shade", "3", "shade: send one of LIGHT, DARK"],
    ["int_box", '" 1"', `int_box: send ${int32}`],
    ["numbers", "1", `numbers: send a list, of which each item is ${int32}`],
    ["numbers", '[1,"x"]', `numbers[1]: send ${int32}`],
    ["numbers", "[null]", `numbers[0]: send ${int32}`],
    ["spans", '["1s","1sx"]', `spans[1]: send ${duration}`],
    ["boxes", "[null]", `boxes[0]: send ${int64}`],
    ["counts", "[]", `counts: send an object, of which each value is ${int64}`],
    ["counts", '{"a":"0x1"}', `counts.a: send ${int64}`],
    ["counts", '{"":"x"}', `counts."": send ${int64}`],
    ["counts", '{"a":null}', `counts.a: send ${int64}`],
    ["by_key", '{"a":{"count":" 1"}}', `by_key.a.count: send ${int32}`],
    ["inner", "[]", "inner: send an object with the fields of Thing"],
    ["any", '{"@type":"a/google.protobuf.Duration","value":"1sx"}', `any.value: send ${duration}`],
    ["any", '{"@type":"a/google.protobuf.Duration"}', `any.value: send ${duration}`],
    ["any", '{"@type":"a/test.Thing","count":"0x1"}', `any.count: send ${int32}`],
    ["any", '{"a":1}', 'any: send an object whose "@type" names a message that this server knows'],
    ["value", "[1,1e400]", "value: send any JSON whose numbers are at most 1.8e308"],
    ["inner", '{"":1}', 'inner."": the message has no such field'],
  ])("of %s is not %s", async (field, json, wanted) => {
    expect(await refusalOf(() => byBody(field, json))).toBe(`invalid value for the field ${wanted}`);
  });
});

describe("map keys", () => {
  it("are the texts of what they are", () => {
    // One of each kind, as a field of a message would have them.
    const keyed = (mapKey: number) => ({
      ...thing,
      fields: thing.fields.map((field) => (field.name === "counts" ? { ...field, mapKey } : field)),
    });
    const keysOf = (mapKey: number, key: string) =>
      checkMessage(keyed(mapKey) as never, { counts: { [key]: 1 } }, registry);
    const [int32Key, uint64Key, boolKey] = [5, 4, 8];
    for (const [kind, key] of [
      [int32Key, "-7"],
      [uint64Key, "18446744073709551615"],
      [boolKey, "true"],
    ] as const) {
      expect(keysOf(kind, key)).toEqual({ counts: { [key]: 1 } });
    }
    for (const key of ["0x7", " 7", "", "1e2", "1.0", "2147483648", "true"]) {
      expect(() => keysOf(int32Key, key), key).toThrow(`send keys that are ${int32}, as texts`);
    }
    for (const key of ["-1", "0b1", "18446744073709551616"]) {
      expect(() => keysOf(uint64Key, key), key).toThrow(`send keys that are ${uint64}, as texts`);
    }
    for (const key of ["True", "1", ""]) {
      expect(() => keysOf(boolKey, key), key).toThrow("send keys that are true or false, as texts");
    }
  });
});

describe("what an enum may be", () => {
  const color = thing.field["color"]?.enum as NonNullable<(typeof thing.fields)[number]["enum"]>;
  const values = (...names: string[]) => names.map((name, number) => ({ ...color.values[0], name, number }));

  it("is told by its names, without that which says nothing", () => {
    const shade = { ...color, values: values("A_UNSPECIFIED", "B", "C") } as typeof color;
    expect(formOf({ enum: shade })).toBe("one of B, C");
    expect(formOf({ enum: { ...color, values: values("A_UNSPECIFIED") } as typeof color })).toBe("A_UNSPECIFIED");
  });

  it("is told by where to read them, where there are many", () => {
    const many = { ...color, values: values(...Array.from({ length: 21 }, (_, index) => `N${index}`)) };
    expect(formOf({ enum: many as typeof color })).toBe("one of the 21 names of Color in test.proto");
  });
});
