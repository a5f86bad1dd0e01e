import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { httpStatus } from "../../../../src/rpc/http/status.ts";

// google.rpc.Code
const published: readonly [number, number][] = [
  [1, 499],
  [2, 500],
  [3, 400],
  [4, 504],
  [5, 404],
  [6, 409],
  [7, 403],
  [8, 429],
  [9, 400],
  [10, 409],
  [11, 400],
  [12, 501],
  [13, 500],
  [14, 503],
  [15, 500],
  [16, 401],
];

describe("httpStatus", () => {
  it.each(published)("of code %i is %i", (code, status) => {
    expect(httpStatus(code)).toBe(status);
  });

  it("knows every code", () => {
    expect(published.map(([code]) => code)).toEqual(Object.values(Code).filter((code) => typeof code === "number"));
  });

  it("of a code that nobody knows is 500", () => {
    expect(httpStatus(99 as Code)).toBe(500);
  });
});
