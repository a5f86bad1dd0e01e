import { describe, expect, it } from "vitest";
import {
  expectConnectError,
  expectStatus,
  factorsPath,
  policyPath,
  rpcPath,
  sturdyServer,
} from "../fixtures/sturdy.ts";
import type { Reply } from "../fixtures/wire.ts";

const sturdy = sturdyServer();
const json = { "content-type": "application/json" };

/** A JSON body for AddSecondFactorToLoginPolicy or AddCustomLoginPolicy, sent to its REST route and to its Connect path. */
interface JsonCase {
  readonly name: string;
  readonly target: "factor" | "policy";
  readonly body: string | Uint8Array;
}

const targets = {
  factor: { rest: factorsPath, connect: rpcPath("AddSecondFactorToLoginPolicy") },
  policy: { rest: policyPath, connect: rpcPath("AddCustomLoginPolicy") },
};

const viaRest = ({ target, body }: JsonCase): Promise<Reply> =>
  sturdy.send({ path: targets[target].rest, headers: json, body });
const viaConnect = ({ target, body }: JsonCase): Promise<Reply> =>
  sturdy.send({ path: targets[target].connect, headers: json, body });

const factor = (name: string, body: string | Uint8Array): JsonCase => ({ name, target: "factor", body });
const policy = (name: string, body: string | Uint8Array): JsonCase => ({ name, target: "policy", body });
const nested = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth);
const bytes = (...parts: (string | number)[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.from([part]) : Buffer.from(part))));

const notJson: readonly JsonCase[] = [
  factor("an object that does not end", '{"type":'),
  factor("text after the object", '{"type":"SECOND_FACTOR_TYPE_OTP_SMS"} x'),
  factor("two objects", '{"type":1}{"type":1}'),
  factor("NaN", '{"type":NaN}'),
  factor("a comment", '{/* */"type":4}'),
  factor("single quotes", "{'type':4}"),
  factor("a comma too many", '{"type":4,}'),
  factor("blanks alone", " \n"),
  factor("a form, as curl -d sends it", "type=SECOND_FACTOR_TYPE_OTP_SMS"),
  factor("a byte-order mark alone", "\ufeff"),
  factor("a UTF-16 body", Buffer.from('{"type":4}', "utf16le")),
  policy("invalid UTF-8 in a string", bytes('{"defaultRedirectUri":"https://a.example/', 0xff, '"}')),
  policy("an overlong encoding", bytes('{"defaultRedirectUri":"https://a.example/', 0xc0, 0xaf, '"}')),
  policy("a surrogate as UTF-8", bytes('{"defaultRedirectUri":"https://a.example/', 0xed, 0xa0, 0x80, '"}')),
];

const notTheMessage: readonly JsonCase[] = [
  factor("an array", "[]"),
  factor("a number", "1"),
  factor("a string", '"SECOND_FACTOR_TYPE_OTP_SMS"'),
  factor("a boolean", "true"),
  factor("null", "null"),
  policy("both names of a field", '{"allow_register":true,"allowRegister":true}'),
  policy("an unknown field 10,000 levels deep", `{"nope":${nested(10_000, "[", "]")}}`),
  factor("arrays 10,000 deep", nested(10_000, "[", "]")),
  factor("a field twice", '{"type":"SECOND_FACTOR_TYPE_OTP_SMS","type":"SECOND_FACTOR_TYPE_OTP_EMAIL"}'),
  policy("a field twice under the same name, further in", '{"idps":[{"idpId":"a","idpId":"b","ownerType":1}]}'),
];

