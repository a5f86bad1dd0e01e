import { create, createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { createHandlerContext, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { ListenerRequest } from "../../../../src/rpc/listener/handler.ts";
import { answerHeaders, answerJson, isHeld, weakEtag, withVary } from "../../../../src/rpc/rest/answer.ts";
import { serviceOf, thingType } from "../../../fixtures/builders.ts";

const thing = thingType();
const registry = createRegistry();
type ThingInit = MessageInitShape<typeof thing>;

/** The JSON of one field of a test.Thing that is the response body. */
function fieldJson(name: string, init: object = {}) {
  const field = thing.fields.find((candidate) => candidate.name === name);
  return answerJson(create(thing, init as ThingInit), thing, { registry, field });
}

describe("answerJson of a whole message", () => {
  it("has every field without presence, and no other that is not set", () => {
    const json = answerJson(create(thing, { name: "a", nick: "" } as ThingInit), thing, { registry });
    expect(json).toMatchObject({ name: "a", nick: "", count: 0, big: "0", flag: false, color: "COLOR_UNSPECIFIED" });
    expect(json).toMatchObject({ many: [], words: [], byKey: {}, counts: {}, blob: "", double: 0, displayName: "" });
    for (const name of ["inner", "span", "at", "intBox", "maybeCount", "left", "side", "free", "any", "value"]) {
      expect(json).not.toHaveProperty(name);
    }
  });
});

describe("answerJson of one field", () => {
  it.each<[name: string, unset: unknown]>([
    ["name", ""],
    ["display_name", ""],
    ["count", 0],
    ["long", "0"],
    ["big", "0"],
    ["flag", false],
    ["double", 0],
    ["blob", ""],
    ["color", "COLOR_UNSPECIFIED"],
    ["many", []],
    ["words", []],
    ["colors", []],
    ["by_key", {}],
    ["counts", {}],
    // With presence: an object has no fields, and of the others there is no value.
    ["inner", {}],
    ["side", {}],
    ["free", {}],
    ["any", {}],
    ["raw", {}],
    ["values", []],
    ["value", null],
    ["nick", null],
    ["maybe_count", null],
    ["maybe_color", null],
    ["left", null],
    ["at", null],
    ["span", null],
    ["mask", null],
    ["int_box", null],
    ["text_box", null],
    ["value_of", ""],
  ])("of %s, unset, is %j", (name, unset) => {
    expect(fieldJson(name)).toEqual(unset);
  });

  it.each<[name: string, init: object, json: unknown]>([
    ["name", { name: "a" }, "a"],
    ["display_name", { displayName: "a" }, "a"],
    ["count", { count: 5 }, 5],
    ["long", { long: 9_007_199_254_740_993n }, "9007199254740993"],
    ["double", { double: Number.NaN }, "NaN"],
    ["blob", { blob: Uint8Array.of(1, 2) }, "AQI="],
    ["color", { color: 1 }, "RED"],
    ["color", { color: 7 }, 7],
    ["words", { words: ["a", ""] }, ["a", ""]],
    ["many", { many: [{ words: ["a"] }] }, [expect.objectContaining({ words: ["a"], name: "" })]],
    ["by_key", { byKey: { a: { count: 1 } } }, { a: expect.objectContaining({ count: 1 }) }],
    ["counts", { counts: { a: 1n } }, { a: "1" }],
    ["inner", { inner: { name: "a" } }, expect.objectContaining({ name: "a", count: 0 })],
    ["free", { free: { a: [1] } }, { a: [1] }],
    ["value", { value: { kind: { case: "nullValue", value: 0 } } }, null],
    ["value", { value: { kind: { case: "numberValue", value: 1 } } }, 1],
    ["values", { values: { values: [{ kind: { case: "boolValue", value: true } }] } }, [true]],
    ["nick", { nick: "" }, ""],
    ["maybe_count", { maybeCount: 0 }, 0],
    ["left", { choice: { case: "left", value: "" } }, ""],
    ["span", { span: { seconds: 1n, nanos: 500_000_000 } }, "1.500s"],
    ["int_box", { intBox: 0 }, 0],
    ["text_box", { textBox: "" }, ""],
  ])("of %s, set, is its value: %o", (name, init, json) => {
    expect(fieldJson(name, init)).toEqual(json);
  });
});

describe("answerHeaders", () => {
  function contextOf(set: (context: HandlerContext) => void): HandlerContext {
    const service = serviceOf({ name: "Get" });
    const method = service.method["get"];
    if (method === undefined) throw new Error("no method");
    const context = createHandlerContext({
      service,
      method,
      protocolName: "rest",
      requestMethod: "GET",
      url: "/x",
      requestHeader: {},
    });
    set(context);
    return context;
  }

  it("are those of the handler, and its trailers under names of their own", () => {
    const context = contextOf(({ responseHeader, responseTrailer }) => {
      responseHeader.set("X-Own", "1");
      responseHeader.append("x-many", "a");
      responseHeader.append("x-many", "b");
      responseHeader.set("cache-control", "max-age=60");
      responseTrailer.set("X-Own", "2");
      responseTrailer.set("x-bin", "AQI");
    });
    expect(answerHeaders(context)).toEqual({
      "x-own": "1",
      "x-many": "a, b",
      "cache-control": "max-age=60",
      "trailer-x-own": "2",
      "trailer-x-bin": "AQI",
    });
  });

  it("keep cookies apart", () => {
    const context = contextOf(({ responseHeader }) => {
      responseHeader.append("set-cookie", "a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT");
      responseHeader.append("set-cookie", "b=2");
    });
    expect(answerHeaders(context)).toEqual({
      "set-cookie": ["a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT", "b=2"],
    });
  });

  it.each([
    "connection",
    "connect-protocol-version",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
  ])("leave out %s, of which a handler knows nothing", (name) => {
    const context = contextOf(({ responseHeader, responseTrailer }) => {
      responseHeader.set(name, "1");
      responseTrailer.set(name, "1");
    });
    expect(answerHeaders(context)).toEqual({});
  });
});

describe("withVary", () => {
  it("adds to what is there", () => {
    expect(withVary({ a: "1" }, "Accept")).toEqual({ a: "1", vary: "Accept" });
    expect(withVary({ vary: "X-Own" }, "Accept")).toEqual({ vary: "X-Own, Accept" });
  });
});

describe("an ETag", () => {
  it("is weak, and the same for the same bytes alone", () => {
    const etag = weakEtag(Buffer.from("a"));
    expect(etag).toMatch(/^W\/"[A-Za-z0-9_-]{27}"$/);
    expect(weakEtag(Buffer.from("a"))).toBe(etag);
    expect(weakEtag(Buffer.from("b"))).not.toBe(etag);
    expect(weakEtag(Buffer.alloc(0))).toMatch(/^W\/"[A-Za-z0-9_-]{27}"$/);
  });

  it.each<[header: string | undefined, etag: string, held: boolean]>([
    [undefined, 'W/"a"', false],
    ['W/"a"', 'W/"a"', true],
    // Compared weakly, as RFC 9110 says for this header.
    ['"a"', 'W/"a"', true],
    ['W/"a"', '"a"', true],
    ['"b", W/"a" , "c"', 'W/"a"', true],
    ["*", 'W/"a"', true],
    [" * ", 'W/"a"', true],
    ['"b"', 'W/"a"', false],
    ["a", 'W/"a"', false],
    ['w/"a"', 'W/"a"', false],
    ['"*"', 'W/"a"', false],
    ["", 'W/"a"', false],
  ])("is held where If-None-Match is %j and it is %s: %s", (header, etag, held) => {
    const request = { headers: { "if-none-match": header } } as ListenerRequest;
    expect(isHeld(request, etag)).toBe(held);
  });
});
