import type { JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { toYaml } from "../../../../src/rpc/openapi/yaml.ts";

describe("toYaml", () => {
  it("writes blocks, and texts without quotes where they need none", () => {
    const document = {
      openapi: "3.1.0",
      paths: { "/v1/{name}": { get: { tags: ["Library", "a b"], security: [], parameters: [{ in: "path" }, {}] } } },
      text: "Says: what it is.\nIn two lines.",
      nested: [
        [1, 2],
        [true, null],
      ],
    };
    expect(toYaml(document)).toBe(`openapi: "3.1.0"
paths:
  /v1/{name}:
    get:
      tags:
        - Library
        - a b
      security: []
      parameters:
        - in: path
        - {}
text: "Says: what it is.\\nIn two lines."
nested:
  - - 1
    - 2
  - - true
    - null
`);
  });

  const texts = [
    ..."\0\t\n\r\x1b\x7f\x80\x85\xa0\u2028\u2029\ufeff\ufffe\ud800😀é",
    ...[..."-?:,[]{}#&*!|>'\"%@` =<~"].flatMap((mark) => [mark, `a${mark}`, `${mark}a`, `a${mark}b`, `a ${mark} b`]),
    ..."true False NULL yes No ON off y N ~ .nan .inf 0 1.5 0x1f 1e3 1:30 2020-01-01 --- ... << $ref /a a/ a".split(
      " ",
    ),
    ..."/**/ //x a: a:b #a a#b 'a' (a) a) {a} {a} a, a. a; a* a$ $a /: -a".split(" "),
    "",
    " ",
    "a ",
    " a",
    "a: b",
    "a #b",
    "x".repeat(500),
  ];

  it.each(["1.1", "1.2"] as const)("is read back as it was, by a reader of YAML %s", (version) => {
    for (const text of texts) {
      const value: JsonValue = { [text]: text, list: [text, [text], { [text]: [text] }], last: text };
      expect(parse(toYaml(value), { version }), JSON.stringify(text)).toEqual(value);
      expect(parse(toYaml(text), { version }), JSON.stringify(text)).toBe(text);
    }
    for (const value of [null, true, 0, -1.5, 1e300, [], {}, [[]], [{}], { a: {} }]) {
      expect(parse(toYaml(value), { version })).toEqual(value);
    }
  });
});
