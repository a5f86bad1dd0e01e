// The grammar that rpc/rest/template.ts has above the parser.
import { describe, expect, it } from "vitest";
import { type PathTemplate, parseTemplate, type Segment } from "../../../../src/rpc/rest/template.ts";

const literal = (text: string): Segment => ({ kind: "literal", text });
const one: Segment = { kind: "one" };
const rest: Segment = { kind: "rest" };
/** A variable from one segment as far as another. */
const variable = (field: string, start: number, end: number, isMultiple = end - start > 1) => ({
  fieldPath: field.split("."),
  start,
  end,
  isMultiple,
});

describe("parseTemplate", () => {
  it.each<[template: string, wanted: Partial<PathTemplate>]>([
    ["/", { segments: [] }],
    ["/a", { segments: [literal("a")] }],
    ["/a/b/c", { segments: [literal("a"), literal("b"), literal("c")] }],
    ["/policies/login/_search", { segments: [literal("policies"), literal("login"), literal("_search")] }],
    ["/v1.0/a-b/~c/_", { segments: [literal("v1.0"), literal("a-b"), literal("~c"), literal("_")] }],
    ["/$&'()+,;@!", { segments: [literal("$&'()+,;@!")] }],
    ["/...", { segments: [literal("...")] }],
    ["/.a/a.", { segments: [literal(".a"), literal("a.")] }],
    ["/1", { segments: [literal("1")] }],
    // One form for each text, however it is written.
    ["/%7e", { segments: [literal("~")] }],
    ["/%7E", { segments: [literal("~")] }],
    ["/%61", { segments: [literal("a")] }],
    ["/%C3%a9", { segments: [literal("é")] }],
    ["/%F0%9F%94%91", { segments: [literal("🔑")] }],
    ["/a%2Fb", { segments: [literal("a/b")] }],
    ["/%252F", { segments: [literal("%2F")] }],
    // Encoded, these are text, and mean nothing else.
    ["/%2A", { segments: [literal("*")] }],
    ["/%2a%2a", { segments: [literal("**")] }],
    ["/%7Ba%7D", { segments: [literal("{a}")] }],
    ["/a%3Ab", { segments: [literal("a:b")] }],
    ["/a%3Fb", { segments: [literal("a?b")] }],
    ["/a%20b", { segments: [literal("a b")] }],
    ["/*", { segments: [one] }],
    ["/*/a/*", { segments: [one, literal("a"), one] }],
    ["/**", { segments: [rest] }],
    ["/a/*/**", { segments: [literal("a"), one, rest] }],
  ])("reads %s", (template, wanted) => {
    expect(parseTemplate(template)).toEqual({ variables: [], ...wanted });
  });

  it.each<[template: string, wanted: PathTemplate]>([
    ["/{a}", { segments: [one], variables: [variable("a", 0, 1)] }],
    ["/{a=*}", { segments: [one], variables: [variable("a", 0, 1)] }],
    ["/{ownerType}/x", { segments: [one, literal("x")], variables: [variable("ownerType", 0, 1)] }],
    ["/{_a1}/{B_2}", { segments: [one, one], variables: [variable("_a1", 0, 1), variable("B_2", 1, 2)] }],
    ["/{a.b}", { segments: [one], variables: [variable("a.b", 0, 1)] }],
    ["/{a.b.c_1}", { segments: [one], variables: [variable("a.b.c_1", 0, 1)] }],
    ["/{a.b}/{a.c}", { segments: [one, one], variables: [variable("a.b", 0, 1), variable("a.c", 1, 2)] }],
    // The name of one begins with that of the other, and is another.
    ["/{a}/{ab}", { segments: [one, one], variables: [variable("a", 0, 1), variable("ab", 1, 2)] }],
    ["/{a=b}", { segments: [literal("b")], variables: [variable("a", 0, 1)] }],
    ["/x/{a=b/*}", { segments: [literal("x"), literal("b"), one], variables: [variable("a", 1, 3)] }],
    [
      "/{a=b/*}/{c=*/d}/e",
      {
        segments: [literal("b"), one, one, literal("d"), literal("e")],
        variables: [variable("a", 0, 2), variable("c", 2, 4)],
      },
    ],
    ["/{a=*/*}", { segments: [one, one], variables: [variable("a", 0, 2)] }],
    // It can match one segment or none, but is of several by its template.
    ["/{a=**}", { segments: [rest], variables: [variable("a", 0, 1, true)] }],
    ["/{a=b/**}", { segments: [literal("b"), rest], variables: [variable("a", 0, 2)] }],
    [
      "/x/{a}/{b=**}",
      { segments: [literal("x"), one, rest], variables: [variable("a", 1, 2), variable("b", 2, 3, true)] },
    ],
    [
      "/{a=b/*/**}/{c}/d",
      {
        segments: [literal("b"), one, rest, one, literal("d")],
        variables: [variable("a", 0, 3), variable("c", 3, 4)],
      },
    ],
    ["/{a=**/b}", { segments: [rest, literal("b")], variables: [variable("a", 0, 2)] }],
  ])("reads the variables of %s", (template, wanted) => {
    expect(parseTemplate(template)).toEqual(wanted);
  });

  it.each<[template: string, wanted: PathTemplate]>([
    ["/a:b", { segments: [literal("a")], variables: [], verb: "b" }],
    ["/a/*:b", { segments: [literal("a"), one], variables: [], verb: "b" }],
    ["/**:b", { segments: [rest], variables: [], verb: "b" }],
    ["/{a}:b_c-d.e", { segments: [one], variables: [variable("a", 0, 1)], verb: "b_c-d.e" }],
    ["/{a=**}:b", { segments: [rest], variables: [variable("a", 0, 1, true)], verb: "b" }],
    ["/a:%62", { segments: [literal("a")], variables: [], verb: "b" }],
    ["/a:b%3Ac", { segments: [literal("a")], variables: [], verb: "b:c" }],
    ["/a:..", { segments: [literal("a")], variables: [], verb: ".." }],
  ])("reads the verb of %s", (template, wanted) => {
    expect(parseTemplate(template)).toEqual(wanted);
  });

  const start = "it must begin with a slash";
  const segment = "a segment is missing";
  const verb = "a verb is missing";
  const end = "a variable must end with }";
  const name = "a field name has letters, digits and underscores, and begins with no digit";
  const dots = "no path that is served has a segment of dots";
  const utf8 = "the percent-encoded bytes before are no UTF-8";
  const secondRest = "a template has one ** at most: a path could be divided between two in many ways";
  const query = "a path has no query: the fields that it does not bind are query parameters by themselves";
  const cannotStand = (character: string) => `"${character}" cannot stand here`;

  it.each<[template: string, character: number, reason: string]>([
    ["", 1, start],
    ["a", 1, start],
    ["a/b", 1, start],
    ["{a}", 1, start],
    ["*", 1, start],
    [" /a", 1, start],
    ["?", 1, start],
    ["https://host/a", 1, start],

    ["//", 2, segment],
    ["//a", 2, segment],
    ["/a/", 4, segment],
    ["/a//b", 4, segment],
    ["/*/", 4, segment],
    ["/:a", 2, segment],
    ["/a/:b", 4, segment],
    ["/ ", 2, segment],
    ["/#", 2, segment],
    ["/é", 2, segment],
    ["/}", 2, segment],
    ["/\\a", 2, segment],
    ["/%", 2, segment],
    ["/%2", 2, segment],
    ["/%zz", 2, segment],

    ["/a b", 3, cannotStand(" ")],
    ["/a#b", 3, cannotStand("#")],
    ["/a\\b", 3, cannotStand("\\")],
    ["/a\n", 3, cannotStand("\n")],
    ["/{a}\n", 5, cannotStand("\n")],
    ["/aä", 3, cannotStand("ä")],
    ["/a%", 3, cannotStand("%")],
    ["/a%2", 3, cannotStand("%")],
    ["/a%2Gb", 3, cannotStand("%")],
    ["/foo*", 5, cannotStand("*")],
    ["/foo**", 5, cannotStand("*")],
    ["/*foo", 3, cannotStand("f")],
    ["/***", 4, cannotStand("*")],
    ["/**a", 4, cannotStand("a")],
    ["/x{a}", 3, cannotStand("{")],
    ["/{a}x", 5, cannotStand("x")],
    ["/{a}{b}", 5, cannotStand("{")],
    ["/a}", 3, cannotStand("}")],
    ["/{a}}", 5, cannotStand("}")],
    ["/*{a}", 3, cannotStand("{")],

    ["/.", 3, dots],
    ["/..", 4, dots],
    ["/a/./b", 5, dots],
    ["/a/%2e%2E", 10, dots],
    ["/{a=../*}", 7, dots],
    ["/..:a", 4, dots],

    ["/%ff", 5, utf8],
    ["/a%c3", 6, utf8],
    ["/%c0%af/b", 8, utf8],
    ["/%ed%a0%80", 11, utf8],
    ["/a:%ff", 7, utf8],

    ["/**/**", 5, secondRest],
    ["/**/a/**", 7, secondRest],
    ["/{a=**/b}/{c=**}", 14, secondRest],
    ["/**/", 5, segment],

    ["/a:", 4, verb],
    ["/a::b", 4, verb],
    ["/{a}:", 6, verb],
    ["/a:*", 4, verb],
    ["/a:{b}", 4, verb],
    ["/a:/b", 4, verb],
    ["/a:b/c", 5, cannotStand("/")],
    ["/a:b/", 5, cannotStand("/")],
    ["/a:b:c", 5, cannotStand(":")],
    ["/a:b*", 5, cannotStand("*")],
    ["/a:b/{c}", 5, cannotStand("/")],

    ["/{}", 3, name],
    ["/{", 3, name],
    ["/{{a}}", 3, name],
    ["/{1}", 3, name],
    ["/{1a}", 3, name],
    ["/{.a}", 3, name],
    ["/{a.}", 5, name],
    ["/{a..b}", 5, name],
    ["/{a.1}", 5, name],
    ["/{=*}", 3, name],
    ["/{*}", 3, name],
    ["/{ a}", 3, name],
    ["/{ä}", 3, name],

    ["/{a", 4, end],
    ["/{a/b", 4, end],
    ["/{a-}", 4, end],
    ["/{a }", 4, end],
    ["/{a:b}", 4, end],
    ["/{a=b", 6, end],
    ["/{a=b:c}", 6, end],
    ["/{a=*b}", 6, end],
    ["/{a=**", 7, end],
    ["/{a=***}", 7, end],
    ["/{a=b=c}", 6, end],

    ["/{a=}", 5, segment],
    ["/{a=/b}", 5, segment],
    ["/{a=b/}", 7, segment],
    ["/{a={b}}", 6, "a variable cannot hold another"],
    ["/{a=b/{c}}", 8, "a variable cannot hold another"],

    ["/a?b", 3, query],
    ["/a?b={c}", 3, query],
    ["/?", 2, query],
    ["/a/?b", 4, query],
    ["/{a}?b={b}", 5, query],
    ["/{a?}", 4, query],
    ["/{?a}", 3, query],
    ["/a:?", 4, query],
    ["/a:b?c", 5, query],

    ["/{a}/{a}", 9, "it names the field a twice"],
    ["/{a}/x/{a=*}", 13, "it names the field a twice"],
    ["/{a.b}/{c}/{a.b}", 17, "it names the field a.b twice"],
    ["/{a}/{a.b}", 11, "it names the field a and a field in it"],
    ["/{a.b.c}/{a.b}:d", 17, "it names the field a.b and a field in it"],
  ])("refuses %j at character %i: %s", (template, character, reason) => {
    expect(() => parseTemplate(template)).toThrow(
      new Error(`path template "${template}", character ${character}: ${reason}`),
    );
  });

  it("reads a template of any length", () => {
    expect(parseTemplate(`/${Array(20_000).fill("*/b").join("/")}`).segments).toHaveLength(40_000);
  });
});