/** The values that do not fit, by the wire name of their field. */
const wrongValues: readonly (JsonCase & { readonly field: string })[] = [
  { ...factor("an unknown enum name", '{"type":"NOPE"}'), field: "type" },
  { ...factor("an enum name in lower case", '{"type":"second_factor_type_otp_sms"}'), field: "type" },
  { ...factor("an enum name of another enum", '{"type":"PASSWORDLESS_TYPE_ALLOWED"}'), field: "type" },
  { ...factor("an unknown enum number", '{"type":99}'), field: "type" },
  { ...factor("a negative enum number", '{"type":-1}'), field: "type" },
  { ...factor("an enum number out of 32 bits", '{"type":99999999999999999999}'), field: "type" },
  { ...factor("an enum number past all numbers", '{"type":1e400}'), field: "type" },
  { ...factor("a broken enum number", '{"type":1.5}'), field: "type" },
  { ...factor("an enum number in a string", '{"type":"4"}'), field: "type" },
  { ...factor("a boolean for an enum", '{"type":true}'), field: "type" },
  { ...factor("a list for an enum", '{"type":["SECOND_FACTOR_TYPE_OTP_SMS"]}'), field: "type" },
  { ...factor("an object for an enum", '{"type":{}}'), field: "type" },
  { ...factor("a lone surrogate for an enum", String.raw`{"type":"\ud800"}`), field: "type" },
  { ...factor("null for an enum that must be given", '{"type":null}'), field: "type" },
  { ...factor("an enum left out", "{}"), field: "type" },
  { ...policy("an unknown passwordless type", '{"passwordlessType":"NOPE"}'), field: "passwordless_type" },
  { ...policy("an unknown number of one", '{"passwordlessType":7}'), field: "passwordless_type" },
  { ...policy("a string for a boolean", '{"allowRegister":"true"}'), field: "allow_register" },
  { ...policy("a number for a boolean", '{"allowRegister":1}'), field: "allow_register" },
  { ...policy("a number for a string", '{"defaultRedirectUri":1}'), field: "default_redirect_uri" },
  {
    ...policy("a lone surrogate", String.raw`{"defaultRedirectUri":"https://a.example/\ud800"}`),
    field: "default_redirect_uri",
  },
  { ...policy("a string for a list", '{"secondFactors":"SECOND_FACTOR_TYPE_OTP"}'), field: "second_factors" },
  { ...policy("an unknown name in a list", '{"secondFactors":["NOPE"]}'), field: "second_factors[0]" },
  { ...policy("null in a list", '{"secondFactors":[null]}'), field: "second_factors[0]" },
  { ...policy("a number for a message", '{"idps":[1]}'), field: "idps[0]" },
  { ...policy("a number for a string, further in", '{"idps":[{"idpId":1}]}'), field: "idps[0].idp_id" },
  {
    ...policy("an unknown name, further in", '{"idps":[{"idpId":"a","ownerType":"NOPE"}]}'),
    field: "idps[0].ownerType",
  },
  { ...policy("a duration without its unit", '{"passwordCheckLifetime":"1"}'), field: "password_check_lifetime" },
  { ...policy("a duration in another unit", '{"passwordCheckLifetime":"1m"}'), field: "password_check_lifetime" },
  { ...policy("a number for a duration", '{"passwordCheckLifetime":1}'), field: "password_check_lifetime" },
  {
    ...policy("an object for a duration", '{"passwordCheckLifetime":{"seconds":1}}'),
    field: "password_check_lifetime",
  },
  { ...policy("an empty duration", '{"passwordCheckLifetime":""}'), field: "password_check_lifetime" },
  { ...policy("a duration with an exponent", '{"passwordCheckLifetime":"1e3s"}'), field: "password_check_lifetime" },
  {
    ...policy("ten digits of nanoseconds", '{"passwordCheckLifetime":"1.0000000001s"}'),
    field: "password_check_lifetime",
  },
  {
    ...policy("a duration past 10,000 years", '{"passwordCheckLifetime":"315576000001s"}'),
    field: "password_check_lifetime",
  },
];

/** What REST ignores and Connect refuses: fields that the message does not have. */
const unknownFields: readonly JsonCase[] = [
  policy("an unknown field", '{"nope":1}'),
  policy("an unknown field 50 levels deep", `{"nope":${nested(50, "[", "]")}}`),
  policy(
    "names that JavaScript objects inherit",
    '{"__proto__":{"allowRegister":true},"constructor":{"prototype":1},"toString":1}',
  ),
];

