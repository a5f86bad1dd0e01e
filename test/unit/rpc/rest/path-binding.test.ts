import {
  create,
  createRegistry,
  type DescMessage,
  type Message,
  type MessageInitShape,
  toJson,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { ManagementService } from "../../../../gen/zitadel/management_pb.ts";
import { bindPath } from "../../../../src/rpc/rest/path-binding.ts";
import { createRouteTable, type RouteTable } from "../../../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../../../src/rpc/rpc-table.ts";
import { routesOf, ruleOf, type thingType } from "../../../fixtures/builders.ts";

const registry = createRegistry();

type ThingInit = MessageInitShape<ReturnType<typeof thingType>>;

/** Binds a path to a message, which may hold values already. */
function bind(
  table: RouteTable,
  {
    method,
    path,
    before = {},
    overrides = false,
  }: { method: string; path: string; before?: object; overrides?: boolean },
): Message {
  const match = table.match(method, path);
  if (match.kind !== "found") throw new Error(match.kind);
  const { input } = match.route.rpc.spec.method;
  const message = create(input, before as ThingInit);
  bindPath(reflect(input, message), match.route, { pathValues: match.pathValues, overrides, registry });
  return message;
}

const management = createRouteTable(createRpcTable((router) => router.service(ManagementService, {})));
const login = "/management/v1/policies/login";
const bindLogin = (path: string, before?: object, overrides?: boolean) =>
  bind(management, {
    method: "DELETE",
    path: login + path,
    ...(before && { before }),
    ...(overrides && { overrides }),
  });

/** What a path makes of a test.Thing, by the rest of a template and of a path: every field that is set, as proto JSON. */
function bindThing(template: string, path: string, before?: object, overrides?: boolean) {
  const table = routesOf({ name: "Get", rule: ruleOf("get", `/x/${template}`) });
  const message = bind(table, {
    method: "GET",
    path: `/x/${path}`,
    ...(before && { before }),
    ...(overrides && { overrides }),
  });
  const { input } = table.routes[0]?.rpc.spec.method ?? {};
  if (input === undefined) throw new Error("no route");
  return toJson(input, message, { registry });
}

const bindField = (field: string, text: string) => bindThing(`{${field}}`, encodeURIComponent(text));

function errorOf(act: () => unknown): ConnectError {
  try {
    act();
  } catch (reason) {
    if (reason instanceof ConnectError) return reason;
    throw reason;
  }
  throw new Error("it was not refused");
}

/** What a refusal says, and the field that it names. */
function refusal(act: () => unknown): readonly [message: string, field: string | undefined] {
  const error = errorOf(act);
  expect(error.code).toBe(Code.InvalidArgument);
  return [error.rawMessage, error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field];
}

const mismatch = (field: string, text: string) => [
  expect.stringContaining(
    `type mismatch, parameter: ${field}, error: ${text.trim() === "" ? JSON.stringify(text) : text} is not valid: send `,
  ),
  field,
];

describe("bindPath of an enum", () => {
  it.each([
    ["SECOND_FACTOR_TYPE_OTP", 1],
    ["SECOND_FACTOR_TYPE_RECOVERY_CODES", 5],
    ["SECOND_FACTOR_TYPE_UNSPECIFIED", 0],
    ["1", 1],
    ["0", 0],
    ["%31", 1],
    // Numbers without a name are an open enum's own; the validation refuses them with a text of its own.
    ["99", 99],
    ["-1", -1],
  ])("takes %s", (text, type) => {
    expect(bindLogin(`/second_factors/${text}`)).toMatchObject({ type });
  });

  it.each([
    "OTP",
    "second_factor_type_otp",
    "1.5",
    "1e0",
    "0x1",
    "+1",
    "2147483648",
    "99999999999999999999",
    "null",
    "-",
  ])("refuses %s, naming the field", (text) => {
    const error = errorOf(() => bindLogin(`/second_factors/${text}`));
    const description =
      `${text} is not valid: send one of SECOND_FACTOR_TYPE_OTP, SECOND_FACTOR_TYPE_U2F, ` +
      "SECOND_FACTOR_TYPE_OTP_EMAIL, SECOND_FACTOR_TYPE_OTP_SMS, SECOND_FACTOR_TYPE_RECOVERY_CODES";
    expect(error).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: `type mismatch, parameter: type, error: ${description}`,
    });
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([{ field: "type", description }]);
  });

  it("that is closed refuses a number without a name", () => {
    expect(bindField("shade", "DARK")).toEqual({ shade: "DARK" });
    expect(refusal(() => bindField("shade", "3"))).toEqual(mismatch("shade", "3"));
  });
});

