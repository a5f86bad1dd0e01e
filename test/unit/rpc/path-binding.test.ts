import { create, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { bindPath } from "../../../src/rpc/rest/path-binding.ts";
import { createRouteTable } from "../../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../../src/rpc/router.ts";
import { serviceOf } from "../../fixtures/builders.ts";

/** Binds a path to a message, which may hold values already. */
function bind(
  service: Parameters<typeof createRouteTable>[0],
  verb: string,
  path: string,
  before: Record<string, unknown> = {},
): Message {
  const match = createRouteTable(service)(verb, path);
  if (match.kind !== "found") throw new Error(match.kind);
  const message = create(match.route.rpc.spec.method.input, before);
  bindPath(match.route, match.pathValues)(message);
  return message;
}

const management = createRpcTable((router) => router.service(ManagementService, {}));
const login = "/management/v1/policies/login";

/** The value of a field of test.Thing that a path gave it. */
function bindField(field: string, text: string): unknown {
  const service = serviceOf({ name: "Get", rule: { pattern: { case: "get", value: `/things/{${field}}` } } });
  const { input } = service.method["get"] ?? {};
  const descriptor = input?.fields.find(({ name }) => name === field);
  if (input === undefined || descriptor === undefined) throw new Error(`no field ${field}`);
  const rpcs = createRpcTable((router) => router.service(service, {}));
  const message = bind(rpcs, "GET", `/things/${encodeURIComponent(text)}`);
  return reflect(input, message).get(descriptor);
}

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
    expect(bind(management, "DELETE", `${login}/second_factors/${text}`)).toMatchObject({ type });
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
    const error = errorOf(() => bind(management, "DELETE", `${login}/second_factors/${text}`));
    expect(error).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: `type mismatch, parameter: type, error: ${text} is not valid`,
    });
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: "type", description: `${text} is not valid` },
    ]);
  });

  it("takes the place of what the message holds already", () => {
    expect(bind(management, "DELETE", `${login}/second_factors/2`, { type: 4 })).toMatchObject({ type: 2 });
    expect(bind(management, "DELETE", `${login}/second_factors/0`, { type: 4 })).toMatchObject({ type: 0 });
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
  ])("takes %s for %j", (text, idpId) => {
    expect(bind(management, "DELETE", `${login}/idps/${text}`)).toMatchObject({ idpId });
  });

  it("refuses a NUL character", () => {
    expect(errorOf(() => bind(management, "DELETE", `${login}/idps/a%00b`))).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "type mismatch, parameter: idp_id, error: a\0b is not valid",
    });
  });
});

describe("bindPath of other scalars", () => {
  it.each<[field: string, text: string, value: unknown]>([
    ["count", "42", 42],
    ["count", "-1", -1],
    ["big", "18446744073709551615", 18_446_744_073_709_551_615n],
    ["flag", "true", true],
    ["flag", "false", false],
    ["color", "RED", 1],
    ["display_name", "x", "x"],
  ])("sets %s from %s", (field, text, value) => {
    expect(bindField(field, text)).toBe(value);
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
  ])("refuses %s from %j", (field, text) => {
    expect(errorOf(() => bindField(field, text)).rawMessage).toBe(
      `type mismatch, parameter: ${field}, error: ${text} is not valid`,
    );
  });
});

function errorOf(act: () => unknown): ConnectError {
  try {
    act();
  } catch (reason) {
    if (reason instanceof ConnectError) return reason;
    throw reason;
  }
  throw new Error("it was not refused");
}
