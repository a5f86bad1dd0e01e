import { expect, it } from "vitest";
import { readRequestId } from "../../../../src/rpc/listener/request-id.ts";

it.each([
  ["a UUID", "6f1c2f0e-1f0b-4d44-9c1e-0d6f4a1b2c3d"],
  ["a path", "from-the-proxy/1:2"],
  ["the longest", "a".repeat(128)],
  ["a trace of AWS", "Root=1-67891233-abcdef012345678912345678"],
  ["a UUID in capitals", "6F1C2F0E-1F0B-4D44-9C1E-0D6F4A1B2C3D"],
  ["a ULID", "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
  ["a KSUID", "0ujtsYcgvSTl8PAuAdqWYSMnLOv"],
  ["a UUID in base64", "bxwvDh8LTUScHg1vShssPQ=="],
  ["a nanoid", "V1StGXR8_Z5jdHi6B-myT"],
  ["a short one in letters of both cases", "JKJaXmPLvHcESHA="],
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
  ["a random token", "mtZ3cYw0Jb7rTqL1xVh9KdUo5Ei8Sg2N"],
  ["a token with a prefix", "token_mtZ3cYw0Jb7rTqL1xVh9KdUo5Ei8Sg2NfAy4Pc6"],
  ["a token in base64", "mtZ3cYw0Jb7r/qL1xVh9+dUo5Ei8Sg2NfAy4Pc6Bw=="],
  ["a JWT", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIyMTc0ODM1MTI1ODU0Mzk0MDQifQ.c2ln"],
])("makes a new one for %s", (_, given) => {
  expect(readRequestId({ "x-request-id": given })).toMatch(/^[0-9a-f]{24}$/);
});

it("makes each anew, also when its supply of random bytes is used up", () => {
  const ids = Array.from({ length: 5000 }, () => readRequestId({}));
  expect(new Set(ids).size).toBe(5000);
});
