// The grammar of google/api/http.proto, as far as rpc/rest/template.ts says it is understood.
import { describe, expect, it } from "vitest";
import { parseTemplate } from "../../../src/rpc/rest/template.ts";

const literal = (text: string) => ({ kind: "literal", text });
const variable = (field: string) => ({ kind: "variable", field });

describe("parseTemplate", () => {
  it.each([
    ["/a", [literal("a")]],
    ["/a/b/c", [literal("a"), literal("b"), literal("c")]],
    ["/policies/login/_search", [literal("policies"), literal("login"), literal("_search")]],
    ["/v1.0/a-b/~c", [literal("v1.0"), literal("a-b"), literal("~c")]],
    ["/{a}", [variable("a")]],
    ["/{a=*}", [variable("a")]],
    ["/a/{idp_id}", [literal("a"), variable("idp_id")]],
    ["/{ownerType}/x", [variable("ownerType"), literal("x")]],
    ["/{_a1}/{b}", [variable("_a1"), variable("b")]],
  ])("reads %s", (template, segments) => {
    expect(parseTemplate(template)).toEqual(segments);
  });

  it.each(["", "a", "a/b", "{a}", "*", " /a"])("refuses %j, which does not start with a slash", (template) => {
    expect(() => parseTemplate(template)).toThrow(new Error(`path template "${template}" does not start with a slash`));
  });

  it.each([
    ["/", ""],
    ["/a/", ""],
    ["//a", ""],
    ["/a//b", ""],
    ["/a?b", "a?b"],
    ["/a b", "a b"],
    ["/a#b", "a#b"],
    ["/*", "*"],
    ["/**", "**"],
    ["/***", "***"],
    ["/foo*", "foo*"],
    ["/a:verb", "a:verb"],
    ["/{a}:verb", "{a}:verb"],
    ["/a:", "a:"],
    ["/a%2Fb", "a%2Fb"],
    ["/ä", "ä"],
    ["/{}", "{}"],
    ["/{", "{"],
    ["/}", "}"],
    ["/{a", "{a"],
    ["/a}", "a}"],
    ["/x{a}", "x{a}"],
    ["/{a}x", "{a}x"],
    ["/{a}{b}", "{a}{b}"],
    ["/{1}", "{1}"],
    ["/{a-}", "{a-}"],
    ["/{a.b}", "{a.b}"],
    ["/{a.1}", "{a.1}"],
    ["/{a=}", "{a=}"],
    ["/{a=**}", "{a=**}"],
    ["/{a=b}", "{a=b}"],
    ["/{{a}}", "{{a}}"],
    ["/a\\b", "a\\b"],
    ["/a\n", "a\n"],
    ["/{a}\n", "{a}\n"],
  ])("refuses %j for its segment %j", (template, segment) => {
    expect(() => parseTemplate(template)).toThrow(
      new Error(`path template "${template}" has a segment that is not understood: "${segment}"`),
    );
  });

  it("refuses variables of several segments", () => {
    expect(() => parseTemplate("/{a=b/*}")).toThrow(/has a segment that is not understood: "\{a=b"$/);
  });

  it.each(["/{a}/{a}", "/{a}/x/{a=*}"])("refuses %s, which names a field twice", (template) => {
    expect(() => parseTemplate(template)).toThrow(new Error(`path template "${template}" names a field twice`));
  });
});
