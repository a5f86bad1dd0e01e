import { expect, it } from "vitest";
import { readRequestId } from "../../../../src/rpc/call/request-id.ts";

it.each([
  ["a UUID", "6f1c2f0e-1f0b-4d44-9c1e-0d6f4a1b2c3d"],
  ["a path", "from-the-proxy/1:2"],
  ["the longest", "a".repeat(128)],
  ["a trace of AWS", "Root=1-67891233-abcdef012345678912345678"],
])("takes over %s", (_, given) => {
  expect(readRequestId({ "x-request-id": given })).toBe(given);
});

it.each([
  ["nothing", undefined],
  ["an empty one", ""],
  ["two, joined", "one, two"],
  ["one that is too long", "a".repeat(129)],
  ["what is not ASCII", "\u00e9"],
  ["what would end a line", "a\r\nset-cookie: b=c"],
  ["a token of ours", "portcullis_abc"],
  ["a JWT", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"],
])("makes a new one for %s", (_, given) => {
  expect(readRequestId({ "x-request-id": given })).toMatch(/^[0-9a-f]{24}$/);
});

it("makes each anew, also when its supply of random bytes is used up", () => {
  const ids = Array.from({ length: 5000 }, () => readRequestId({}));
  expect(new Set(ids).size).toBe(5000);
});
