import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { type HttpRequest, httpStatus, mediaType, rawPath } from "../../../../src/rpc/http/http.ts";

const requestOf = (url: string | undefined, contentType?: string) =>
  ({ url, headers: { "content-type": contentType } }) as HttpRequest;

describe("rawPath", () => {
  it.each([
    ["/a/b", "/a/b"],
    ["/a?b=c", "/a"],
    ["/a?b?c", "/a"],
    ["/?", "/"],
    // The absolute form may name no path, which is the root's.
    ["http://host", "/"],
    ["http://host?x", "/"],
    ["?x", "/"],
    ["", "/"],
    [undefined, "/"],
    ["/a%2Fb%3Fc", "/a%2Fb%3Fc"],
    ["/a/../b", "/a/../b"],
    ["//host/x", "//host/x"],
    ["/a#b", "/a#b"],
    ["http://host/a?b", "/a"],
    ["*", "*"],
  ])("of %j is %j", (target, path) => {
    expect(rawPath(requestOf(target))).toBe(path);
  });
});

describe("mediaType", () => {
  it.each([
    [undefined, ""],
    ["", ""],
    ["application/json", "application/json"],
    ["Application/JSON", "application/json"],
    ["application/json; charset=utf-8", "application/json"],
    ["application/json;charset=utf-8;x=y", "application/json"],
    ["  application/json  ", "application/json"],
    [" application/grpc+proto ; a=b", "application/grpc+proto"],
    [";", ""],
  ])("of %j is %j", (header, type) => {
    expect(mediaType(requestOf("/", header))).toBe(type);
  });
});

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
