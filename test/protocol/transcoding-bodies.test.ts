import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { expectStatus } from "../fixtures/sturdy.ts";
import { maxRequestBytes, openTranscoding, type TranscodingOptions } from "../fixtures/transcoding.ts";
import { type Exchange, exchange, type Reply } from "../fixtures/wire.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;
const json = { "content-type": "application/json" };

/** One request of a server of its own, which must not think of it as a failure of its own. */
async function ask(request: Exchange, options: TranscodingOptions = {}): Promise<Reply> {
  const server = await openTranscoding(options);
  const reply = await exchange(server.url, request);
  expect(server.failures).toEqual([]);
  return reply;
}

function jsonOf(reply: Reply): Record<string, unknown> {
  expect(reply.status, reply.body.toString()).toBe(200);
  return JSON.parse(reply.body.toString());
}

const nested = (depth: number, open: string, inner: string, close: string) =>
  open.repeat(depth) + inner + close.repeat(depth);

/** What the whole body means: the fields of the answer. */
const whole: readonly { readonly name: string; readonly body: string; readonly want: object }[] = [
  { name: "no field", body: "{}", want: { text: "", big: "0", texts: [], labels: {}, raw: "" } },
  { name: "names as in JSON", body: '{"shortReal":1,"other-name":"a"}', want: { shortReal: 1, "other-name": "a" } },
  {
    name: "names as in the proto file",
    body: '{"short_real":1,"renamed":"a"}',
    want: { shortReal: 1, "other-name": "a" },
  },
  { name: "a 64-bit number", body: '{"big":9007199254740993}', want: { big: "9007199254740993" } },
  {
    name: "a 64-bit number as a text",
    body: '{"bigCount":"18446744073709551615"}',
    want: { bigCount: "18446744073709551615" },
  },
  {
    name: "64-bit numbers in lists",
    body: '{"bigs":[9007199254740993,-9223372036854775808]}',
    want: { bigs: ["9007199254740993", "-9223372036854775808"] },
  },
  {
    name: "numbers with an exponent",
    body: '{"small":1e3,"big":1e3,"real":1e300}',
    want: { small: 1000, big: "1000", real: 1e300 },
  },
  {
    name: "a large 64-bit number with an exponent",
    body: '{"big":1e18,"bigCount":1.5e19}',
    want: { big: "1000000000000000000", bigCount: "15000000000000000000" },
  },
  {
    name: "numbers as texts",
    body: '{"small":"-7","real":"1.5","count":"8"}',
    want: { small: -7, real: 1.5, count: 8 },
  },
  {
    name: "numbers that are none",
    body: '{"real":"NaN","shortReal":"-Infinity"}',
    want: { real: "NaN", shortReal: "-Infinity" },
  },
  { name: "URL-safe base64 without padding", body: '{"raw":"_-8"}', want: { raw: "/+8=" } },
  {
    name: "enums by name and number",
    body: '{"shade":"SHADE_DARK","shades":[1,"SHADE_NEGATIVE",7]}',
    want: { shade: "SHADE_DARK", shades: ["SHADE_LIGHT", "SHADE_NEGATIVE", 7] },
  },
  {
    name: "zero values with presence",
    body: '{"maybeText":"","maybeNumber":0,"maybeFlag":false}',
    want: { maybeText: "", maybeNumber: 0, maybeFlag: false },
  },
  {
    name: "null",
    body: '{"text":null,"part":null,"texts":null,"maybeText":null,"wrappedText":null}',
    want: { text: "", texts: [] },
  },
  { name: "null for what has null", body: '{"value":null,"chosenNull":null}', want: { value: null, chosenNull: null } },
  {
    name: "maps",
    body: '{"labels":{"a":"b","":"c"},"numbered":{"-1":{"id":"x"}},"shaded":{"true":1},"keyed":{"18446744073709551615":"AA=="}}',
    want: { labels: { a: "b", "": "c" }, shaded: { true: "SHADE_LIGHT" }, keyed: { "18446744073709551615": "AA==" } },
  },
  {
    name: "names that objects inherit, as keys",
    body: '{"labels":{"__proto__":"a","constructor":"b","toString":"c"}}',
    want: { labels: JSON.parse('{"__proto__":"a","constructor":"b","toString":"c"}') },
  },
  {
    name: "such names as keys of messages",
    body: '{"named":{"__proto__":{"id":"a"},"constructor":{"id":"b"}}}',
    want: { named: JSON.parse('{"__proto__":{"id":"a"},"constructor":{"id":"b"}}') },
  },
  {
    name: "such names in a Struct",
    body: '{"object":{"__proto__":{"a":1},"constructor":2}}',
    want: { object: JSON.parse('{"__proto__":{"a":1},"constructor":2}') },
  },
  {
    name: "well-known types",
    body: '{"time":"2024-01-01T00:00:00+01:00","span":"1.5s","mask":"a.bC,d","wrappedBig":"3","wrappedFlag":false,"nothing":{}}',
    want: {
      time: "2023-12-31T23:00:00Z",
      span: "1.500s",
      mask: "a.bC,d",
      wrappedBig: "3",
      wrappedFlag: false,
      nothing: {},
    },
  },
  {
    name: "free JSON",
    body: '{"object":{"a":[1,null,{"b":"c"}]},"value":[true,"x"],"list":[1.5,{}]}',
    want: { object: { a: [1, null, { b: "c" }] }, value: [true, "x"], list: [1.5, {}] },
  },
  {
    name: "large numbers in free JSON, as numbers",
    body: '{"object":{"a":12345678901234567890},"value":1e20,"list":[9007199254740993]}',
    want: { object: { a: 12345678901234567000 }, value: 1e20, list: [9007199254740992] },
  },
  {
    name: "an Any of one of our messages",
    body: '{"any":{"@type":"type.googleapis.com/portcullis.test.v1.Part","id":"a"}}',
    want: {
      any: {
        "@type": "type.googleapis.com/portcullis.test.v1.Part",
        id: "a",
        size: 0,
        shade: "SHADE_UNSPECIFIED",
        tags: [],
      },
    },
  },
  {
    name: "an Any of a well-known type",
    body: '{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}}',
    want: { any: { "@type": "type.googleapis.com/google.protobuf.Duration", value: "3s" } },
  },
  { name: "a byte-order mark and blanks around", body: '\ufeff \r\n\t{"text":"a"}\n', want: { text: "a" } },
  {
    name: "a NUL and other controls in a text",
    body: String.raw`{"text":"a\u0000\u001b"}`,
    want: { text: "a\u0000\u001b" },
  },
];

