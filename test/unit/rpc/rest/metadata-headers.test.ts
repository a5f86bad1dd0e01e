import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { readMetadataHeaders } from "../../../../src/rpc/rest/metadata-headers.ts";

describe("readMetadataHeaders", () => {
  it.each<[what: string, sent: Record<string, string>, told: Record<string, string>]>([
    ["takes the prefix off", { "grpc-metadata-x-a": "1", "x-b": "2" }, { "x-a": "1", "x-b": "2" }],
    ["of what a gate reads", { "grpc-metadata-authorization": "Bearer a" }, { authorization: "Bearer a" }],
    ["where both say the same", { "x-a": "1", "grpc-metadata-x-a": "1" }, { "x-a": "1" }],
    ["of an empty value", { "grpc-metadata-x-a": "" }, { "x-a": "" }],
    ["of a name that objects inherit", { "grpc-metadata-constructor": "1" }, { constructor: "1" } as never],
  ])("%s", (_, sent, told) => {
    expect(readMetadataHeaders(sent)).toEqual({ headers: told });
  });

  it.each([
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "cookie",
    "origin",
    "accept",
    "accept-encoding",
    "if-none-match",
    "x-server-timeout",
    "x-request-id",
    "access-control-request-method",
    "grpc-timeout",
    "grpc-encoding",
    "connect-protocol-version",
    "",
  ])("leaves alone what HTTP reads for itself: grpc-metadata-%s", (name) => {
    const headers = { [`grpc-metadata-${name}`]: "1", [name]: "2", authorization: "Bearer a" };
    expect(readMetadataHeaders(headers)).toEqual({ headers });
  });

  it("takes the prefix off once, and not of itself", () => {
    const headers = { "grpc-metadata-grpc-metadata-authorization": "Bearer a" };
    expect(readMetadataHeaders(headers)).toEqual({ headers });
  });

  it("is the same object where there is nothing to do", () => {
    const headers = { "x-a": "1", "grpc-metadata": "2" };
    const told = readMetadataHeaders(headers);
    expect("headers" in told && told.headers).toBe(headers);
  });

  it.each([
    ["another value", { "x-a": "1", "grpc-metadata-x-a": "2" }],
    ["an empty one", { "x-a": "", "grpc-metadata-x-a": "2" }],
    ["the same twice, which is a list", { "x-a": "1", "grpc-metadata-x-a": "1, 1" }],
  ])("refuses two names with %s, and repeats no value", (_, headers) => {
    const told = readMetadataHeaders(headers);
    if (!("refusal" in told)) throw new Error("it was not refused");
    const { error, status } = told.refusal;
    const description = "it and x-a have different values: send one of them";
    expect([status, error.rawMessage]).toEqual([400, `invalid header grpc-metadata-x-a: ${description}`]);
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: "grpc-metadata-x-a", description },
    ]);
  });
});
