import { describe, expect, it } from "vitest";
import { mediaType, rawPath } from "../../../../src/rpc/http/request.ts";
import type { ListenerRequest } from "../../../../src/rpc/listener/handler.ts";

const requestOf = (url: string | undefined, contentType?: string) =>
  ({ url, headers: { "content-type": contentType } }) as ListenerRequest;

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