/** Refusals of the whole body, and the field that they name. */
const misfits: readonly { readonly name: string; readonly body: string; readonly field: string }[] = [
  { name: "a field that is not there", body: '{"nope":1}', field: "nope" },
  { name: "a field in the wrong letter case", body: '{"Text":"a"}', field: "Text" },
  { name: "a field that objects inherit", body: '{"__proto__":{"text":"a"}}', field: "__proto__" },
  { name: "a number for a text", body: '{"text":1}', field: "text" },
  { name: "a large number for a text", body: '{"text":9007199254740993}', field: "text" },
  { name: "a large number for bytes", body: '{"raw":90071992547409930000}', field: "raw" },
  { name: "a large number for an enum", body: '{"shade":9007199254740993}', field: "shade" },
  { name: "a text for a truth value", body: '{"flag":"true"}', field: "flag" },
  { name: "a number out of 32 bits", body: '{"small":2147483648}', field: "small" },
  { name: "a number out of 64 bits", body: '{"big":9223372036854775808}', field: "big" },
  { name: "a negative number where none is", body: '{"count":-1}', field: "count" },
  { name: "a broken integer", body: '{"small":1.5}', field: "small" },
  { name: "a number past all numbers", body: '{"real":1e999}', field: "real" },
  { name: "a number past 32-bit floats", body: '{"shortReal":3.5e38}', field: "short_real" },
  { name: "no base64", body: '{"raw":"*"}', field: "raw" },
  { name: "an unknown enum name", body: '{"shade":"SHADE_PALE"}', field: "shade" },
  { name: "an enum name in lower case", body: '{"shade":"shade_dark"}', field: "shade" },
  { name: "null in a list", body: '{"texts":["a",null]}', field: "texts[1]" },
  { name: "a value for a list", body: '{"texts":"a"}', field: "texts" },
  { name: "a list for a message", body: '{"part":[]}', field: "part" },
  { name: "a list for a map", body: '{"labels":[]}', field: "labels" },
  { name: "a map key of another type", body: '{"numbered":{"x":{}}}', field: "numbered" },
  { name: "a field further in", body: '{"part":{"inner":{"size":"x"}}}', field: "part.inner.size" },
  { name: "a field that is not there, further in", body: '{"part":{"inner":{"nope":1}}}', field: "part.inner.nope" },
  { name: "a field in a list", body: '{"parts":[{},{"id":1}]}', field: "parts[1].id" },
  { name: "a field in a map", body: '{"named":{"k":{"id":1}}}', field: "named.k.id" },
  { name: "a time without an offset", body: '{"time":"2024-01-01T00:00:00"}', field: "time" },
  { name: "a time before the first", body: '{"time":"0000-12-31T23:59:59Z"}', field: "time" },
  { name: "a duration without a unit", body: '{"span":"1"}', field: "span" },
  { name: "a field mask in snake_case", body: '{"mask":"a_b"}', field: "mask" },
  { name: "an Any without a type", body: '{"any":{"id":"a"}}', field: "any" },
  { name: "an Any of an unknown type", body: '{"any":{"@type":"type.googleapis.com/a.B"}}', field: "any" },
  { name: "a wrapper that does not fit", body: '{"wrappedSmall":"x"}', field: "wrapped_small" },
  { name: "two members of a oneof", body: '{"chosenText":"a","chosenNumber":1}', field: "chosen_number" },
  { name: "a key twice", body: '{"text":"a","text":"b"}', field: "text" },
  { name: "a key twice, once with an escape", body: String.raw`{"text":"a","te\u0078t":"b"}`, field: "text" },
  { name: "a key twice in free JSON", body: '{"object":{"a":1,"a":2}}', field: "object.a" },
  { name: "a key twice, further in", body: '{"parts":[{},{"size":1,"size":1}]}', field: "parts[1].size" },
  { name: "both names of a field", body: '{"shortReal":1,"short_real":2}', field: "short_real" },
];

