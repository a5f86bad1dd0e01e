import { create, createRegistry, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { bindHeaders, etagOf, eventIdOf } from "../../../../src/rpc/rest/header-fields.ts";
import { createRouteTable } from "../../../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../../../src/rpc/rpc-table.ts";
import { type RestHeadersInit, routeOf, ruleOf, serviceOf, thingType } from "../../../fixtures/builders.ts";

const registry = createRegistry();
const thing = thingType();
type ThingInit = MessageInitShape<typeof thing>;
const optionName = "the option portcullis.rpc.v1.rest_headers of /test.Things/Do";

const unaryOf = (restHeaders: RestHeadersInit) => routeOf(ruleOf("get", "/x"), { restHeaders });
const streamOf = (restHeaders: RestHeadersInit) => routeOf(ruleOf("get", "/x"), { restHeaders, serverStreaming: true });

describe("the option rest_headers", () => {
  it.each<[restHeaders: RestHeadersInit, reason: string]>([
    [{ etag: "nope" }, "etag: the path names the field nope, which test.Thing does not have"],
    [{ ifMatch: "inner.nope" }, "if_match: the path names the field nope, which test.Thing does not have"],
    [{ etag: "inner" }, "etag: the path names the field inner, which a text cannot set"],
    [
      { etag: "many.name" },
      "etag: the path names the field name, which the field many, which leads no further, does not have",
    ],
    [{ etag: "words" }, "etag: the path names the field words, which a text cannot set"],
    [{ ifMatch: "count" }, "if_match: the path names the field count, which is no string"],
    [{ ifMatch: "blob" }, "if_match: the path names the field blob, which is no string"],
    [{ etag: "text_box" }, "etag: the path names the field text_box, which is no string"],
    // Names of proto files count, as in an HTTP rule.
    [{ etag: "displayName" }, "etag: the path names the field displayName, which test.Thing does not have"],
    [{ etag: "." }, "etag: the path names the field , which test.Thing does not have"],
    [{ eventId: "name" }, "event_id: only streams of answers have it"],
    [{ lastEventId: "name" }, "last_event_id: only streams of answers have it"],
  ])("refuses %j at start", (restHeaders, reason) => {
    expect(() => unaryOf(restHeaders)).toThrow(`${optionName}: ${reason}`);
  });

  it.each<[RestHeadersInit, string]>([
    [{ etag: "name" }, "etag: only unary RPCs have it"],
    [{ ifMatch: "name" }, "if_match: only unary RPCs have it"],
    [{ eventId: "at" }, "event_id: the path names the field at, which is no string"],
  ])("refuses %j of a stream at start", (restHeaders, reason) => {
    expect(() => streamOf(restHeaders)).toThrow(`${optionName}: ${reason}`);
  });

  it("is checked where the RPC has no HTTP rule, too", () => {
    const service = serviceOf({ name: "Do", restHeaders: { etag: "nope" } });
    const table = createRpcTable((router) => router.service(service, {}));
    expect(() => createRouteTable(table)).toThrow(optionName);
  });
});

/** A test.Thing after its headers, as proto JSON. */
function bound(restHeaders: RestHeadersInit, headers: Record<string, string>, before: object = {}) {
  const message = create(thing, before as ThingInit);
  const isStream = restHeaders.lastEventId !== undefined;
  const route = isStream ? streamOf(restHeaders) : unaryOf(restHeaders);
  bindHeaders(reflect(thing, message), route.headers, { headers, registry });
  return toJson(thing, message);
}

function refusal(attempt: () => unknown): readonly unknown[] {
  try {
    attempt();
  } catch (reason) {
    if (!(reason instanceof ConnectError)) throw reason;
    expect(reason.code).toBe(Code.InvalidArgument);
    const [field] = reason.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [];
    return [field?.field, reason.rawMessage];
  }
  throw new Error("it was not refused");
}

describe("If-Match", () => {
  const top = { ifMatch: "name" };

  it.each<[restHeaders: RestHeadersInit, header: string, before: object, after: object]>([
    [top, '"a"', {}, { name: '"a"' }],
    [top, ' "a" ', {}, { name: '"a"' }],
    [top, 'W/"a"', {}, { name: 'W/"a"' }],
    [top, '""', {}, { name: '""' }],
    [top, '"a,b"', {}, { name: '"a,b"' }],
    [top, '"a"', { name: '"a"' }, { name: '"a"' }],
    [top, "*", {}, {}],
    [top, "*", { name: '"b"' }, { name: '"b"' }],
    [{ ifMatch: "nick" }, '"a"', { nick: "" }, { nick: '"a"' }],
    [{ ifMatch: "inner.name" }, '"a"', {}, { inner: { name: '"a"' } }],
    [{ ifMatch: "inner.name" }, '"a"', { inner: { count: 1 } }, { inner: { name: '"a"', count: 1 } }],
    [{ ifMatch: "inner.inner.name" }, '"a"', {}, { inner: { inner: { name: '"a"' } } }],
    [{ ifMatch: "inner.name" }, "*", {}, {}],
  ])("of %j: %s on %j", (restHeaders, header, before, after) => {
    expect(bound(restHeaders, { "if-match": header }, before)).toEqual(after);
  });

  it.each([
    [top, { name: '"b"' }, "name"],
    [top, { name: 'W/"a"' }, "name"],
    [{ ifMatch: "inner.display_name" }, { inner: { displayName: "a" } }, "inner.display_name"],
  ])("of %j is refused beside %j", (restHeaders, before, field) => {
    expect(refusal(() => bound(restHeaders, { "if-match": '"a"' }, before))).toEqual([
      field,
      `invalid parameter ${field}: the header If-Match has another value: send one of them`,
    ]);
  });

  it("is refused where it would take the place of another member of a oneof", () => {
    const before = { choice: { case: "right", value: 1 } };
    const [field, message] = refusal(() => bound({ ifMatch: "left" }, { "if-match": '"a"' }, before));
    expect([field, message]).toEqual(["left", expect.stringContaining("alternatives")]);
  });

  it.each(["", "a", '"a', 'w/"a"', '"a" "b"', '"a","b"', '"a", W/"b"', '*, "a"', '"a\tb"', '"a b"'])(
    "is refused as %j",
    (header) => {
      expect(refusal(() => bound(top, { "if-match": header }))).toEqual([
        "if-match",
        "invalid header if-match: send one etag, in its double quotes, or *",
      ]);
    },
  );

  it("is nothing to an RPC without the option", () => {
    expect(bound({}, { "if-match": "a", "last-event-id": "b" })).toEqual({});
  });
});

describe("Last-Event-ID", () => {
  const latin1 = (text: string) => Buffer.from(text).toString("latin1");

  it.each<[field: string, header: string, before: object, after: object]>([
    ["name", "7", {}, { name: "7" }],
    ["name", "7", { name: "6" }, { name: "7" }],
    ["name", "", { name: "6" }, { name: "6" }],
    ["name", latin1("é✓"), {}, { name: "é✓" }],
    ["inner.name", "7", {}, { inner: { name: "7" } }],
    ["left", "7", { choice: { case: "right", value: 1 } }, { left: "7" }],
  ])("sets %s to %j over %j", (field, header, before, after) => {
    expect(bound({ lastEventId: field }, { "last-event-id": header }, before)).toEqual(after);
  });

  it("is refused where it is no UTF-8", () => {
    expect(refusal(() => bound({ lastEventId: "name" }, { "last-event-id": "\xff" }))).toEqual([
      "last-event-id",
      "invalid header last-event-id: send the id of the last event as it came, in UTF-8",
    ]);
  });
});

describe("etagOf", () => {
  const etag = (path: string, answer: object) => etagOf(create(thing, answer as ThingInit), unaryOf({ etag: path }));

  it("is the value of the field", () => {
    expect(etag("name", { name: '"a"' })).toBe('"a"');
    expect(etag("inner.nick", { inner: { nick: 'W/"a"' } })).toBe('W/"a"');
  });

  it("is undefined where the field is empty, or not there", () => {
    expect(etag("name", {})).toBe(undefined);
    expect(etag("nick", { nick: "" })).toBe(undefined);
    expect(etag("inner.name", {})).toBe(undefined);
    expect(etag("left", { choice: { case: "right", value: 1 } })).toBe(undefined);
    expect(etagOf(create(thing, { name: "x" } as ThingInit), unaryOf({}))).toBe(undefined);
  });

  it.each(["a", '"a', '"a"\r\nx: y', '"✓"', '"a b"'])("throws for %j, which is no etag", (name) => {
    expect(() => etag("name", { name })).toThrow("the field test.Thing.name holds no etag in double quotes");
  });
});

describe("eventIdOf", () => {
  const id = (answer: object) => eventIdOf(create(thing, answer as ThingInit), streamOf({ eventId: "inner.name" }));

  it("is the value of the field, and undefined where it is empty", () => {
    expect(id({ inner: { name: "7" } })).toBe("7");
    expect(id({ inner: {} })).toBe(undefined);
    expect(id({})).toBe(undefined);
  });
});
