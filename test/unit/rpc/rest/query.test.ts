import { create, createRegistry, type JsonObject, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { bindQuery } from "../../../../src/rpc/rest/query.ts";
import { type HttpRuleInit, routeOf, ruleOf, type thingType } from "../../../fixtures/builders.ts";

const registry = createRegistry();

interface Given {
  readonly rule?: HttpRuleInit;
  readonly ignoreUnknown?: boolean;
  /** What the body has set already. */
  readonly before?: MessageInitShape<ReturnType<typeof thingType>>;
}

/** What a query makes of a test.Thing: every field that is set, as proto JSON. */
function bound(query: string, { rule = ruleOf("get", "/x"), ignoreUnknown = false, before = {} }: Given = {}) {
  const route = routeOf(rule);
  const { input } = route.rpc.spec.method;
  const message = create(input, before);
  bindQuery(reflect(input, message), route, query, { ignoreUnknown, registry });
  return toJson(input, message, { registry });
}

/** What a refusal says, and the field that it names. */
function refusal(query: string, given?: Given): readonly [message: string, field: string | undefined] {
  try {
    bound(query, given);
  } catch (reason) {
    if (!(reason instanceof ConnectError) || reason.code !== Code.InvalidArgument) throw reason;
    const violations = reason.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
    expect(violations.length).toBeLessThan(2);
    return [reason.rawMessage, violations[0]?.field];
  }
  throw new Error("it was not refused");
}

const mismatch = (field: string, text: string) => [
  expect.stringContaining(
    `type mismatch, parameter: ${field}, error: ${text.trim() === "" ? JSON.stringify(text) : text} is not valid: send `,
  ),
  field,
];
const unexpected = (name: string, why: string) => [
  `unexpected query parameter ${name === "" ? '""' : name.slice(0, 100)}: ${why}`,
  name,
];
const noField = "the request has no such field";
const invalid = (name: string, why: string) => [`invalid parameter ${name}: ${why}`, name];

const int32 = { good: ["0", "1", "-1", "2147483647", "-2147483648", "007"], bad: ["2147483648", "-2147483649"] };
const uint32 = { good: ["0", "4294967295"], bad: ["-1", "4294967296"] };
const int64 = {
  good: ["0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"],
  bad: ["9223372036854775808", "-9223372036854775809"],
};
const uint64 = { good: ["0", "9007199254740993", "18446744073709551615"], bad: ["-1", "18446744073709551616"] };

/** Texts that are an integer for no field, whatever a JavaScript number would make of them. */
const noIntegers = ["", "x", "1.5", "1e", "1e-1", "0x1", "0b1", "%2B1", "+1", "1+", "%201", "1%0A", "1_000", "1,000"];
const noIntegers2 = ["NaN", "Infinity", "--1", "-", "null", "true", "%D9%A1", "99999999999999999999999"];

const integers: readonly [
  field: string,
  kind: { readonly good: readonly string[]; readonly bad: readonly string[] },
][] = [
  ["count", int32],
  ["zigzag", int32],
  ["sfixed", int32],
  ["unsigned", uint32],
  ["fixed", uint32],
  ["long", int64],
  ["long_zigzag", int64],
  ["long_sfixed", int64],
  ["big", uint64],
  ["long_fixed", uint64],
  ["int_box", int32],
  ["unsigned_box", uint32],
  ["long_box", int64],
  ["big_box", uint64],
  ["maybe_count", int32],
  ["right", int32],
];

describe("an integer", () => {
  const jsonName = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

  it.each(integers)("of %s keeps every digit within its range", (field, { good }) => {
    for (const text of good) {
      const wanted = String(BigInt(text));
      const set = (bound(`${field}=${text}`) as JsonObject)[jsonName(field)] ?? "0";
      expect(String(set), text).toBe(wanted);
    }
  });

  it.each(integers)("of %s is refused out of its range", (field, { bad }) => {
    for (const text of bad) expect(refusal(`${field}=${text}`)).toEqual(mismatch(field, text));
  });

  it.each(integers)("of %s is decimal, and nothing else", (field) => {
    for (const text of [...noIntegers, ...noIntegers2]) {
      const decoded = decodeURIComponent(text.replaceAll("+", " "));
      expect(refusal(`${field}=${text}`), text).toEqual(mismatch(field, decoded));
    }
  });
});

describe("a floating-point number", () => {
  it.each([
    ["1", 1],
    ["-1.5", -1.5],
    ["0.25", 0.25],
    ["1e3", 1000],
    ["1E%2B3", 1000],
    ["-1.5e-3", -0.0015],
    ["9007199254740993", 9_007_199_254_740_992],
    ["1.7976931348623157e308", Number.MAX_VALUE],
    ["5e-324", Number.MIN_VALUE],
    ["NaN", "NaN"],
    ["Infinity", "Infinity"],
    ["-Infinity", "-Infinity"],
  ])("of 64 bits may be %s", (text, value) => {
    expect(bound(`double=${text}`)).toEqual({ double: value });
    expect(bound(`doubleBox=${text}`)).toEqual({ doubleBox: value });
  });

  it.each([
    ["1.5", 1.5],
    ["3.4028234663852886e38", 3.4028234663852886e38],
    ["NaN", "NaN"],
    ["-Infinity", "-Infinity"],
  ])("of 32 bits may be %s", (text, value) => {
    expect(bound(`float=${text}`)).toEqual({ float: value });
    expect(bound(`floatBox=${text}`)).toEqual({ floatBox: value });
  });

  it.each([
    "1e309",
    "-1e309",
    "1e400",
    "",
    "x",
    ".5",
    "5.",
    "+1",
    "1%20",
    "0x1",
    "1e",
    "nan",
    "inf",
    "infinity",
    "1,5",
  ])("is none: %j", (text) => {
    const decoded = decodeURIComponent(text.replaceAll("+", " "));
    for (const field of ["double", "float", "double_box", "float_box"]) {
      expect(refusal(`${field}=${text}`)).toEqual(mismatch(field, decoded));
    }
  });

  it("of 32 bits is refused past them", () => {
    for (const text of ["3.5e38", "-3.5e38", "1e39"]) {
      expect(refusal(`float=${text}`)).toEqual(mismatch("float", text));
      expect(refusal(`float_box=${text}`)).toEqual(mismatch("float_box", text));
    }
  });
});

describe("a truth value", () => {
  it("is true or false", () => {
    expect(bound("flag=true")).toEqual({ flag: true });
    expect(bound("flag=false")).toEqual({});
    expect(bound("bool_box=true")).toEqual({ boolBox: true });
    expect(bound("bool_box=false")).toEqual({ boolBox: false });
  });

  it.each(["", "1", "0", "t", "f", "TRUE", "True", "yes", "on", "true%20", "null"])("is not %j", (text) => {
    for (const field of ["flag", "bool_box"]) {
      expect(refusal(`${field}=${text}`)).toEqual(mismatch(field, decodeURIComponent(text)));
    }
  });

  it("is not said by its name alone", () => {
    expect(refusal("flag")).toEqual(mismatch("flag", ""));
  });
});

describe("a text", () => {
  it.each([
    ["x", "x"],
    ["a+b", "a b"],
    ["a%2Bb", "a+b"],
    ["a%20b", "a b"],
    ["a=b=c", "a=b=c"],
    ["a%26b", "a&b"],
    ["%F0%9F%94%91", "🔑"],
    ["%252F", "%2F"],
    ["a;b", "a;b"],
    ["a?b", "a?b"],
    ["null", "null"],
    ['"x"', '"x"'],
    ["[1,2]", "[1,2]"],
    ["é", "é"],
  ])("of %s is %j", (text, value) => {
    expect(bound(`name=${text}`)).toEqual({ name: value });
    expect(bound(`text_box=${text}`)).toEqual({ textBox: value });
    expect(bound(`words=${text}`)).toEqual({ words: [value] });
  });

  it("has no NUL character", () => {
    for (const field of ["name", "text_box", "words", "inner.name"]) {
      expect(refusal(`${field}=a%00b`)).toEqual(mismatch(field, "a\0b"));
    }
  });
});

describe("bytes", () => {
  it.each([
    ["", ""],
    ["Zm9v", "Zm9v"],
    ["Zm8=", "Zm8="],
    ["Zm8", "Zm8="],
    ["Zg==", "Zg=="],
    ["Zg", "Zg=="],
    ["%2B/%2B/", "+/+/"],
    ["-_-_", "+/+/"],
    ["-_8", "+/8="],
    ["-_8%3D", "+/8="],
  ])("may be written %s", (text, value) => {
    expect(bound(`blob=${text}`)).toEqual(value === "" ? {} : { blob: value });
    expect(bound(`bytes_box=${text}`)).toEqual({ bytesBox: value });
  });

  it.each([
    ["%20", " "],
    // A plus of the standard alphabet that was not escaped.
    ["+/+/", " / /"],
    ["Z", "Z"],
    ["Zm9vZ", "Zm9vZ"],
    ["Z===", "Z==="],
    ["Zg=", "Zg="],
    ["Zm8==", "Zm8=="],
    ["Zm9v=", "Zm9v="],
    ["=", "="],
    ["==", "=="],
    ["====", "===="],
    ["Zg==Zg==", "Zg==Zg=="],
    ["Zm9v%0A", "Zm9v\n"],
    ["Zm9v!", "Zm9v!"],
    ["%C3%A9", "é"],
  ])("are not %s", (text, decoded) => {
    expect(refusal(`blob=${text}`)).toEqual(mismatch("blob", decoded));
    expect(refusal(`bytes_box=${text}`)).toEqual(mismatch("bytes_box", decoded));
  });
});

describe("an enum", () => {
  it.each([
    ["RED", "RED"],
    ["1", "RED"],
    ["01", "RED"],
    ["COLOR_UNSPECIFIED", undefined],
    ["0", undefined],
    ["-0", undefined],
    // An open enum has every number.
    ["99", 99],
    ["-1", -1],
    ["2147483647", 2_147_483_647],
  ])("that is open may be %s", (text, value) => {
    expect(bound(`color=${text}`)).toEqual(value === undefined ? {} : { color: value });
    expect(bound(`maybe_color=${text}`)).toEqual({ maybeColor: value ?? "COLOR_UNSPECIFIED" });
  });

  it.each(["", "GREEN", "red", "Color.RED", "RED%20", "1.0", "1e0", "%2B1", "0x1", "2147483648", "null", "LIGHT"])(
    "that is open is not %j",
    (text) => {
      expect(refusal(`color=${text}`)).toEqual(mismatch("color", decodeURIComponent(text)));
      expect(refusal(`colors=${text}`)).toEqual(mismatch("colors", decodeURIComponent(text)));
    },
  );

  it("that is closed has its own numbers alone", () => {
    expect(bound("shade=DARK")).toEqual({ shade: "DARK" });
    expect(bound("shade=2")).toEqual({ shade: "DARK" });
    for (const text of ["0", "3", "-1", "RED"]) expect(refusal(`shade=${text}`)).toEqual(mismatch("shade", text));
  });
});

describe("a well-known type", () => {
  it.each([
    ["at=2026-01-02T03:04:05Z", { at: "2026-01-02T03:04:05Z" }],
    ["at=2026-01-02T03:04:05.5Z", { at: "2026-01-02T03:04:05.500Z" }],
    ["at=2026-01-02T03:04:05%2B01:00", { at: "2026-01-02T02:04:05Z" }],
    ["at=0001-01-01T00:00:00Z", { at: "0001-01-01T00:00:00Z" }],
    ["at=9999-12-31T23:59:59.999999999Z", { at: "9999-12-31T23:59:59.999999999Z" }],
    ["span=1.5s", { span: "1.500s" }],
    ["span=-3s", { span: "-3s" }],
    ["span=0s", { span: "0s" }],
    ["span=315576000000s", { span: "315576000000s" }],
    ["spans=1s&spans=2s", { spans: ["1s", "2s"] }],
    ["mask=name", { mask: "name" }],
    ["mask=displayName,inner.byKey", { mask: "displayName,inner.byKey" }],
    ["mask=display_name,inner.by_key", { mask: "displayName,inner.byKey" }],
    ["mask=", { mask: "" }],
    ["boxes=1&boxes=9007199254740993", { boxes: ["1", "9007199254740993"] }],
    ["mask=_a", { mask: "A" }],
  ])("is set by %s", (query, wanted) => {
    expect(bound(query)).toEqual(wanted);
  });

  it.each([
    ["at", ""],
    ["at", "2026-01-02"],
    ["at", "2026-01-02T03:04:05"],
    // The plus of the offset was not escaped.
    ["at", "2026-01-02T03:04:05 01:00"],
    ["at", "2026-13-02T03:04:05Z"],
    ["at", "0000-01-01T00:00:00Z"],
    ["at", "1767323045"],
    ["span", ""],
    ["span", "1"],
    ["span", "1m"],
    ["span", "1.0000000001s"],
    ["span", "315576000001s"],
    ["spans", "1h"],
    ["mask", "a b,c__d"],
    // Names that JSON cannot write, so that another field would be meant.
    ["mask", "a_1"],
    ["mask", "a_"],
    ["boxes", "x"],
  ])("%s is not %j", (field, text) => {
    expect(refusal(`${field}=${text}`)).toEqual(mismatch(field, text));
  });
});

describe("a list", () => {
  it.each([
    ["words=a", { words: ["a"] }],
    ["words=a&words=b&words=a", { words: ["a", "b", "a"] }],
    ["words=a&name=x&words=b", { words: ["a", "b"], name: "x" }],
    // Commas part nothing.
    ["words=a,b", { words: ["a,b"] }],
    ["words=", { words: [""] }],
    ["words", { words: [""] }],
    ["numbers=1&numbers=-2", { numbers: [1, -2] }],
    ["longs=9007199254740993", { longs: ["9007199254740993"] }],
    ["colors=RED&colors=0&colors=7", { colors: ["RED", "COLOR_UNSPECIFIED", 7] }],
    ["inner.words=a&inner.words=b", { inner: { words: ["a", "b"] } }],
  ])("is made by %s", (query, wanted) => {
    expect(bound(query)).toEqual(wanted);
  });

  it("is refused for one item that does not fit, by that item", () => {
    expect(refusal("numbers=1&numbers=x&numbers=3")).toEqual(mismatch("numbers", "x"));
    expect(refusal("numbers=1,2")).toEqual(mismatch("numbers", "1,2"));
    expect(refusal("numbers=")).toEqual(mismatch("numbers", ""));
  });

  it("has its items under either name", () => {
    const query = "inner.long_zigzag=1&inner.words=a";
    expect(bound(query)).toEqual({ inner: { longZigzag: "1", words: ["a"] } });
  });

  it("may be long", () => {
    const numbers = Array.from({ length: 5_000 }, (_, i) => i);
    expect(bound(numbers.map((number) => `numbers=${number}`).join("&"))).toEqual({ numbers });
  });
});

describe("a name", () => {
  it.each([
    ["display_name=x", { displayName: "x" }],
    ["displayName=x", { displayName: "x" }],
    ["display%5Fname=x", { displayName: "x" }],
    ["%6Eame=x", { name: "x" }],
    ["inner.display_name=x", { inner: { displayName: "x" } }],
    ["inner.displayName=x", { inner: { displayName: "x" } }],
    ["inner%2Ename=x", { inner: { name: "x" } }],
    ["inner.inner.inner.name=x&inner.name=y", { inner: { name: "y", inner: { inner: { name: "x" } } } }],
    ["value_of=x", { valueOf: "x" }],
    ["valueOf=x", { valueOf: "x" }],
    ["left=x", { left: "x" }],
    ["side.left=x", { side: { left: "x" } }],
    // Nothing between, before or after.
    ["&&name=x&", { name: "x" }],
    ["", {}],
    ["&", {}],
  ])("leads %s to its field", (query, wanted) => {
    expect(bound(query)).toEqual(wanted);
  });

  it.each([
    ["nothing=1", "nothing", noField],
    ["Name=1", "Name", noField],
    ["DisplayName=1", "DisplayName", noField],
    ["=1", "", noField],
    ["=", "", noField],
    [".=1", ".", noField],
    ["name.=1", "name.", noField],
    [".name=1", ".name", noField],
    ["inner..name=1", "inner..name", noField],
    ["inner.nothing=1", "inner.nothing", noField],
    ["name.size=1", "name.size", noField],
    ["words[0]=1", "words[0]", noField],
    ["words.0=1", "words.0", noField],
    ["many.name=1", "many.name", noField],
    ["many[0].name=1", "many[0].name", noField],
    ["by_key[a].name=1", "by_key[a].name", noField],
    ["by_key.a.name=1", "by_key.a.name", noField],
    ["counts[a]=1", "counts[a]", noField],
    ["choice=1", "choice", noField],
    ["choice.left=1", "choice.left", noField],
    ["%20name=1", " name", noField],
    ["+name=1", " name", noField],
    // Names that objects inherit.
    ["__proto__=1", "__proto__", noField],
    ["constructor=1", "constructor", noField],
    ["inner.__proto__=1", "inner.__proto__", noField],
    ["inner.constructor.prototype=1", "inner.constructor.prototype", noField],
    ["toString=1", "toString", noField],
    ["alt=json", "alt", noField],
    ["inner=x", "inner", "a field of this kind is set by the body alone"],
    ["inner", "inner", "a field of this kind is set by the body alone"],
    ["many=x", "many", "a field of this kind is set by the body alone"],
    ["by_key=x", "by_key", "a field of this kind is set by the body alone"],
    ["counts=1", "counts", "a field of this kind is set by the body alone"],
    ["free=%7B%7D", "free", "a field of this kind is set by the body alone"],
    ["value=1", "value", "a field of this kind is set by the body alone"],
    ["values=1", "values", "a field of this kind is set by the body alone"],
    ["any=1", "any", "a field of this kind is set by the body alone"],
    ["raw=1", "raw", "a field of this kind is set by the body alone"],
    // To JSON, these are one value.
    ["span.seconds=3", "span.seconds", noField],
    ["at.seconds=3", "at.seconds", noField],
    ["mask.paths=a", "mask.paths", noField],
    ["int_box.value=3", "int_box.value", noField],
    ["free.fields=1", "free.fields", noField],
    ["value.string_value=1", "value.string_value", noField],
    ["any.type_url=1", "any.type_url", noField],
  ])("of %s is refused", (query, name, why) => {
    expect(refusal(query)).toEqual(unexpected(name, why));
    expect({}).not.toHaveProperty("polluted");
  });

  it("may be of a message that holds itself, but not without end", () => {
    const deep = (count: number) => `${"inner.".repeat(count - 1)}name`;
    expect(bound(`${deep(32)}=x`)).toMatchObject({ inner: { inner: { inner: {} } } });
    expect(refusal(`${deep(33)}=x`)).toEqual(unexpected(deep(33), noField));
    expect(refusal(`${deep(5_000)}=x`)).toEqual(unexpected(deep(5_000), noField));
  });
});

describe("a single value", () => {
  it.each([
    ["name=a&name=b", "name"],
    ["name=a&name=a", "name"],
    ["display_name=a&displayName=b", "displayName"],
    ["displayName=a&display_name=b", "display_name"],
    ["inner.name=a&inner.display_name=b&inner.name=c", "inner.name"],
    ["at=2026-01-02T03:04:05Z&at=2026-01-02T03:04:05Z", "at"],
    ["int_box=1&int_box=1", "int_box"],
    ["nick=&nick=", "nick"],
    ["flag=true&flag", "flag"],
  ])("is not given twice: %s", (query, name) => {
    expect(refusal(query)).toEqual(invalid(name, "it is given twice and has one value"));
  });

  it("of one message does not count for another", () => {
    expect(bound("name=a&inner.name=b&side.name=c")).toEqual({
      name: "a",
      inner: { name: "b" },
      side: { name: "c" },
    });
  });
});

describe("presence", () => {
  it.each([
    ["nick=", { nick: "" }],
    ["nick", { nick: "" }],
    ["nick=x", { nick: "x" }],
    ["maybe_count=0", { maybeCount: 0 }],
    ["maybe_color=0", { maybeColor: "COLOR_UNSPECIFIED" }],
    ["left=", { left: "" }],
    ["right=0", { right: 0 }],
    ["text_box=", { textBox: "" }],
    ["int_box=0", { intBox: 0 }],
    // Without presence, an empty value is none.
    ["name=", {}],
    ["count=0", {}],
    ["inner.name=", { inner: {} }],
  ])("is what %s says", (query, wanted) => {
    expect(bound(query)).toEqual(wanted);
  });

  it("cannot be said without a value where the type has no empty one", () => {
    expect(refusal("maybe_count=")).toEqual(mismatch("maybe_count", ""));
    expect(refusal("maybe_color")).toEqual(mismatch("maybe_color", ""));
  });
});

describe("alternatives", () => {
  const alternatives = (given: string, other: string) =>
    invalid(given, `it and ${other} are alternatives: send one of them`);

  it.each([
    ["left=a&right=1", "right", "left"],
    ["right=1&left=a", "left", "right"],
    ["left=&right=0", "right", "left"],
    ["left=a&side.name=b", "side.name", "left"],
    ["side.name=b&left=a", "left", "side"],
    ["inner.left=a&inner.right=1", "inner.right", "left"],
    ["side.left=a&side.right=1", "side.right", "left"],
    ["left=a&raw_side.content_type=b", "raw_side.content_type", "left"],
  ])("exclude each other: %s", (query, given, other) => {
    expect(refusal(query)).toEqual(alternatives(given, other));
  });

  it("exclude what the body has set", () => {
    const rule = ruleOf("post", "/x", { body: "side" });
    const before = { choice: { case: "side", value: {} } } as Given["before"];
    expect(refusal("left=a", { rule, before: before ?? {} })).toEqual(alternatives("left", "side"));
  });

  it("of several messages, and parts of one, go together", () => {
    expect(bound("side.left=a&side.name=b&inner.right=1")).toEqual({
      side: { left: "a", name: "b" },
      inner: { right: 1 },
    });
  });
});

describe("what the path or the body sets", () => {
  const byPath = "the path sets this field";
  const byBody = "the body sets this field";
  it.each<[rule: HttpRuleInit, query: string, name: string, why: string]>([
    [ruleOf("get", "/x/{name}"), "name=other", "name", byPath],
    [ruleOf("get", "/x/{display_name}"), "displayName=other", "displayName", byPath],
    [ruleOf("get", "/x/{display_name}"), "display_name=other", "display_name", byPath],
    [ruleOf("get", "/x/{inner.name}"), "inner.name=other", "inner.name", byPath],
    [ruleOf("get", "/x/{raw.content_type}"), "raw.contentType=1", "raw.contentType", byPath],
    [ruleOf("get", "/x/{name=**}"), "name=", "name", byPath],
    [ruleOf("post", "/x", { body: "inner" }), "inner.name=1", "inner.name", byBody],
    [ruleOf("post", "/x", { body: "name" }), "name=1", "name", byBody],
    [ruleOf("post", "/x", { body: "words" }), "words=1", "words", byBody],
    [
      ruleOf("post", "/x", { body: "*" }),
      "name=1",
      "name",
      "the body is the whole request, so there are no query parameters",
    ],
    [
      ruleOf("post", "/x", { body: "*" }),
      "nothing=1",
      "nothing",
      "the body is the whole request, so there are no query parameters",
    ],
  ])("is not for the query: %#", (rule, query, name, why) => {
    expect(refusal(query, { rule })).toEqual(unexpected(name, why));
    expect(bound(query, { rule, ignoreUnknown: true })).toEqual({});
  });

  it.each<[rule: HttpRuleInit, query: string, wanted: unknown]>([
    [ruleOf("get", "/x/{name}"), "inner.name=a&count=1", { inner: { name: "a" }, count: 1 }],
    [ruleOf("get", "/x/{inner.name}"), "name=a&inner.count=1", { name: "a", inner: { count: 1 } }],
    [ruleOf("post", "/x", { body: "inner" }), "name=a", { name: "a" }],
    [ruleOf("delete", "/x"), "name=a", { name: "a" }],
    [ruleOf("post", "/x"), "name=a", { name: "a" }],
  ])("leaves the rest to the query: %#", (rule, query, wanted) => {
    expect(bound(query, { rule })).toEqual(wanted);
  });

  it("stays as the body has set it", () => {
    const rule = ruleOf("post", "/x", { body: "words" });
    const before = { words: ["a"] } as Given["before"];
    expect(bound("name=b", { rule, before: before ?? {} })).toEqual({ words: ["a"], name: "b" });
  });
});

const badEscape = (name: string): readonly unknown[] => {
  const description = "it holds a percent sign that starts no valid UTF-8 escape: write a percent sign as %25";
  return [`invalid query parameter ${name}: ${description}`, name];
};

describe("an escape that is none", () => {
  it.each([
    ["name=%", "name"],
    ["name=%2", "name"],
    ["name=%zz", "name"],
    ["n%61me=%ff", "name"],
    ["count=1&name=%c0%af", "name"],
    ["inner.name=%ed%a0%80", "inner.name"],
    ["%=1", "%"],
    ["na%me=1", "na%me"],
    ["%ff", "%ff"],
  ])("is refused: %s, with the parameter %s", (query, name) => {
    expect(refusal(query)).toEqual(badEscape(name));
  });
});

describe("where unknown parameters are passed over", () => {
  const lenient: Given = { ignoreUnknown: true };
  it.each([
    "nothing=1",
    "=1",
    "inner.nothing=1",
    "inner=x",
    "by_key=1",
    "many=1&many=2",
    "__proto__=1&constructor=1",
    "%=1",
    "%ff",
    "nothing=%ff",
    `${"a".repeat(10_000)}=1`,
    `${"inner.".repeat(100)}name=1`,
  ])("%s is, and the rest is bound", (query) => {
    expect(bound(`${query}&name=x`, lenient)).toEqual({ name: "x" });
  });

  it.each<[query: string, wanted: readonly unknown[]]>([
    ["count=x", mismatch("count", "x")],
    ["nothing=1&flag=1", mismatch("flag", "1")],
    ["name=a&name=b", invalid("name", "it is given twice and has one value")],
    ["left=a&right=1", invalid("right", "it and left are alternatives: send one of them")],
    ["name=%ff", badEscape("name")],
  ])("a known one with a bad value is refused all the same: %s", (query, wanted) => {
    expect(refusal(query, lenient)).toEqual(wanted);
  });
});