const notJson: readonly { readonly name: string; readonly body: string | Uint8Array }[] = [
  { name: "half an object", body: '{"text":' },
  { name: "text after the object", body: "{} {}" },
  { name: "a comma too many", body: '{"text":"a",}' },
  { name: "blanks alone", body: " \n" },
  { name: "NaN", body: '{"real":NaN}' },
  { name: "invalid UTF-8", body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
  { name: "UTF-16", body: Buffer.from("{}", "utf16le") },
];

const tooDeep: readonly { readonly name: string; readonly body: string }[] = [
  { name: "arrays 10,000 deep", body: nested(10_000, "[", "", "]") },
  { name: "objects 101 deep", body: nested(101, '{"child":', "{}", "}") },
];

describe.each(versions)("the whole body over HTTP/$version", ({ version }) => {
  it.each(whole)("takes $name", async ({ body, want }) => {
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body });
    expect(jsonOf(reply)).toMatchObject(want);
  });
  it.each(misfits)("refuses $name, and names it", async ({ body, field }) => {
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body });
    expectStatus(reply, { http: 400, code: 3, field });
  });
  it.each(notJson)("refuses $name as no JSON", async ({ body }) => {
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body });
    expect(expectStatus(reply, { http: 400, code: 3, field: "body" })).toBe(
      "the request body is not valid JSON: send one JSON value, in UTF-8",
    );
  });
  it.each(tooDeep)("refuses $name", async ({ body }) => {
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body });
    expect(expectStatus(reply, { http: 400, code: 3, field: "body" })).toContain("too deep");
  });
  it.each(["[]", "1", '"a"', "true", "null"])("refuses %s, which is no object", async (body) => {
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body });
    expectStatus(reply, { http: 400, code: 3, field: "body" });
  });
  it.each([undefined, ""])("takes nothing (%j) for an empty message, of any content type", async (body) => {
    const request = { version, path: "/t/v1/whole", ...(body !== undefined && { body }) };
    expect(jsonOf(await ask(request))).toMatchObject({ text: "" });
    expect(jsonOf(await ask({ ...request, headers: { "content-type": "text/plain" } }))).toMatchObject({ text: "" });
  });
  it("keeps what a message nested as deep as protobuf goes holds", async () => {
    const body = nested(95, '{"child":', '{"text":"deep"}', "}");
    expect((await ask({ version, path: "/t/v1/whole", headers: json, body })).body.toString()).toContain(
      '"text":"deep"',
    );
  });
  it("keeps what a list nested 45 deep holds", async () => {
    const value = nested(45, "[", "1", "]");
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body: `{"value":${value}}` });
    expect(JSON.stringify(jsonOf(reply)["value"])).toBe(value);
  });
  it("leaves out of the answer what has presence and is not set, and nothing else", async () => {
    const answer = jsonOf(await ask({ version, path: "/t/v1/whole", headers: json, body: "{}" }));
    expect(Object.keys(answer)).toEqual(
      "real shortReal small big count bigCount zigzag bigZigzag fixed bigFixed signedFixed bigSignedFixed flag text raw shade reals smalls bigs bigCounts flags texts raws shades parts times wrappedTexts labels numbered shaded keyed named other-name".split(
        " ",
      ),
    );
  });
  it("says the same as the path, or nothing of it", async () => {
    const request = { version, method: "PUT", path: "/t/v1/whole/a%2Fb", headers: json };
    expect(jsonOf(await ask({ ...request, body: '{"text":"a/b","small":1}' }))).toMatchObject({
      text: "a/b",
      small: 1,
    });
    expect(jsonOf(await ask({ ...request, body: '{"text":""}' }))).toMatchObject({ text: "a/b" });
    expectStatus(await ask({ ...request, body: '{"text":"c"}' }), { http: 400, code: 3, field: "text" });
  });
  it("leaves no place for a query", async () => {
    const reply = await ask({ version, path: "/t/v1/whole?small=1", headers: json, body: "{}" });
    expectStatus(reply, { http: 400, code: 3, field: "small" });
  });
  it("may be a well-known type", async () => {
    const object = '{"a":[1,null],"b":{"c":"d"}}';
    expect((await ask({ version, path: "/t/v1/object", headers: json, body: object })).body.toString()).toBe(object);
    expect((await ask({ version, path: "/t/v1/text", headers: json, body: '"a\\"b"' })).body.toString()).toBe(
      '"a\\"b"',
    );
    expect((await ask({ version, path: "/t/v1/object" })).body.toString()).toBe("{}");
    expect((await ask({ version, path: "/t/v1/text" })).body.toString()).toBe('""');
    expectStatus(await ask({ version, path: "/t/v1/object", headers: json, body: "[]" }), {
      http: 400,
      code: 3,
      field: "body",
    });
    expectStatus(await ask({ version, path: "/t/v1/text", headers: json, body: "1" }), {
      http: 400,
      code: 3,
      field: "body",
    });
  });
  it.each(['{"value":1e999}', '{"object":{"a":[-1e999]}}', '{"list":[1e999]}'])(
    "refuses %s, which is past all numbers",
    async (body) => {
      expectStatus(await ask({ version, path: "/t/v1/whole", headers: json, body }), { http: 400, code: 3 });
    },
  );
  it("does not keep the fields that objects inherit from being misspelt", async () => {
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body: '{"constructor":{"prototype":1}}' });
    expectStatus(reply, { http: 400, code: 3, field: "constructor" });
    expect(({} as { prototype?: unknown }).prototype).toBeUndefined();
  });
});