const accepted: readonly JsonCase[] = [
  policy("an object without fields", "{}"),
  policy("names in snake_case", '{"allow_register":true,"password_check_lifetime":"1s"}'),
  policy("names in camelCase", '{"allowRegister":true,"passwordCheckLifetime":"1s"}'),
  policy("names with escapes", String.raw`{"allow\u0052egister":true,"passwordCheckLifetime":"1s"}`),
  policy(
    "null for any field",
    '{"allowRegister":null,"passwordCheckLifetime":null,"secondFactors":null,"passwordlessType":null}',
  ),
  policy("blanks around", ' \r\n\t{ "allowRegister" : true } \n'),
  policy("a byte-order mark", '\ufeff{"allowRegister":true}'),
  policy("enums as numbers", '{"passwordlessType":1,"secondFactors":[1]}'),
  policy(
    "a negative duration and one of 10,000 years",
    '{"passwordCheckLifetime":"-1.5s","mfaInitSkipLifetime":"315576000000s"}',
  ),
];

describe("JSON over REST", () => {
  it.each(notJson)("refuses $name", async (given) => {
    expect(expectStatus(await viaRest(given), { http: 400, code: 3, field: "body" })).toBe(
      "the request body is not valid JSON: send one JSON value, in UTF-8",
    );
  });
  it.each(notTheMessage)("refuses $name", async (given) => {
    expectStatus(await viaRest(given), { http: 400, code: 3 });
  });
  it.each(wrongValues)("refuses $name, naming the field", async (given) => {
    expectStatus(await viaRest(given), { http: 400, code: 3, field: given.field });
  });
  it.each([...accepted, ...unknownFields])("takes $name", async (given) => {
    const reply = await viaRest(given);
    await sturdy.send({ method: "DELETE", path: policyPath });
    expect(reply.status, reply.body.toString()).toBe(200);
  });
  it("takes nothing of what is named like an inherited property", async () => {
    await viaRest(policy("", '{"__proto__":{"allowRegister":true,"secondFactors":[1]}}'));
    const read = await sturdy.send({ method: "GET", path: policyPath });
    await sturdy.send({ method: "DELETE", path: policyPath });
    expect(JSON.parse(read.body.toString())).toMatchObject({ policy: { allowRegister: false, secondFactors: [] } });
    expect({}).not.toHaveProperty("allowRegister");
  });
  it("ignores unknown fields further in", async () => {
    const given = policy("", '{"idps":[{"nope":{"idpId":1},"idpId":"a","ownerType":1}]}');
    // Refused for the provider that does not exist, not for the field.
    expect(expectStatus(await viaRest(given), { http: 400, code: 9 })).toContain("Org-FEd32");
  });
  it("takes an empty body as an empty message, which is then validated", async () => {
    for (const headers of [{}, { "content-type": "text/plain" }, { "content-length": "0" }]) {
      expectStatus(await sturdy.send({ path: factorsPath, headers, body: "" }), { http: 400, code: 3, field: "type" });
    }
  });
});

describe("JSON over Connect", () => {
  const invalid = { http: 400, code: "invalid_argument" };
  it.each([...notJson, ...notTheMessage, ...wrongValues, ...unknownFields])("refuses $name", async (given) => {
    const reply = await viaConnect(given);
    if (reply.status === 200) await sturdy.send({ method: "DELETE", path: policyPath });
    expectConnectError(reply, invalid);
  });
  it.each(accepted)("takes $name", async (given) => {
    const reply = await viaConnect(given);
    await sturdy.send({ method: "DELETE", path: policyPath });
    expect(reply.status, reply.body.toString()).toBe(200);
  });
  it("refuses an empty body", async () => {
    expectConnectError(await viaConnect(factor("", "")), invalid);
  });
});
