import { Readable } from "node:stream";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { create, createRegistry, type Message, toJson } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { AnySchema, Int64ValueSchema, ListValueSchema, StructSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { ManagementService } from "../../../../gen/zitadel/management_pb.ts";
import { mergeBody, type ReceivedBody } from "../../../../src/rpc/rest/body.ts";
import { createRouteTable, type Route } from "../../../../src/rpc/rest/route-table.ts";
import { HttpRefusalError } from "../../../../src/rpc/rest/status.ts";
import { createRpcTable } from "../../../../src/rpc/rpc-table.ts";
import { routeOf, ruleOf, thingType } from "../../../fixtures/builders.ts";

const registry = createRegistry(thingType(), AnySchema, Int64ValueSchema, ListValueSchema, StructSchema, ValueSchema);
const json = { "content-type": "application/json" };
const maxBytes = 100;

type Body = string | Uint8Array | readonly (string | Uint8Array)[];
type Headers = Readonly<Record<string, string>>;

function requestOf(body: Body, headers: Headers = json): ReceivedBody {
  const chunks = typeof body === "string" || body instanceof Uint8Array ? [body] : body;
  return {
    head: { method: "POST", url: "/", headers },
    source: Readable.from(chunks.map((chunk) => Buffer.from(chunk))),
  };
}

interface Given {
  readonly route?: Route;
  readonly headers?: Headers;
  readonly ignoreUnknown?: boolean;
  readonly maxBytes?: number;
}

const whole = routeOf(ruleOf("post", "/x", { body: "*" }));
const withoutBody = routeOf(ruleOf("post", "/x"));
const fieldRoute = (name: string) => routeOf(ruleOf("post", "/x", { body: name }));

/** The message that a body makes. */
async function readRequest(request: ReceivedBody, { route = whole, ignoreUnknown = false, ...given }: Given = {}) {
  const { input } = route.rpc.spec.method;
  const message: Message = create(input);
  await mergeBody(reflect(input, message), route, request, { registry, ignoreUnknown, maxBytes, ...given });
  return message;
}

const read = (body: Body, given: Given = {}) => readRequest(requestOf(body, given.headers), given);

/** Every field that a body sets, as proto JSON. */
async function fieldsOf(body: Body, given: Given = {}) {
  const { input } = (given.route ?? whole).rpc.spec.method;
  return toJson(input, await read(body, { maxBytes: 10_000, ...given }), { registry });
}

async function refusalOf(reading: Promise<unknown>) {
  const reason = await reading.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (reason instanceof HttpRefusalError) return { ...reason.refusal, code: reason.refusal.error.code };
  if (reason instanceof ConnectError) return { error: reason, code: reason.code, status: undefined, header: undefined };
  throw new Error(`it was not refused: ${String(reason)}`);
}

/** What a refusal of a field says, and the field that it names. */
async function fieldRefusal(reading: Promise<unknown>) {
  const { error, code } = await refusalOf(reading);
  expect(code).toBe(Code.InvalidArgument);
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return [error.rawMessage, ...violations.map(({ field }) => field)];
}

const misfit = (field: string) => [expect.stringContaining(`invalid value for the field ${field}: send `), field];
const unknown = (field: string) => [`invalid value for the field ${field}: the message has no such field`, field];
const notJson = ["the request body is not valid JSON: send one JSON value, in UTF-8", "body"];
const tooDeep = ["the request body is nested too deep: send no more than 100 levels", "body"];
const noObject = ["the request body must be an object with the fields of Thing", "body"];

const management = createRouteTable(createRpcTable((router) => router.service(ManagementService, {})));
function loginRoute(path: string): Route {
  const match = management.match("POST", `/management/v1/policies/login${path}`);
  if (match.kind !== "found") throw new Error(match.kind);
  return match.route;
}
const addFactor: Given = { route: loginRoute("/second_factors"), ignoreUnknown: true };
const addPolicy: Given = { route: loginRoute(""), ignoreUnknown: true };
const listIdps: Given = { route: loginRoute("/idps/_search"), ignoreUnknown: true };

describe("a body that is the whole request", () => {
  it.each([
    ["a name", '{"type":"SECOND_FACTOR_TYPE_U2F"}', 2],
    ["a number", '{"type":2}', 2],
    ["a number without a name, for the validation", '{"type":99}', 99],
    ["null", '{"type":null}', 0],
    ["an empty object", "{}", 0],
    ["unknown fields", '{"someday":{"a":[1]},"type":2}', 2],
    ["white space", ' \n{ "type" : 2 }\n', 2],
    ["a byte order mark", '\ufeff{"type":2}', 2],
  ])("may hold %s", async (_, body, type) => {
    expect(await read(body, addFactor)).toMatchObject({ type });
  });

  it("may come in several chunks, cut within a character", async () => {
    const bytes = Buffer.from('{"name":"ä","count":2}');
    const cut = bytes.indexOf(0xa4);
    expect(await read([bytes.subarray(0, cut), bytes.subarray(cut)])).toMatchObject({ name: "ä", count: 2 });
  });

  it("has fields of every kind", async () => {
    const body = {
      name: "a",
      count: -1,
      flag: true,
      color: "RED",
      displayName: "b",
      inner: { name: "c" },
      many: [{ name: "d" }],
      words: ["e"],
      byKey: { f: { name: "g" } },
      span: "1.500s",
      free: { h: [1, null] },
      blob: "AQI=",
      at: "2026-01-02T03:04:05Z",
      mask: "displayName",
      intBox: 0,
      left: "i",
      nick: "",
      counts: { j: "9007199254740993" },
      value: null,
      any: { "@type": "type.googleapis.com/test.Thing", name: "k" },
    };
    expect(await fieldsOf(JSON.stringify(body))).toEqual(body);
  });

  it.each([
    ["no content type", {}],
    ["any content type", { "content-type": "text/plain" }],
    ["an encoding", { "content-encoding": "gzip" }],
    ["an encoding that nobody knows", { "content-encoding": "nope" }],
    ["a length of 0", { "content-length": "0" }],
  ])("is an empty message where it is empty, with %s", async (_, headers) => {
    expect(await fieldsOf([], { headers })).toEqual({});
  });

  it("is an empty message where nothing was compressed", async () => {
    expect(await fieldsOf(gzipSync(""), { headers: { "content-encoding": "gzip" } })).toEqual({});
  });

  it.each([
    "application/json",
    "Application/JSON; charset=utf-8",
    'application/json;charset="UTF-8"',
    "application/json; profile=x",
  ])("may be of the content type %s", async (type) => {
    const headers = { "content-type": type, "content-encoding": "identity" };
    expect(await read('{"count":1}', { headers })).toMatchObject({ count: 1 });
  });

  it.each<Headers>([
    {},
    { "content-type": "text/plain" },
    { "content-type": "application/x-www-form-urlencoded" },
    { "content-type": "application/merge-patch+json" },
    { "content-type": "text/plain; charset=utf8" },
  ])("is refused with %o", async (headers) => {
    const { error, code, status, header } = await refusalOf(read("{}", { headers }));
    expect([status, code, error.rawMessage, header]).toEqual([
      415,
      Code.InvalidArgument,
      "set the header Content-Type: application/json",
      { accept: "application/json" },
    ]);
  });

  it.each(["iso-8859-1", "utf8", '"utf8"', "utf-16"])(
    "is refused in the charset %s, and told which to set",
    async (charset) => {
      const headers = { "content-type": `application/json; charset=${charset}` };
      const { error, status } = await refusalOf(read("{}", { headers }));
      expect([status, error.rawMessage]).toEqual([
        415,
        "set the header Content-Type: application/json, with charset=utf-8 or without a charset",
      ]);
    },
  );
});

describe("a compressed body", () => {
  const body = '{"name":"abc"}';
  it.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
    [" GZIP ", gzipSync],
  ])("of %j is read", async (encoding, compress) => {
    expect(await read(compress(body), { headers: { ...json, "content-encoding": encoding } })).toMatchObject({
      name: "abc",
    });
  });

  it.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
  ])("of %s may be as large as the limit, and no larger, once decompressed", async (encoding, compress) => {
    const headers = { ...json, "content-encoding": encoding };
    const sized = (bytes: number) => compress(`{"count":1${" ".repeat(bytes - 11)}}`);
    expect(await read(sized(maxBytes), { headers })).toMatchObject({ count: 1 });
    for (const bytes of [maxBytes + 1, 50 << 20]) {
      const { error, code, status } = await refusalOf(
        read(sized(bytes), { headers, maxBytes: bytes > 1_000 ? 100_000 : maxBytes }),
      );
      expect([status, code]).toEqual([413, Code.ResourceExhausted]);
      expect(error.rawMessage).toMatch(/^the request body is larger than 100(000)? bytes$/);
    }
  });

  it.each([
    ["gzip", gzipSync("{}").subarray(0, 8)],
    ["gzip", Buffer.from("{}")],
    ["gzip", brotliCompressSync("{}")],
    ["br", gzipSync("{}")],
    ["deflate", Buffer.from("{}")],
  ])("of %s that is damaged is refused: %#", async (encoding, bytes) => {
    const reading = read(bytes, { headers: { ...json, "content-encoding": encoding } });
    expect(await fieldRefusal(reading)).toEqual([`the request body is not valid ${encoding}`, "body"]);
  });

  it.each(["nope", "gzip, gzip", "compress", "__proto__", "constructor", ""])(
    "of an encoding that nobody reads is refused: %j",
    async (encoding) => {
      const { error, code, status, header } = await refusalOf(
        read(gzipSync("{}"), { headers: { ...json, "content-encoding": encoding } }),
      );
      expect([status, code, error.rawMessage, header]).toEqual([
        415,
        Code.InvalidArgument,
        "send the body with Content-Encoding: gzip, br, deflate, or without the header",
        { "accept-encoding": "gzip, br, deflate" },
      ]);
    },
  );
});