/** A field as the body, of each kind: what is sent, the rest of the answer, and what an empty body means. */
const fields: readonly {
  readonly field: string;
  readonly name: string;
  readonly sent: string;
  readonly want: unknown;
  readonly wrong: string;
  /** What the answer holds where nothing was sent; undefined: it has no such field. */
  readonly empty: unknown;
}[] = [
  { field: "child", name: "child", sent: '{"text":"a"}', want: { text: "a" }, wrong: "[]", empty: { text: "" } },
  { field: "text", name: "text", sent: '"a"', want: "a", wrong: "1", empty: "" },
  { field: "big", name: "big", sent: "9007199254740993", want: "9007199254740993", wrong: "1.5", empty: "0" },
  { field: "flag", name: "flag", sent: "true", want: true, wrong: '"true"', empty: false },
  { field: "raw", name: "raw", sent: '"_w"', want: "/w==", wrong: '"*"', empty: "" },
  {
    field: "shade",
    name: "shade",
    sent: '"SHADE_DARK"',
    want: "SHADE_DARK",
    wrong: '"DARK"',
    empty: "SHADE_UNSPECIFIED",
  },
  { field: "maybe_text", name: "maybeText", sent: '""', want: "", wrong: "{}", empty: undefined },
  { field: "chosen_text", name: "chosenText", sent: '"a"', want: "a", wrong: "{}", empty: undefined },
  { field: "texts", name: "texts", sent: '["a","b"]', want: ["a", "b"], wrong: '"a"', empty: [] },
  { field: "parts", name: "parts", sent: '[{"id":"a"}]', want: [{ id: "a" }], wrong: "[[]]", empty: [] },
  { field: "labels", name: "labels", sent: '{"a":"b"}', want: { a: "b" }, wrong: '{"a":1}', empty: {} },
  {
    field: "numbered",
    name: "numbered",
    sent: '{"1":{"id":"a"}}',
    want: { 1: { id: "a" } },
    wrong: '{"x":{}}',
    empty: {},
  },
  {
    field: "time",
    name: "time",
    sent: '"2024-01-01T00:00:00Z"',
    want: "2024-01-01T00:00:00Z",
    wrong: "1",
    empty: undefined,
  },
  { field: "wrapped_text", name: "wrappedText", sent: '"a"', want: "a", wrong: "1", empty: undefined },
  { field: "object", name: "object", sent: '{"a":1}', want: { a: 1 }, wrong: "[]", empty: {} },
  { field: "value", name: "value", sent: "[1]", want: [1], wrong: '{"a":}', empty: undefined },
  { field: "list", name: "list", sent: "[1]", want: [1], wrong: "{}", empty: [] },
  {
    field: "any",
    name: "any",
    sent: '{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}',
    want: { "@type": "type.googleapis.com/google.protobuf.Duration", value: "1s" },
    wrong: '{"a":1}',
    empty: {},
  },
];

