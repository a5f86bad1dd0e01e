import { Readable } from "node:stream";
import { createRegistry } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import {
  AddCustomLoginPolicyRequestSchema,
  AddSecondFactorToLoginPolicyRequestSchema,
  ListLoginPolicyIDPsRequestSchema,
} from "../../../gen/zitadel/management_pb.ts";
import type { HttpRequest } from "../../../src/rpc/http.ts";
import { readJsonMessage } from "../../../src/rpc/rest/body.ts";
import { HttpRefusalError } from "../../../src/rpc/rest/status.ts";

const registry = createRegistry();
const json = { "content-type": "application/json" };
const maxBytes = 100;

const requestOf = (body: readonly (string | Buffer)[], headers: Record<string, string> = json) =>
  Object.assign(Readable.from(body.map((chunk) => Buffer.from(chunk))), { headers }) as unknown as HttpRequest;

const read = (body: string | Buffer | readonly string[], headers?: Record<string, string>) =>
  readJsonMessage(requestOf(typeof body === "string" || Buffer.isBuffer(body) ? [body] : body, headers), {
    desc: AddSecondFactorToLoginPolicyRequestSchema,
    maxBytes,
    registry,
  });

async function refusalOf(reading: Promise<unknown>) {
  const reason = await reading.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (reason instanceof HttpRefusalError) return { ...reason.refusal, code: reason.refusal.error.code };
  if (reason instanceof ConnectError) return { error: reason, code: reason.code, status: undefined, header: undefined };
  throw new Error(`it was not refused: ${String(reason)}`);
}