describe("bindPath of a string", () => {
  it.each([
    ["7", "7"],
    ["a%2Fb", "a/b"],
    ["a%2fb", "a/b"],
    ["%252F", "%2F"],
    ["%F0%9F%94%91", "🔑"],
    ["true", "true"],
    ["a+b", "a+b"],
    ["a:b", "a:b"],
  ])("takes %s for %j", (text, idpId) => {
    expect(bindLogin(`/idps/${text}`)).toMatchObject({ idpId });
  });

  it("refuses a NUL character", () => {
    expect(refusal(() => bindLogin("/idps/a%00b"))).toEqual(mismatch("idp_id", "a\0b"));
  });

  it.each([
    ["{name=**}", "a/b/c", "a/b/c"],
    ["{name=**}", "a%2Fb/c", "a%2Fb/c"],
    ["{name=a/*}", "a/b%20c", "a/b c"],
    ["{name=*}", "a%2Fb", "a/b"],
  ])("of the template %s takes %s for %j", (template, path, name) => {
    expect(bindThing(template, path)).toEqual({ name });
  });

  it("of no segment at all is empty", () => {
    const table = routesOf({ name: "Get", rule: ruleOf("get", "/x/{nick=**}") });
    expect(bind(table, { method: "GET", path: "/x" })).toMatchObject({ nick: "" });
  });
});

describe("bindPath of other kinds", () => {
  it.each<[field: string, text: string, wanted: unknown]>([
    ["count", "42", { count: 42 }],
    ["count", "-1", { count: -1 }],
    ["big", "18446744073709551615", { big: "18446744073709551615" }],
    ["long", "-9223372036854775808", { long: "-9223372036854775808" }],
    ["flag", "true", { flag: true }],
    ["flag", "false", {}],
    ["color", "RED", { color: "RED" }],
    ["display_name", "x", { displayName: "x" }],
    ["double", "-Infinity", { double: "-Infinity" }],
    ["float", "0.5", { float: 0.5 }],
    ["blob", "-_8", { blob: "+/8=" }],
    ["blob", "+/8=", { blob: "+/8=" }],
    ["at", "2026-01-02T03:04:05+01:00", { at: "2026-01-02T02:04:05Z" }],
    ["span", "1.5s", { span: "1.500s" }],
    ["mask", "display_name,inner.byKey", { mask: "displayName,inner.byKey" }],
    ["int_box", "0", { intBox: 0 }],
    ["text_box", "x", { textBox: "x" }],
    ["nick", "x", { nick: "x" }],
    ["maybe_count", "0", { maybeCount: 0 }],
    ["left", "x", { left: "x" }],
    ["inner.name", "x", { inner: { name: "x" } }],
    ["inner.inner.left", "x", { inner: { inner: { left: "x" } } }],
    ["side.count", "0", { side: {} }],
    ["value_of", "x", { valueOf: "x" }],
  ])("sets %s from %s", (field, text, wanted) => {
    expect(bindField(field, text)).toEqual(wanted);
  });

  it.each([
    ["count", "x"],
    ["count", "1.5"],
    ["count", " 1"],
    ["count", "2147483648"],
    ["big", "-1"],
    ["big", "18446744073709551616"],
    ["flag", "TRUE"],
    ["flag", "1"],
    ["flag", "yes"],
    ["color", "GREEN"],
    ["double", "1e309"],
    ["float", "1e39"],
    ["blob", "=="],
    ["at", "2026-01-02"],
    ["span", "1m"],
    ["mask", "a_1"],
    ["int_box", "x"],
    ["inner.count", "x"],
  ])("refuses %s from %j", (field, text) => {
    expect(refusal(() => bindField(field, text))).toEqual(mismatch(field, text));
  });

  it("sets several fields, each from its own part", () => {
    expect(bindThing("{inner.name}/{count}/{inner.count}", "a/1/2")).toEqual({
      inner: { name: "a", count: 2 },
      count: 1,
    });
  });

  it.each([
    ["StringValue", "a%2Fb", "a/b"],
    ["Int64Value", "9007199254740993", "9007199254740993"],
    ["BoolValue", "false", false],
    ["BytesValue", "AQI", "AQI="],
  ])("sets the value of a request that is a %s", (type, path, wanted) => {
    const inputType = `.google.protobuf.${type}`;
    const table = routesOf({ name: "Get", rule: ruleOf("get", "/x/{value}"), inputType });
    const message = bind(table, { method: "GET", path: `/x/${path}` });
    expect(toJson(table.routes[0]?.rpc.spec.method.input as DescMessage, message)).toEqual(wanted);
  });
});