describe.each(versions)("a field as the body over HTTP/$version", ({ version }) => {
  it.each(fields)("sets $field", async ({ field, name, sent, want }) => {
    const reply = await ask({ version, path: `/t/v1/bodies/${field}?small=3`, headers: json, body: sent });
    expect(jsonOf(reply)).toMatchObject({ [name]: want, small: 3 });
  });
  it.each(fields)("refuses a wrong $field", async ({ field, wrong }) => {
    const reply = await ask({ version, path: `/t/v1/bodies/${field}`, headers: json, body: wrong });
    const isJson = !expectStatus(reply, { http: 400, code: 3 }).startsWith("the request body is not valid JSON");
    const [violation] = JSON.parse(reply.body.toString()).details[0].fieldViolations;
    expect(violation.field).toMatch(isJson ? new RegExp(`^${field}\\b`) : /^body$/);
  });
  it.each(fields)("leaves $field as it is where nothing is sent", async ({ field, name, empty }) => {
    const answer = jsonOf(await ask({ version, path: `/t/v1/bodies/${field}?small=3` }));
    if (empty === undefined) expect(answer).not.toHaveProperty([name]);
    else
      expect(answer[name]).toEqual(
        typeof empty === "object" && name === "child" ? expect.objectContaining(empty) : empty,
      );
    expect(answer["small"]).toBe(3);
  });
  it.each(fields.filter(({ field }) => field !== "value"))(
    "takes null for no $field",
    async ({ field, name, empty }) => {
      const answer = jsonOf(await ask({ version, path: `/t/v1/bodies/${field}`, headers: json, body: "null" }));
      const isMessage = ["child", "object", "list", "any"].includes(name);
      if (empty === undefined || isMessage) expect(answer).not.toHaveProperty([name]);
      else expect(answer[name]).toEqual(empty);
    },
  );
  it("takes null for the value null", async () => {
    const answer = jsonOf(await ask({ version, path: "/t/v1/bodies/value", headers: json, body: "null" }));
    expect(answer["value"]).toBeNull();
  });
  it("leaves the query no way to set it", async () => {
    for (const query of ["text=a", "part.id=a"]) {
      const path = query.startsWith("text") ? "/t/v1/bodies/text" : "/t/v1/bodies/part/x";
      const method = query.startsWith("text") ? "POST" : "PATCH";
      const reply = await ask({
        version,
        method,
        path: `${path}?${query}`,
        headers: json,
        body: method === "POST" ? '"b"' : "{}",
      });
      expectStatus(reply, { http: 400, code: 3, field: query.split("=")[0] ?? "" });
    }
  });
  it("stands beside path and query", async () => {
    const reply = await ask({
      version,
      method: "PATCH",
      path: "/t/v1/bodies/part/a%20b?texts=x&texts=y",
      headers: json,
      body: '{"id":"c"}',
    });
    expect(jsonOf(reply)).toMatchObject({ text: "a b", texts: ["x", "y"], part: { id: "c" } });
  });
  it("names the field within it that does not fit", async () => {
    const request = { version, method: "PATCH", path: "/t/v1/bodies/part/a", headers: json };
    expectStatus(await ask({ ...request, body: '{"inner":{"nope":1}}' }), {
      http: 400,
      code: 3,
      field: "part.inner.nope",
    });
  });
});

