import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { isHttpBody, isRawBody, rawAnswer } from "../../../../src/rpc/rest/http-body.ts";
import { routeOf, ruleOf, thingType } from "../../../fixtures/builders.ts";

const thing = thingType();
const httpBody = routeOf(ruleOf("get", "/x"), { outputType: ".google.api.HttpBody" }).rpc.spec.method.output;
const fieldOf = (name: string) => {
  const field = thing.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`no field ${name}`);
  return field;
};

describe("a raw body", () => {
  it("is google.api.HttpBody alone", () => {
    expect([isHttpBody(httpBody), isHttpBody(thing), isHttpBody(undefined)]).toEqual([true, false, false]);
  });

  it("is the whole request, or one field of it", () => {
    expect(isRawBody("whole", httpBody)).toBe(true);
    expect(isRawBody("whole", thing)).toBe(false);
    expect(["raw", "raw_side", "inner", "blob", "many"].map((name) => isRawBody(fieldOf(name), thing))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe("rawAnswer", () => {
  const answer = (contentType: string) => rawAnswer(create(httpBody, { contentType, data: Uint8Array.of(0, 255) }));

  it.each([
    "image/png",
    "text/html; charset=utf-8",
    "application/vnd.api+json",
    'multipart/mixed; boundary="a b"',
    "application/x!#$&^_.+-y",
  ])("sends the type %s", (contentType) => {
    expect(answer(contentType)).toEqual({ contentType, data: Uint8Array.of(0, 255) });
  });

  it.each([
    "",
    "text",
    "text/",
    "/html",
    "text/html\r\nX-Evil: 1",
    "text/html\n",
    "text/html; a=\0",
    "text/hätml",
    " a/b",
  ])("sends no type that a header could not carry: %j", (contentType) => {
    expect(answer(contentType)).toEqual({ contentType: "application/octet-stream", data: Uint8Array.of(0, 255) });
  });
});