describe("bindPath over a body", () => {
  it.each<[template: string, path: string, before: ThingInit]>([
    // Not sent, or sent empty, which the message cannot tell apart.
    ["{name}", "a", { name: "" }],
    ["{count}", "1", { count: 0 }],
    ["{name}", "a", { name: "a" }],
    ["{color}", "RED", { color: 1 }],
    ["{color}", "1", { color: 1 }],
    ["{count}", "0", { count: 0 }],
    ["{double}", "NaN", { double: Number.NaN }],
    ["{big}", "9007199254740993", { big: 9_007_199_254_740_993n }],
    ["{nick}", "a", { nick: "a" }],
    ["{int_box}", "5", { intBox: 5 }],
    ["{span}", "1.0s", { span: { seconds: 1n, nanos: 0 } }],
    ["{left}", "a", { choice: { case: "left", value: "a" } }],
    ["{inner.name}", "a", { inner: { name: "a" } }],
    ["{inner.name}", "a", { inner: {} }],
  ])("of %s from %s takes what says the same: %o", (template, path, before) => {
    for (const overrides of [false, true]) {
      expect(bindThing(template, path, before, overrides)).toEqual(bindThing(template, path));
    }
  });

  it.each<[template: string, path: string, before: ThingInit, field: string]>([
    ["{name}", "a", { name: "b" }, "name"],
    ["{count}", "0", { count: 5 }, "count"],
    ["{flag}", "false", { flag: true }, "flag"],
    ["{big}", "9007199254740993", { big: 9_007_199_254_740_992n }, "big"],
    ["{blob}", "AQI", { blob: Uint8Array.of(1) }, "blob"],
    ["{nick}", "a", { nick: "" }, "nick"],
    ["{int_box}", "5", { intBox: 0 }, "int_box"],
    ["{span}", "1s", { span: { seconds: 1n, nanos: 1 } }, "span"],
    ["{display_name}", "a", { displayName: "b" }, "display_name"],
    ["{inner.name}", "a", { inner: { name: "b" } }, "inner.name"],
    ["{left}", "a", { choice: { case: "left", value: "b" } }, "left"],
  ])("of %s from %s refuses what says otherwise, or lets the path win: %o", (template, path, before, field) => {
    expect(refusal(() => bindThing(template, path, before))).toEqual([
      `invalid parameter ${field}: the body has another value than the path`,
      field,
    ]);
    expect(bindThing(template, path, before, true)).toEqual(bindThing(template, path));
  });

  it("leaves the rest as it was", () => {
    const before = { count: 1, inner: { count: 2 }, words: ["a"] };
    expect(bindThing("{name}/{inner.name}", "a/b", before)).toEqual({
      name: "a",
      count: 1,
      inner: { name: "b", count: 2 },
      words: ["a"],
    });
  });

  it.each<[template: string, path: string, before: ThingInit, field: string, other: string]>([
    ["{left}", "a", { choice: { case: "right", value: 1 } }, "left", "right"],
    ["{left}", "b", { choice: { case: "side", value: { name: "b" } } }, "left", "side"],
    ["{side.name}", "a", { choice: { case: "left", value: "b" } }, "side.name", "left"],
    ["{inner.left}", "a", { inner: { choice: { case: "right", value: 0 } } }, "inner.left", "right"],
  ])(
    "of %s from %j refuses another member of its oneof, or takes its place: %o",
    (template, path, before, field, other) => {
      expect(refusal(() => bindThing(template, path, before))).toEqual([
        `invalid parameter ${field}: it and ${other} are alternatives: send one of them`,
        field,
      ]);
      expect(bindThing(template, path, before, true)).toEqual(bindThing(template, path));
    },
  );

  it("keeps the rest of a member of a oneof that both set", () => {
    const before = { choice: { case: "side", value: { name: "b", count: 2 } } } as ThingInit;
    expect(bindThing("{side.name}", "a", before, true)).toEqual({ side: { name: "a", count: 2 } });
  });

  it("takes the place of what the message holds already", () => {
    expect(bindLogin("/second_factors/2", { type: 4 }, true)).toMatchObject({ type: 2 });
    expect(bindLogin("/second_factors/0", { type: 4 }, true)).toMatchObject({ type: 0 });
  });
});