describe.each(versions)("bodies over HTTP/$version", ({ version }) => {
  const request = { version, path: "/t/v1/whole" };

  it.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/octet-stream",
    "json",
    "application/json; charset=latin1",
  ])("of the content type %s are refused with 415", async (type) => {
    const reply = await ask({ ...request, headers: { "content-type": type }, body: "{}" });
    expect(expectStatus(reply, { http: 415, code: 3 })).toContain("application/json");
    expect(reply.headers.accept).toBe("application/json");
  });
  it.each(["utf8", "UTF8", '"utf8"', "latin1"])("in the charset %s are told to be in utf-8", async (charset) => {
    const reply = await ask({
      ...request,
      headers: { "content-type": `application/json; charset=${charset}` },
      body: "{}",
    });
    expect(expectStatus(reply, { http: 415, code: 3 })).toContain("charset=utf-8");
  });
  it("without a content type are refused with 415", async () => {
    expectStatus(await ask({ ...request, body: "{}" }), { http: 415, code: 3 });
  });
  it.each([
    "application/json",
    "Application/JSON",
    "application/json; charset=UTF-8",
    'application/json;charset="utf-8";a=b',
  ])("of the content type %s are taken", async (type) => {
    jsonOf(await ask({ ...request, headers: { "content-type": type }, body: "{}" }));
  });
  it.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
    ["identity", Buffer.from],
    ["GZIP", gzipSync],
  ] as const)("encoded as %s are taken", async (encoding, encode) => {
    const body = (encode as (text: string) => Buffer)('{"text":"a"}');
    const reply = await ask({ ...request, headers: { ...json, "content-encoding": encoding }, body });
    expect(jsonOf(reply)).toMatchObject({ text: "a" });
  });
  it.each(["zstd", "compress", "gzip, gzip", "nope"])("encoded as %s are refused with 415", async (encoding) => {
    const reply = await ask({ ...request, headers: { ...json, "content-encoding": encoding }, body: gzipSync("{}") });
    expectStatus(reply, { http: 415, code: 3 });
    expect(reply.headers["accept-encoding"]).toBe("gzip, br, deflate");
  });
  it.each(["gzip", "br", "deflate"])("that are not the %s they say are refused", async (encoding) => {
    for (const body of ["{}", gzipSync("{}").subarray(0, 12)]) {
      const reply = await ask({ ...request, headers: { ...json, "content-encoding": encoding }, body });
      expectStatus(reply, { http: 400, code: 3, field: "body" });
    }
  });
  it("as large as they may be are taken", async () => {
    const body = `{"text":"${"x".repeat(maxRequestBytes - 11)}"}`;
    expect(body).toHaveLength(maxRequestBytes);
    jsonOf(await ask({ ...request, headers: json, body }));
  });
  it("a byte larger are refused with 413, with and without a length", async () => {
    const body = Buffer.from(`{"text":"${"x".repeat(maxRequestBytes - 10)}"}`);
    for (const sent of [body, [body.subarray(0, 100), body.subarray(100)]]) {
      expectStatus(await ask({ ...request, headers: json, body: sent }), { http: 413, code: 8 });
    }
  });
  it.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
  ] as const)("that %s makes small are refused with 413 when they grow", async (encoding, encode) => {
    const body = encode(Buffer.alloc(20_000_000, "x"));
    expect(body.length).toBeLessThan(maxRequestBytes);
    expectStatus(await ask({ ...request, headers: { ...json, "content-encoding": encoding }, body }), {
      http: 413,
      code: 8,
    });
  });
  it("are refused where the rule has none, but an empty one is nothing", async () => {
    for (const method of ["GET", "DELETE"]) {
      const path = method === "GET" ? "/t/v1/query" : "/t/v1/query/a";
      expectStatus(await ask({ version, method, path, headers: { ...json, "content-length": "2" }, body: "{}" }), {
        http: 400,
        code: 3,
        field: "body",
      });
      jsonOf(await ask({ version, method, path, headers: { ...json, "content-length": "0" } }));
    }
  });
});