describe("what is no JSON", () => {
  it.each([
    ["text", "{type:1}"],
    ["trailing text", '{"count":1}x'],
    ["a second value", '{"count":1}{}'],
    ["a cut", '{"count":'],
    ["white space alone", "  "],
    ["a byte order mark alone", "\ufeff"],
    ["two byte order marks", "\ufeff\ufeff{}"],
    ["bytes that are no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
  ])("is refused: %s", async (_, body) => {
    for (const ignoreUnknown of [false, true]) {
      expect(await fieldRefusal(read(body, { ignoreUnknown }))).toEqual(notJson);
    }
  });

  it.each(["[]", '"x"', "1", "null", "true"])("the request can be, but not %s", async (body) => {
    expect(await fieldRefusal(read(body))).toEqual(noObject);
  });

  it.each([
    ["StringValue", "1", "a string"],
    ["StringValue", '{"value":"a"}', "a string"],
    ["Struct", "[]", "an object whose numbers are at most 1.8e308"],
    ["Struct", '{"a":1e400}', "an object whose numbers are at most 1.8e308"],
    [
      "Any",
      '{"@type":"type.googleapis.com/test.Nothing","a":1}',
      'an object whose "@type" names a message that this server knows',
    ],
  ])("a request that is a %s can be, but not %s", async (name, body, wanted) => {
    const route = routeOf(ruleOf("post", "/x", { body: "*" }), { inputType: `.google.protobuf.${name}` });
    expect(await fieldRefusal(read(body, { route }))).toEqual([`the request body must be ${wanted}`, "body"]);
  });

  it("is refused where it would close what it is put into", async () => {
    for (const body of ['1,"count":1', '{}},{"count":{}', '1}{"inner":1']) {
      expect(await fieldRefusal(read(body, { route: fieldRoute("inner") }))).toEqual(notJson);
    }
  });
});

describe("a key that is given twice", () => {
  it.each([
    ["by itself", '{"count":1,"count":2}', "count"],
    ["with the same value", '{"count":1,"count":1}', "count"],
    ["once escaped", String.raw`{"count":1,"c\u006funt":2}`, "count"],
    ["with others between", '{"count":1,"name":"count","words":["count","count"],"count":1}', "count"],
    ["in the name of JSON", '{"displayName":"a","displayName":"b"}', "display_name"],
    ["further in", '{"inner":{"count":1,"inner":{"displayName":"","displayName":""}}}', "inner.inner.display_name"],
    ["in a list", '{"words":[",","]"],"many":[{},{"count":1,"count":1}]}', "many[1].count"],
    ["in a list of lists", '{"value":[[1,2],[3,{"count":1,"count":1}]]}', "value[1][1].count"],
    ["in a map", '{"byKey":{"a":{},"a":{}}}', "by_key.a"],
    ["in free JSON, where names are only names", '{"free":{"fields":{"a":1,"a":1}}}', "free.fields.a"],
    ["in an Any", '{"any":{"@type":"a","@type":"a"}}', "any.@type"],
    ["where nobody looks", '{"nothing":{"a":1,"a":1}}', "nothing.a"],
    ["with a name that objects inherit", '{"__proto__":1,"__proto__":1}', "__proto__"],
    ["with quotes and brackets in it", String.raw`{"\"{[":1,"\"{[":1}`, '"{['],
    ["without a name", '{"":1,"":1}', '""'],
    ["with a long name", `{"${"a".repeat(500)}":1,"${"a".repeat(500)}":1}`, "a".repeat(100)],
  ])("is named: %s", async (_, body, field) => {
    for (const ignoreUnknown of [false, true]) {
      expect(await fieldRefusal(read(body, { ignoreUnknown, maxBytes: 10_000 }))).toEqual([
        `invalid value for the field ${field}: it is given twice: send it once`,
        field,
      ]);
    }
  });

  it("is named by its way from the request, where the body is one field", async () => {
    const route = fieldRoute("display_name");
    expect((await fieldRefusal(read('{"count":1,"count":1}', { route: fieldRoute("inner") })))[1]).toBe("inner.count");
    expect((await fieldRefusal(read('{"a":1,"a":1}', { route })))[1]).toBe("display_name.a");
  });

  it("is one in another object", async () => {
    const body = '{"count":1,"inner":{"count":1},"many":[{"count":1},{"count":1}],"words":["count"]}';
    expect(await fieldsOf(body)).toEqual(JSON.parse(body));
  });
});

describe("the depth of a body", () => {
  const large = { maxBytes: 1_000_000 };
  const deep = (levels: number) => `${'{"inner":'.repeat(levels - 1)}{}${"}".repeat(levels - 1)}`;

  it("may be 100, and no more", async () => {
    expect(await read(deep(100), large)).toMatchObject({ inner: { inner: {} } });
    expect(await fieldRefusal(read(deep(101), large))).toEqual(tooDeep);
    const inner = { ...large, route: fieldRoute("inner") };
    expect(await read(deep(99), inner)).toMatchObject({ inner: { inner: {} } });
    expect(await fieldRefusal(read(deep(100), inner))).toEqual(tooDeep);
  });

  it.each([
    ["arrays", `{"value":${"[".repeat(99)}${"]".repeat(99)}}`],
    ["objects", `{"free":${'{"a":'.repeat(98)}{}${"}".repeat(98)}}`],
    ["objects and arrays", `{"free":{"a":[${'{"a":['.repeat(48)}${"]}".repeat(48)}]}}`],
  ])("takes 100 levels of free JSON: %s", async (_, body) => {
    expect((await read(body, large)).$typeName).toBe("test.Thing");
  });

  it.each([
    ["arrays", `{"nothing":${"[".repeat(100)}${"]".repeat(100)}}`],
    ["objects and arrays", `{"free":${'{"a":['.repeat(50)}${"]}".repeat(50)}}`],
    ["what does not end", "[".repeat(500_000)],
    ["objects that do not end", '{"a":'.repeat(100_000)],
  ])("is that of %s, too", async (_, body) => {
    expect(await fieldRefusal(read(body, { ...large, ignoreUnknown: true }))).toEqual(tooDeep);
  });

  it.each([
    ["in a text", `{"name":"${"[{".repeat(200)}"}`],
    ["behind an escaped quote", String.raw`{"name":"\"[[${"[".repeat(200)}"}`],
    ["behind an escaped backslash", String.raw`{"name":"[\\","words":["${"{".repeat(200)}"]}`],
    ["beside each other", `{"words":[${'"[",'.repeat(200)}"]"],"many":[${"{},".repeat(200)}{}]}`],
  ])("does not count brackets %s", async (_, body) => {
    expect((await read(body, large)).$typeName).toBe("test.Thing");
  });

  it("costs no more where a text of quotes does not end", async () => {
    // Looking for the end of a text anew at each of its quotes would take a million times a million steps.
    const body = `"${'\\"'.repeat(1_000_000)}`;
    expect(await fieldRefusal(read(body, { maxBytes: 10_000_000 }))).toEqual(notJson);
  });
});

describe("a value that does not fit", () => {
  it.each(['"OTP"', '"1"', "1.5", "true", "[]", "{}", "99999999999", "9007199254740993"])(
    "is told of with its field: the enum %s",
    async (value) => {
      const { error, code } = await refusalOf(read(`{"type":${value}}`, addFactor));
      const description =
        "send one of SECOND_FACTOR_TYPE_OTP, SECOND_FACTOR_TYPE_U2F, SECOND_FACTOR_TYPE_OTP_EMAIL, " +
        "SECOND_FACTOR_TYPE_OTP_SMS, SECOND_FACTOR_TYPE_RECOVERY_CODES";
      expect([code, error.rawMessage]).toEqual([
        Code.InvalidArgument,
        `invalid value for the field type: ${description}`,
      ]);
      expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([{ field: "type", description }]);
    },
  );

  it.each([
    ['{"passwordCheckLifetime":"1 day"}', "password_check_lifetime"],
    ['{"password_check_lifetime":5}', "password_check_lifetime"],
    ['{"forceMfa":"yes"}', "force_mfa"],
    ['{"secondFactors":["OTP"]}', "second_factors[0]"],
    ['{"idps":[{"ownerType":"ORG"}]}', "idps[0].ownerType"],
    ['{"idps":1}', "idps"],
  ])("is told of as the validation would: %s is %s", async (body, field) => {
    expect(await fieldRefusal(read(body, addPolicy))).toEqual(misfit(field));
  });

  it.each([
    ['{"count":"x"}', "count"],
    ['{"count":2147483648}', "count"],
    ['{"name":1}', "name"],
    ['{"double":1e400}', "double"],
    ['{"name":1e400}', "name"],
    ['{"big":1e400}', "big"],
    ['{"color":-1e400}', "color"],
    ['{"value":1e400}', "value"],
    ['{"free":{"a":[-1e400]}}', "free"],
    ['{"values":[1e400,9007199254740993]}', "values"],
    ['{"inner":{"value":1e400},"long":9007199254740993}', "inner.value"],
    ['{"flag":"true"}', "flag"],
    ['{"color":"GREEN"}', "color"],
    ['{"shade":3}', "shade"],
    ['{"blob":"!"}', "blob"],
    ['{"at":"2026"}', "at"],
    ['{"intBox":"x"}', "int_box"],
    ['{"displayName":1}', "display_name"],
    ['{"inner":1}', "inner"],
    ['{"inner":{"count":"x"}}', "inner.count"],
    ['{"inner":{"inner":{"words":[1]}}}', "inner.inner.words[0]"],
    ['{"many":{}}', "many"],
    ['{"many":[{},{"count":"x"}]}', "many[1].count"],
    ['{"many":[null]}', "many[0]"],
    ['{"words":[null]}', "words[0]"],
    ['{"words":"a"}', "words"],
    ['{"byKey":{"a":{"count":"x"}}}', "by_key.a.count"],
    ['{"byKey":[]}', "by_key"],
    ['{"side":{"count":"x"}}', "side.count"],
    ['{"valueOf":1}', "value_of"],
    // The first that was sent.
    ['{"flag":1,"count":"x"}', "flag"],
  ])("is told of by its place: %s is %s", async (body, field) => {
    expect(await fieldRefusal(read(body))).toEqual(misfit(field));
  });

  it("is told of where another field has the name of what objects inherit", async () => {
    expect(await fieldRefusal(read('{"flag":1}'))).toEqual(misfit("flag"));
  });

  it.each([
    ['{"left":"a","right":1}', "right", "it and left are alternatives: send one of them"],
    ['{"right":1,"left":"a"}', "right", "it and left are alternatives: send one of them"],
    ['{"inner":{"side":{},"left":""}}', "inner.side", "it and left are alternatives: send one of them"],
    ['{"displayName":"a","display_name":"a"}', "display_name", "it is given under both of its names"],
    ['{"displayName":null,"display_name":"a"}', "display_name", "it is given under both of its names"],
    ['{"many":[{"intBox":1,"int_box":1}]}', "many[0].int_box", "it is given under both of its names"],
  ])("may be that another is sent, too: %s", async (body, field, description) => {
    expect(await fieldRefusal(read(body))).toEqual([`invalid value for the field ${field}: ${description}`, field]);
  });

  it("is not an alternative that is sent as null", async () => {
    for (const body of [
      '{"left":null,"right":1}',
      '{"right":1,"left":null}',
      '{"right":1,"side":null,"rawSide":null}',
    ]) {
      expect(await fieldsOf(body)).toEqual({ right: 1 });
    }
  });
});

describe("an unknown field", () => {
  it.each([
    ['{"nothing":1}', "nothing"],
    ['{"DisplayName":1}', "DisplayName"],
    ['{"inner":{"nothing":1}}', "inner.nothing"],
    ['{"many":[{},{"nothing":1}]}', "many[1].nothing"],
    ['{"side":{"inner":{"nothing":1}}}', "side.inner.nothing"],
    ['{"__proto__":{"count":1}}', "__proto__"],
    ['{"constructor":{"prototype":{}}}', "constructor"],
    ['{"toString":1}', "toString"],
    ['{"":1}', '""'],
  ])("is refused: %s", async (body, field) => {
    expect(await fieldRefusal(read(body))).toEqual(unknown(field));
  });

  it("is told of by its beginning alone, however long it is", async () => {
    const name = "a".repeat(5_000);
    expect(await fieldRefusal(read(`{"${name}":1}`, { maxBytes: 10_000 }))).toEqual(unknown("a".repeat(100)));
  });

  it.each([
    '{"count":2,"nothing":1}',
    '{"count":2,"inner":null,"__proto__":{"count":1},"constructor":1}',
    `{"count":2,"nothing":${"[".repeat(90)}${"]".repeat(90)}}`,
  ])("is passed over where that is wanted: %s", async (body) => {
    expect(await fieldsOf(body, { ignoreUnknown: true })).toEqual({ count: 2 });
    expect({}).not.toHaveProperty("count");
  });

  it("is passed over at any depth, but no value that does not fit", async () => {
    const lenient = { ignoreUnknown: true };
    const body = '{"many":[{"nothing":1,"count":2}],"byKey":{"a":{"nothing":1}},"free":{"nothing":1}}';
    expect(await fieldsOf(body, lenient)).toEqual({
      many: [{ count: 2 }],
      byKey: { a: {} },
      free: { nothing: 1 },
    });
    expect(await fieldRefusal(read('{"nothing":1,"color":"GREEN"}', lenient))).toEqual(misfit("color"));
  });
});

describe("an integer of 64 bits", () => {
  it.each([
    ['{"long":9007199254740993}', { long: "9007199254740993" }],
    ['{"long":-9223372036854775808}', { long: "-9223372036854775808" }],
    ['{"big":18446744073709551615}', { big: "18446744073709551615" }],
    ['{"longZigzag":9007199254740993,"long_fixed":9007199254740993,"longSfixed":-9007199254740993}', undefined],
    ['{"long":"9007199254740993"}', { long: "9007199254740993" }],
    ['{"long":9.007199254740993e15}', { long: "9007199254740993" }],
    ['{"long":9007199254740993.000}', { long: "9007199254740993" }],
    ['{"long":-90071992547409930000E-4}', { long: "-9007199254740993" }],
    ['{"big":1.5e19}', { big: "15000000000000000000" }],
    ['{"big":0.15e20}', { big: "15000000000000000000" }],
    ['{"longs":[1,9007199254740993,"2"]}', { longs: ["1", "9007199254740993", "2"] }],
    ['{"longBox":9007199254740993,"bigBox":9007199254740993}', undefined],
    ['{"boxes":[9007199254740993]}', { boxes: ["9007199254740993"] }],
    ['{"counts":{"a":9007199254740993,"__proto__":9007199254740993}}', undefined],
    ['{"inner":{"long":9007199254740993}}', { inner: { long: "9007199254740993" } }],
    ['{"many":[{"long":9007199254740993}]}', { many: [{ long: "9007199254740993" }] }],
    ['{"by_key":{"a":{"long":9007199254740993}}}', { byKey: { a: { long: "9007199254740993" } } }],
    [
      '{"any":{"@type":"type.googleapis.com/test.Thing","long":9007199254740993}}',
      { any: { "@type": "type.googleapis.com/test.Thing", long: "9007199254740993" } },
    ],
  ])("keeps every digit: %s", async (body, wanted) => {
    const fields = await fieldsOf(body);
    if (wanted !== undefined) expect(fields).toEqual(wanted);
    // Whatever the kind of the field: not one digit is another than it was.
    else expect(JSON.stringify(fields).match(/\d{10,}/g)).toEqual(body.match(/\d{10,}/g));
  });

  it.each([
    ["Thing", '"long":9007199254740993', { long: "9007199254740993" }],
    ["Thing", '"inner":{"long":9007199254740993}', { inner: { long: "9007199254740993" } }],
  ])("keeps every digit in an Any of a %s: %s", async (_, members, wanted) => {
    const type = { "@type": "type.googleapis.com/test.Thing" };
    for (const sent of [`"@type":"${type["@type"]}",${members}`, `${members},"@type":"${type["@type"]}"`]) {
      expect(await fieldsOf(`{"any":{${sent}}}`)).toEqual({ any: { ...type, ...wanted } });
      const within = `{"any":{"value":{${sent}},"@type":"a/google.protobuf.Any"}}`;
      expect(await fieldsOf(within)).toEqual({
        any: { "@type": "type.googleapis.com/google.protobuf.Any", value: { ...type, ...wanted } },
      });
    }
  });

  it("keeps every digit in an Any of a wrapper, and in a request that is one", async () => {
    const any = { "@type": "type.googleapis.com/google.protobuf.Int64Value", value: "9007199254740993" };
    expect(await fieldsOf(JSON.stringify({ any }).replace('"9007199254740993"', "9007199254740993"))).toEqual({ any });
    const route = routeOf(ruleOf("post", "/x", { body: "*" }), { inputType: ".google.protobuf.Int64Value" });
    expect(await fieldsOf("9007199254740993", { route })).toBe("9007199254740993");
  });

  it("keeps every digit where the body is that field", async () => {
    expect(await fieldsOf("9007199254740993", { route: fieldRoute("long") })).toEqual({ long: "9007199254740993" });
    expect(await fieldsOf("[9007199254740993]", { route: fieldRoute("longs") })).toEqual({
      longs: ["9007199254740993"],
    });
  });

  it("keeps every digit beside unknown fields that are passed over", async () => {
    const body = '{"nothing":9007199254740993,"inner":{"nothing":9007199254740993,"long":9007199254740993}}';
    expect(await fieldsOf(body, { ignoreUnknown: true })).toEqual({ inner: { long: "9007199254740993" } });
  });

  it.each([
    "9223372036854775808",
    "-9223372036854775809",
    "1e19",
    "1e300",
    "9007199254740993.5",
    "9007199254740993.5e0",
  ])("is refused out of its range: %s", async (text) => {
    expect(await fieldRefusal(read(`{"long":${text}}`))).toEqual(misfit("long"));
  });

  it("of the wire API is kept, too", async () => {
    expect(await read('{"query":{"offset":9007199254740993}}', listIdps)).toMatchObject({
      query: { offset: 9_007_199_254_740_993n },
    });
  });
});

describe("a number of many digits in another field", () => {
  it.each([
    ['{"double":9007199254740993}', { double: 9_007_199_254_740_992 }],
    ['{"double":1e300}', { double: 1e300 }],
    ['{"doubleBox":12345678901234567890}', { doubleBox: 12_345_678_901_234_567_000 }],
    ['{"float":1e20}', { float: 1e20 }],
    ['{"free":{"a":12345678901234567890,"long":1e20}}', { free: { a: 12_345_678_901_234_567_000, long: 1e20 } }],
    ['{"value":1e20}', { value: 1e20 }],
    ['{"values":[1e20]}', { values: [1e20] }],
    ...[
      ["test.Thing", { double: 1e20, free: { a: 12_345_678_901_234_567_000 }, value: 1e20, values: [1e20] }],
      ["google.protobuf.Struct", { value: { long: 1e20, value: 1e20 } }],
      ["google.protobuf.Value", { value: 1e20 }],
      ["google.protobuf.ListValue", { value: [1e20, { long: 1e20 }] }],
    ].map(([type, members]): [string, object] => {
      const any = { "@type": `type.googleapis.com/${type}`, ...(members as object) };
      return [JSON.stringify({ any }), { any }];
    }),
  ])("is a number like any: %s", async (body, wanted) => {
    expect(await fieldsOf(body)).toEqual(wanted);
  });

  it.each([
    ["name", "12345678901234567890"],
    ["words", "[12345678901234567890]"],
    ["blob", "1234567890123456789012345678"],
    ["textBox", "12345678901234567890"],
    ["count", "12345678901234567890"],
    ["flag", "12345678901234567890"],
    ["color", "12345678901234567890"],
    ["at", "12345678901234567890"],
    ["inner", "12345678901234567890"],
  ])("is no %s, nor in an Any", async (field, value) => {
    const name = field === "textBox" ? "text_box" : field;
    const lax = { maxBytes: 1_000 };
    const place = field === "words" ? "words[0]" : name;
    expect(await fieldRefusal(read(`{"${field}":${value}}`))).toEqual(misfit(place));
    const any = `{"${field}":${value},"@type":"type.googleapis.com/test.Thing"}`;
    expect(await fieldRefusal(read(`{"any":${any}}`, lax))).toEqual(misfit(`any.${place}`));
    const nested = `{"@type":"type.googleapis.com/google.protobuf.Any","value":${any}}`;
    expect(await fieldRefusal(read(`{"any":${nested}}`, lax))).toEqual(misfit(`any.value.${place}`));
  });

  it("is in no Any of a type that nobody knows", async () => {
    for (const type of ['"type.googleapis.com/test.Nothing"', "1", "null", '""']) {
      expect(await fieldRefusal(read(`{"any":{"@type":${type},"a":9007199254740993}}`))).toEqual(misfit("any"));
    }
  });
});

describe("a body that is one field", () => {
  it.each<[field: string, body: string, wanted: unknown]>([
    ["inner", '{"name":"a","inner":{"count":1}}', { inner: { name: "a", inner: { count: 1 } } }],
    ["inner", "{}", { inner: {} }],
    ["inner", "null", {}],
    ["name", '"a"', { name: "a" }],
    ["name", '""', {}],
    ["display_name", '"a"', { displayName: "a" }],
    ["nick", '""', { nick: "" }],
    ["count", "5", { count: 5 }],
    ["count", '"5"', { count: 5 }],
    ["flag", "true", { flag: true }],
    ["double", '"NaN"', { double: "NaN" }],
    ["blob", '"AQI="', { blob: "AQI=" }],
    ["color", '"RED"', { color: "RED" }],
    ["color", "7", { color: 7 }],
    ["many", '[{"name":"a"},{}]', { many: [{ name: "a" }, {}] }],
    ["many", "[]", {}],
    ["words", '["a","b"]', { words: ["a", "b"] }],
    ["by_key", '{"a":{"count":1}}', { byKey: { a: { count: 1 } } }],
    ["counts", '{"a":1}', { counts: { a: "1" } }],
    ["span", '"1.5s"', { span: "1.500s" }],
    ["at", '"2026-01-02T03:04:05Z"', { at: "2026-01-02T03:04:05Z" }],
    ["mask", '"displayName"', { mask: "displayName" }],
    ["int_box", "0", { intBox: 0 }],
    ["text_box", '"a"', { textBox: "a" }],
    ["free", '{"a":[1,{"b":null}]}', { free: { a: [1, { b: null }] } }],
    ["value", "null", { value: null }],
    ["value", '[1,"a"]', { value: [1, "a"] }],
    ["values", "[1,[2]]", { values: [1, [2]] }],
    ["any", '{"@type":"type.googleapis.com/test.Thing","name":"a"}', undefined],
    ["left", '"a"', { left: "a" }],
    ["side", '{"name":"a"}', { side: { name: "a" } }],
    ["value_of", '"a"', { valueOf: "a" }],
  ])("%s may be %s", async (field, body, wanted) => {
    const fields = await fieldsOf(body, { route: fieldRoute(field) });
    expect(fields).toEqual(wanted ?? { any: JSON.parse(body) });
  });

  it.each<[field: string, wanted: unknown]>([
    ["inner", { inner: {} }],
    ["side", { side: {} }],
    ["free", { free: {} }],
    ["values", { values: [] }],
    ["value", {}],
    // Of these, nothing was sent.
    ["name", {}],
    ["nick", {}],
    ["count", {}],
    ["color", {}],
    ["many", {}],
    ["words", {}],
    ["by_key", {}],
    ["span", {}],
    ["at", {}],
    ["int_box", {}],
    ["left", {}],
  ])("%s may be empty", async (field, wanted) => {
    for (const headers of [{}, { "content-type": "text/plain" }, json]) {
      expect(await fieldsOf([], { route: fieldRoute(field), headers })).toEqual(wanted);
    }
  });

  it.each([
    ["inner", "1", misfit("inner")],
    ["inner", "[]", misfit("inner")],
    ["inner", '{"count":"x"}', misfit("inner.count")],
    ["inner", '{"nothing":1}', unknown("inner.nothing")],
    ["many", "{}", misfit("many")],
    ["many", '[{"nothing":1}]', unknown("many[0].nothing")],
    ["name", "1", misfit("name")],
    ["name", "a", notJson],
    ["count", "1.5", misfit("count")],
    ["color", '"GREEN"', misfit("color")],
    ["span", '"1m"', misfit("span")],
    ["words", '"a"', misfit("words")],
  ])("%s is not %s", async (field, body, wanted) => {
    expect(await fieldRefusal(read(body, { route: fieldRoute(field) }))).toEqual(wanted);
  });

  it("passes over unknown fields further in where that is wanted", async () => {
    const given = { route: fieldRoute("inner"), ignoreUnknown: true };
    expect(await fieldsOf('{"nothing":1,"name":"a"}', given)).toEqual({ inner: { name: "a" } });
  });

  it("needs a content type", async () => {
    expect((await refusalOf(read("{}", { route: fieldRoute("inner"), headers: {} }))).status).toBe(415);
  });
});

describe("a body where the rule has none", () => {
  it.each([
    ["no headers", {}],
    ["a content type", json],
    ["a length of 0", { "content-length": "0" }],
  ])("may be empty, with %s", async (_, headers) => {
    expect(await fieldsOf([], { route: withoutBody, headers })).toEqual({});
  });

  it.each(["{}", " ", "x"])("is refused: %j", async (body) => {
    for (const headers of [{}, json]) {
      expect(await fieldRefusal(read(body, { route: withoutBody, headers }))).toEqual([
        "this method and path take no request body: leave it out",
        "body",
      ]);
    }
  });

  it("is refused before it is read whole", async () => {
    const { status } = await refusalOf(read(" ".repeat(maxBytes + 1), { route: withoutBody }));
    expect(status).toBe(413);
  });

  it("is not read where what is unknown is passed over", async () => {
    let taken = 0;
    async function* endless() {
      for (;;) {
        taken += 1;
        yield Buffer.alloc(60);
      }
    }
    const headers = { "content-encoding": "nope", "content-length": "5000000000" };
    const request = { head: { method: "POST", url: "/", headers }, source: Readable.from(endless()) };
    expect(await readRequest(request, { route: withoutBody, ignoreUnknown: true })).toMatchObject({ name: "" });
    expect(taken).toBe(0);
  });
});

describe("a body of google.api.HttpBody", () => {
  const bytes = Buffer.from([0, 0xff, 0x7b]);
  const rawField = fieldRoute("raw");
  const rawWhole = routeOf(ruleOf("post", "/x", { body: "*" }), { inputType: ".google.api.HttpBody" });

  it.each(["image/png", "application/json", "text/plain; charset=iso-8859-1", "no type at all"])(
    "is taken as it is, of type %s",
    async (type) => {
      const headers = { "content-type": type };
      expect(await read(bytes, { route: rawField, headers })).toMatchObject({
        raw: { contentType: type, data: bytes, extensions: [] },
      });
      expect(await read(bytes, { route: rawWhole, headers })).toMatchObject({
        contentType: type,
        data: bytes,
      });
    },
  );

  it("may be a member of a oneof", async () => {
    const message = await read(bytes, { route: fieldRoute("raw_side"), headers: { "content-type": "a/b" } });
    expect(message).toMatchObject({ choice: { case: "rawSide", value: { contentType: "a/b" } } });
  });

  it("may be empty, and of no type", async () => {
    expect(await read([], { route: rawField, headers: {} })).toMatchObject({
      raw: { contentType: "", data: Buffer.alloc(0) },
    });
  });

  it("is decompressed, and has the limit of any", async () => {
    const headers = { "content-type": "a/b", "content-encoding": "gzip" };
    expect(await read(gzipSync(bytes), { route: rawWhole, headers })).toMatchObject({ data: bytes });
    const bomb = gzipSync(Buffer.alloc(1 << 20));
    expect((await refusalOf(read(bomb, { route: rawWhole, headers, maxBytes: 10_000 }))).status).toBe(413);
  });
});

describe("the size of a body", () => {
  it("may be exactly the limit", async () => {
    expect(await read(`{"count":2}${" ".repeat(maxBytes - 11)}`)).toMatchObject({ count: 2 });
  });

  it.each([
    ["by its length alone", [], { ...json, "content-length": "101" }],
    ["by what comes", [" ".repeat(60), " ".repeat(60)], json],
    ["by what comes, whatever was announced", [" ".repeat(101)], { ...json, "content-length": "5" }],
    ["before its content type", [" ".repeat(101)], {}],
    ["before its encoding", [" ".repeat(101)], { ...json, "content-encoding": "nope" }],
  ])("is refused above it, %s", async (_, body, headers) => {
    const { error, code, status } = await refusalOf(read(body, { headers: headers as Headers }));
    expect([status, code, error.rawMessage]).toEqual([
      413,
      Code.ResourceExhausted,
      "the request body is larger than 100 bytes",
    ]);
  });

  it("is refused above it while the body goes on", async () => {
    async function* endless() {
      for (;;) yield Buffer.alloc(60);
    }
    const source = Readable.from(endless());
    expect((await refusalOf(readRequest({ ...requestOf(""), source }))).status).toBe(413);
    source.destroy();
  });
});