describe("readJsonMessage", () => {
  it.each([
    ["a name", '{"type":"SECOND_FACTOR_TYPE_U2F"}', 2],
    ["a number", '{"type":2}', 2],
    ["a number without a name, for the validation", '{"type":99}', 99],
    ["null", '{"type":null}', 0],
    ["an empty object", "{}", 0],
    ["unknown fields", '{"someday":{"a":[1]},"type":2}', 2],
    ["white space", ' \n{ "type" : 2 }\n', 2],
    ["a byte order mark", '\ufeff{"type":2}', 2],
  ])("reads %s", async (_, body, type) => {
    expect(await read(body)).toMatchObject({ type });
  });

  it("reads a body in several chunks, cut within a character", async () => {
    const bytes = Buffer.from('{"ä":1,"type":2}');
    const cut = bytes.indexOf(0xa4);
    const request = requestOf([bytes.subarray(0, cut), bytes.subarray(cut)]);
    expect(
      await readJsonMessage(request, { desc: AddSecondFactorToLoginPolicyRequestSchema, maxBytes, registry }),
    ).toMatchObject({ type: 2 });
  });

  it.each([
    ["no content type", {}],
    ["any content type", { "content-type": "text/plain" }],
    ["an encoding", { "content-encoding": "gzip" }],
    ["a length of 0", { "content-length": "0" }],
  ])("takes an empty body with %s for an empty message", async (_, headers) => {
    expect(await read([], headers)).toMatchObject({ type: 0 });
  });

  it.each(["application/json", "Application/JSON; charset=utf-8"])("takes the content type %s", async (type) => {
    expect(await read('{"type":1}', { "content-type": type, "content-encoding": "identity" })).toMatchObject({
      type: 1,
    });
  });

  it.each([{}, { "content-type": "text/plain" }, { "content-type": "application/x-www-form-urlencoded" }])(
    "refuses a body with %o",
    async (headers) => {
      const { error, status, header } = await refusalOf(read("{}", headers));
      expect([status, error.rawMessage, header]).toEqual([
        415,
        "set the header Content-Type: application/json",
        { accept: "application/json" },
      ]);
    },
  );

  it("refuses an encoded body", async () => {
    const { status, header } = await refusalOf(read("{}", { ...json, "content-encoding": "gzip" }));
    expect([status, header]).toEqual([415, { "accept-encoding": "identity" }]);
  });

  it.each([
    ["text", "{type:1}"],
    ["trailing text", '{"type":1}x'],
    ["a second value", '{"type":1}{}'],
    ["a cut", '{"type":'],
    ["white space alone", "  "],
    ["bytes that are no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
  ])("refuses what is no JSON: %s", async (_, body) => {
    const { error, code } = await refusalOf(read(body));
    expect([code, error.rawMessage, error.details]).toEqual([
      Code.InvalidArgument,
      "the request body is not valid JSON",
      [],
    ]);
  });

  it.each(["[]", '"x"', "1", "null", "true"])("refuses %s, which is no object", async (body) => {
    const { error, code } = await refusalOf(read(body));
    expect([code, error.rawMessage]).toEqual([
      Code.InvalidArgument,
      "the request body must be a JSON object with the fields of the request message",
    ]);
  });

  it.each(['"OTP"', '"1"', "1.5", "true", "[]", "{}", "99999999999"])(
    "refuses the enum %s, naming the field",
    async (value) => {
      const { error, code } = await refusalOf(read(`{"type":${value}}`));
      expect([code, error.rawMessage]).toEqual([
        Code.InvalidArgument,
        "invalid value for the field type: the value does not fit the type of the field",
      ]);
      expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
        { field: "type", description: "the value does not fit the type of the field" },
      ]);
    },
  );

  it.each([
    ['{"passwordCheckLifetime":"1 day"}', "password_check_lifetime"],
    ['{"password_check_lifetime":5}', "password_check_lifetime"],
    ['{"forceMfa":"yes"}', "force_mfa"],
    ['{"secondFactors":["OTP"]}', "second_factors"],
    ['{"idps":[{"ownerType":"ORG"}]}', "idps[0].ownerType"],
    ['{"idps":1}', "idps"],
  ])("names the field of %s as the validation would: %s", async (body, field) => {
    const request = requestOf([body]);
    const { error } = await refusalOf(
      readJsonMessage(request, { desc: AddCustomLoginPolicyRequestSchema, maxBytes, registry }),
    );
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe(field);
  });

  // JSON.parse would keep the last one without a word.
  it("refuses a key given twice", async () => {
    expect((await refusalOf(read('{"type":1,"type":2}'))).code).toBe(Code.InvalidArgument);
  });

  // 9007199254740993 must not become ...992.
  it("refuses a bare number that JavaScript cannot hold, or keeps it", async () => {
    const reading = readJsonMessage(requestOf(['{"query":{"offset":9007199254740993}}']), {
      desc: ListLoginPolicyIDPsRequestSchema,
      maxBytes,
      registry,
    });
    const offset = await reading.then(
      ({ query }) => query?.offset,
      (reason: unknown) => ConnectError.from(reason).code,
    );
    expect([9_007_199_254_740_993n, Code.InvalidArgument]).toContain(offset);
  });

  it("takes a body of exactly the limit", async () => {
    expect(await read(`{"type":2}${" ".repeat(maxBytes - 10)}`)).toMatchObject({ type: 2 });
  });

  it.each([
    ["by its length alone", [], { ...json, "content-length": "101" }],
    ["by what comes", [" ".repeat(60), " ".repeat(60)], json],
    ["by what comes, whatever was announced", [" ".repeat(101)], { ...json, "content-length": "5" }],
    ["before its content type", [" ".repeat(101)], {}],
  ])("refuses a body that is too large %s", async (_, body, headers) => {
    const { error, code, status, header } = await refusalOf(read(body, headers as Record<string, string>));
    expect([status, code, error.rawMessage, header]).toEqual([
      413,
      Code.ResourceExhausted,
      "the request body is larger than 100 bytes",
      { connection: "close" },
    ]);
  });

  it("does not read on once a body is too large", async () => {
    let taken = 0;
    async function* endless() {
      for (;;) {
        taken++;
        yield Buffer.alloc(60);
      }
    }
    const request = Object.assign(endless(), { headers: json }) as unknown as HttpRequest;
    const reading = readJsonMessage(request, { desc: AddSecondFactorToLoginPolicyRequestSchema, maxBytes, registry });
    expect((await refusalOf(reading)).status).toBe(413);
    expect(taken).toBe(2);
  });
});
