import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { create, createRegistry, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BadRequestSchema, file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";
import { ErrorDetailSchema, file_zitadel_message } from "../../../gen/zitadel/message_pb.ts";
import { HttpRefusalError, sendStatus } from "../../../src/rpc/rest/status.ts";

const registry = createRegistry(file_zitadel_message, file_google_rpc_error_details);

let answer: (response: ServerResponse) => void = () => undefined;
const server = createServer((_, response) => answer(response));
beforeAll(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
});
afterAll(() => server.close());

/** What a client sees of a reason, sent by a real server. */
async function sent(reason: unknown, before: (response: ServerResponse) => void = () => undefined) {
  answer = (response) => {
    before(response);
    sendStatus(response, reason, { registry });
    if (!response.writableEnded) response.end();
  };
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
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
    const { status, body } = await sent(new Error("late"), (response) => response.writeHead(200).write("begun"));
    expect([status, body]).toEqual([200, "begun"]);
  });
});