describe.each(versions)("a server that ignores what it does not know, over HTTP/$version", ({ version }) => {
  const lenient = { ignoreUnknown: true };

  it("passes over unknown fields, at any depth", async () => {
    const body =
      '{"nope":1,"text":"a","part":{"nope":[{}],"id":"b"},"parts":[{"nope":1}],"named":{"k":{"nope":1}},"constructor":1}';
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body }, lenient);
    expect(jsonOf(reply)).toMatchObject({
      text: "a",
      part: { id: "b" },
      parts: [{ id: "" }],
      named: { k: { id: "" } },
    });
  });
  it("does not pass over an unknown enum name", async () => {
    const reply = await ask({ version, path: "/t/v1/whole", headers: json, body: '{"shade":"SHADE_PALE"}' }, lenient);
    expectStatus(reply, { http: 400, code: 3, field: "shade" });
  });
  it("keeps every key of free JSON and of maps", async () => {
    const body = '{"object":{"nope":1},"labels":{"nope":"a"}}';
    expect(jsonOf(await ask({ version, path: "/t/v1/whole", headers: json, body }, lenient))).toMatchObject(
      JSON.parse(body),
    );
  });
  it("does not read a body where the rule has none", async () => {
    jsonOf(
      await ask(
        {
          version,
          method: "GET",
          path: "/t/v1/query",
          headers: { "content-type": "x", "content-length": "8" },
          body: "not read",
        },
        lenient,
      ),
    );
  });
  it("lets the path win over the body, and the query count for nothing beside them", async () => {
    const reply = await ask(
      { version, method: "PUT", path: "/t/v1/whole/path?text=query&small=1", headers: json, body: '{"text":"body"}' },
      lenient,
    );
    expect(jsonOf(reply)).toMatchObject({ text: "path", small: 0 });
  });
  it("lets the path win over an alternative in the query", async () => {
    const path = "/t/v1/optionals/a/1/true/SHADE_DARK/2?chosenText=query";
    const answer = jsonOf(await ask({ version, method: "GET", path }, lenient));
    expect(answer).toMatchObject({ chosenNumber: "2" });
    expect(answer).not.toHaveProperty("chosenText");
  });
});
