import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AddCustomLoginPolicyRequestSchema } from "../../../../gen/zitadel/management_pb.ts";
import { withoutUnknownFields } from "../../../../src/rpc/rest/unknown-fields.ts";
import { serviceOf } from "../../../fixtures/builders.ts";

const [method] = serviceOf({ name: "Get" }).methods;
if (method === undefined) throw new Error("no method");
const thing = method.input;

describe("withoutUnknownFields", () => {
  it.each<[what: string, json: JsonValue, wanted: JsonValue]>([
    [
      "keeps JSON names and proto names",
      { displayName: "a", display_name: "b" },
      { displayName: "a", display_name: "b" },
    ],
    ["drops a field nobody knows", { name: "a", nothing: 1 }, { name: "a" }],
    ["drops it in a message", { inner: { nothing: 1, count: 2 } }, { inner: { count: 2 } }],
    ["drops it at any depth", { inner: { inner: { inner: { x: 1 } } } }, { inner: { inner: { inner: {} } } }],
    ["drops it in a list", { many: [{ x: 1 }, { count: 2, x: 1 }] }, { many: [{}, { count: 2 }] }],
    ["drops it in a map", { byKey: { a: { x: 1, count: 2 }, x: {} } }, { byKey: { a: { count: 2 }, x: {} } }],
    ["drops it in a list in a map", { by_key: { a: { many: [{ x: 1 }] } } }, { by_key: { a: { many: [{}] } } }],
    [
      "keeps values that do not fit, for the parser to refuse",
      { inner: 1, many: "x", byKey: [] },
      { inner: 1, many: "x", byKey: [] },
    ],
    ["keeps list entries that do not fit", { many: [1, null, []] }, { many: [1, null, []] }],
    [
      "keeps null",
      { inner: null, many: null, byKey: null, name: null },
      { inner: null, many: null, byKey: null, name: null },
    ],
    ["keeps misspelt enum values, for the parser to refuse", { color: "GREEN" }, { color: "GREEN" }],
    ["keeps the texts of well-known types", { span: "1.5s" }, { span: "1.5s" }],
    ["keeps the objects of well-known types", { free: { a: { b: 1 } } }, { free: { a: { b: 1 } } }],
    ["keeps lists of scalars", { words: ["nothing"] }, { words: ["nothing"] }],
    ["keeps an array", [{ x: 1 }], [{ x: 1 }]],
    ["keeps a text", "x", "x"],
    ["keeps nothing", null, null],
  ])("%s", (_, json, wanted) => {
    expect(withoutUnknownFields(thing, json)).toEqual(wanted);
  });

  it("leaves what it was given as it is", () => {
    const json = { inner: { nothing: 1 } };
    withoutUnknownFields(thing, json);
    expect(json).toEqual({ inner: { nothing: 1 } });
  });

  it.each(["__proto__", "constructor", "toString"])("drops %s like any other", (name) => {
    const json = JSON.parse(`{"${name}": {"polluted": 1}, "count": 2}`) as JsonValue;
    const kept = withoutUnknownFields(thing, json);
    expect(Object.entries(kept as object)).toEqual([["count", 2]]);
    expect({}).not.toHaveProperty("polluted");
  });

  it("keeps __proto__ as the key of a map", () => {
    const json = JSON.parse('{"byKey": {"__proto__": {"count": 2, "x": 1}}}') as JsonValue;
    expect(JSON.stringify(withoutUnknownFields(thing, json))).toBe('{"byKey":{"__proto__":{"count":2}}}');
  });

  it("lets a request with fields of a newer client through, and its nested ones", () => {
    const json = withoutUnknownFields(AddCustomLoginPolicyRequestSchema, {
      forceMfa: true,
      someday: { a: 1 },
      passwordCheckLifetime: "864000s",
      idps: [{ idpId: "1", ownerType: "IDP_OWNER_TYPE_ORG", someday: [] }],
    });
    expect(fromJson(AddCustomLoginPolicyRequestSchema, json)).toMatchObject({
      forceMfa: true,
      passwordCheckLifetime: { seconds: 864_000n },
      idps: [{ idpId: "1", ownerType: 2 }],
    });
  });
});
