import { once } from "node:events";
import { createServer, type OutgoingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { create, createRegistry, toBinary } from "@bufbuild/protobuf";
import { DurationSchema, StructSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  BadRequestSchema,
  file_google_rpc_error_details,
  RetryInfoSchema,
} from "../../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../../gen/google/rpc/status_pb.ts";
import { ErrorDetailSchema, file_zitadel_message } from "../../../../gen/zitadel/message_pb.ts";
import { ResponseReply } from "../../../../src/rpc/http/reply.ts";
import { HttpRefusalError, sendStatus } from "../../../../src/rpc/rest/status.ts";

const registry = createRegistry(file_zitadel_message, file_google_rpc_error_details);

let answer: (response: ServerResponse) => void = () => undefined;
const server = createServer((_, response) => answer(response));
beforeAll(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
});
afterAll(() => server.close());

/** What a client sees of a reason, sent by a real server. */
async function sent(
  reason: unknown,
  {
    before,
    ...options
  }: {
    readonly before?: (response: ServerResponse) => void;
    readonly header?: OutgoingHttpHeaders;
    readonly isHead?: boolean;
  } = {},
) {
  answer = (response) => {
    before?.(response);
    sendStatus(new ResponseReply(response.req, response), reason, { registry, ...options });
    if (!response.writableEnded) response.end();
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const response = await fetch(url, { method: options.isHead ? "HEAD" : "GET" });
  return { status: response.status, header: response.headers, body: await response.text() };
}

const detail = { id: "Org-2B0ps", message: "Multifactor already exists" };

describe("sendStatus", () => {
  it("answers with the published shape", async () => {
    const error = new ConnectError("Multifactor already exists (Org-2B0ps)", Code.AlreadyExists, undefined, [
      { desc: ErrorDetailSchema, value: detail },
    ]);
    const { status, header, body } = await sent(error);
    expect(status).toBe(409);
    expect(body).toBe(
      '{"code":6,"message":"Multifactor already exists (Org-2B0ps)","details":[' +
        '{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"Org-2B0ps","message":"Multifactor already exists"}]}',
    );
    expect(header.get("content-type")).toBe("application/json");
    expect(header.get("cache-control")).toBe("no-store");
    expect(header.get("content-length")).toBe(String(body.length));
  });

  it.each<[what: string, reason: unknown, status: number, body: unknown]>([
    ["no details", new ConnectError("Not Found", Code.NotFound), 404, { code: 5, message: "Not Found", details: [] }],
    [
      "several details, in their order",
      new ConnectError("x", Code.InvalidArgument, undefined, [
        { desc: ErrorDetailSchema, value: detail },
        { desc: BadRequestSchema, value: { fieldViolations: [{ field: "type", description: "y" }] } },
      ]),
      400,
      {
        code: 3,
        message: "x",
        details: [
          { "@type": "type.googleapis.com/zitadel.v1.ErrorDetail", ...detail },
          {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            fieldViolations: [expect.objectContaining({ field: "type", description: "y" })],
          },
        ],
      },
    ],
    [
      "empty fields of a detail",
      new ConnectError("x", Code.Aborted, undefined, [{ desc: ErrorDetailSchema, value: {} }]),
      409,
      {
        code: 10,
        message: "x",
        details: [{ "@type": "type.googleapis.com/zitadel.v1.ErrorDetail", id: "", message: "" }],
      },
    ],
    [
      "a text that is not ASCII",
      new ConnectError("münchen 🔑", Code.NotFound),
      404,
      { code: 5, message: "münchen 🔑", details: [] },
    ],
    ["a bug, without its text", new Error("secret"), 500, { code: 13, message: "internal error", details: [] }],
    ["what is no error", "secret", 500, { code: 13, message: "internal error", details: [] }],
    [
      "a refusal of HTTP, with its own status",
      new HttpRefusalError({ error: new ConnectError("too large", Code.ResourceExhausted), status: 413 }),
      413,
      { code: 8, message: "too large", details: [] },
    ],
  ])("answers %s", async (_, reason, status, wanted) => {
    const found = await sent(reason);
    expect(found.status).toBe(status);
    expect(JSON.parse(found.body)).toEqual(wanted);
  });

  it("keeps the bytes of a detail that came encoded", async () => {
    const error = new ConnectError("x", Code.NotFound);
    const value = toBinary(ErrorDetailSchema, create(ErrorDetailSchema, detail));
    error.details.push({ type: "unknown.Type", value });
    expect(JSON.parse((await sent(error)).body).details).toEqual([
      { "@type": "type.googleapis.com/unknown.Type", value: Buffer.from(value).toString("base64") },
    ]);
  });

  it("reads a detail that came encoded, where its type is known", async () => {
    const error = new ConnectError("x", Code.NotFound);
    error.details.push({
      type: ErrorDetailSchema.typeName,
      value: toBinary(ErrorDetailSchema, create(ErrorDetailSchema, detail)),
    });
    const malformed = Uint8Array.of(0);
    error.details.push({ type: ErrorDetailSchema.typeName, value: malformed });
    expect(JSON.parse((await sent(error)).body).details).toEqual([
      { "@type": "type.googleapis.com/zitadel.v1.ErrorDetail", ...detail },
      { "@type": "type.googleapis.com/zitadel.v1.ErrorDetail", value: Buffer.from(malformed).toString("base64") },
    ]);
  });

  it("puts a detail whose JSON is no object of fields beside its type", async () => {
    const error = new ConnectError("x", Code.NotFound, undefined, [
      { desc: DurationSchema, value: { seconds: 1n } },
      { desc: StructSchema, value: { fields: { "@type": { kind: { case: "stringValue", value: "a" } } } } },
    ]);
    expect(JSON.parse((await sent(error)).body).details).toEqual([
      { "@type": "type.googleapis.com/google.protobuf.Duration", value: "1s" },
      { "@type": "type.googleapis.com/google.protobuf.Struct", value: { "@type": "a" } },
    ]);
  });

  it("keeps the bytes of a detail that cannot be told as JSON", async () => {
    const init = { code: 3, details: [{ typeUrl: "type.googleapis.com/a.B", value: Uint8Array.of(1) }] };
    const error = new ConnectError("x", Code.NotFound, undefined, [{ desc: StatusSchema, value: init }]);
    const value = Buffer.from(toBinary(StatusSchema, create(StatusSchema, init))).toString("base64");
    const { status, body } = await sent(error);
    expect([status, JSON.parse(body).details]).toEqual([
      404,
      [{ "@type": "type.googleapis.com/google.rpc.Status", value }],
    ]);
  });

  it("challenges whom it does not know, and nobody else", async () => {
    const challenge = async (code: Code) => {
      const { status, header } = await sent(new ConnectError("x", code));
      return [status, header.get("www-authenticate")];
    };
    expect(await challenge(Code.Unauthenticated)).toEqual([401, "Bearer"]);
    expect(await challenge(Code.PermissionDenied)).toEqual([403, null]);
  });

  it.each([
    [{ seconds: 3n }, "3"],
    // Whole seconds, and none too early.
    [{ seconds: 3n, nanos: 1 }, "4"],
    [{ nanos: 1 }, "1"],
    [{}, "0"],
  ])("tells clients that know HTTP alone when to come back: %o", async (retryDelay, seconds) => {
    const error = new ConnectError("x", Code.Unavailable, undefined, [
      { desc: ErrorDetailSchema, value: detail },
      { desc: RetryInfoSchema, value: { retryDelay } },
    ]);
    const { status, header } = await sent(error);
    expect([status, header.get("retry-after")]).toEqual([503, seconds]);
  });

  it("names no time to come back where the error names none", async () => {
    const error = new ConnectError("x", Code.Unavailable, undefined, [{ desc: RetryInfoSchema, value: {} }]);
    expect((await sent(error)).header.get("retry-after")).toBeNull();
  });

  it("answers HEAD with the headers alone", async () => {
    const error = new ConnectError("Not Found", Code.NotFound);
    const get = await sent(error);
    const head = await sent(error, { isHead: true });
    expect([head.status, head.body]).toEqual([404, ""]);
    expect(head.header.get("content-length")).toBe(String(get.body.length));
    expect(head.header.get("content-type")).toBe("application/json");
  });

  it("sends the headers that were set before, unless the error or the refusal says otherwise", async () => {
    const error = new ConnectError("x", Code.NotFound, { "x-both": "error" });
    const { header } = await sent(error, {
      header: { "x-before": "1", "x-both": "before", "cache-control": "public" },
    });
    expect([header.get("x-before"), header.get("x-both"), header.get("cache-control")]).toEqual([
      "1",
      "error",
      "no-store",
    ]);
  });

  it("passes on no header of an error from elsewhere that is about another connection or protocol", async () => {
    const error = new ConnectError("x", Code.NotFound, {
      "content-encoding": "gzip",
      "content-length": "1",
      "transfer-encoding": "chunked",
      connection: "close",
      "grpc-status": "5",
      "x-own": "1",
    });
    error.metadata.append("set-cookie", "a=1");
    error.metadata.append("set-cookie", "b=2");
    const { status, header, body } = await sent(error);
    expect([status, JSON.parse(body)]).toEqual([404, { code: 5, message: "x", details: [] }]);
    expect(["content-encoding", "transfer-encoding", "grpc-status"].map((name) => header.get(name))).toEqual([
      null,
      null,
      null,
    ]);
    expect([header.get("x-own"), header.get("content-length"), header.getSetCookie()]).toEqual([
      "1",
      String(body.length),
      ["a=1", "b=2"],
    ]);
  });

  it("sends the headers of a refusal and of an error, but its own content type", async () => {
    const refused = new HttpRefusalError({
      error: new ConnectError("x", Code.Unimplemented, { "x-more": "1", "content-type": "text/html" }),
      status: 405,
      header: { allow: "GET, POST" },
    });
    const { status, header } = await sent(refused);
    expect([status, header.get("allow"), header.get("x-more"), header.get("content-type")]).toEqual([
      405,
      "GET, POST",
      "1",
      "application/json",
    ]);
  });

  it("leaves an answer alone that has begun", async () => {
    const { status, body } = await sent(new Error("late"), {
      before: (response) => response.writeHead(200).write("begun"),
    });
    expect([status, body]).toEqual([200, "begun"]);
  });
});
