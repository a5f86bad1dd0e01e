import { readFileSync } from "node:fs";
import { type RequestOptions, request as requestHttp } from "node:http";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { request as requestHttps } from "node:https";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "../fixtures/server.ts";

// The examples of the published API documents, as written there, on Node alone and in the order in which they build on
// each other: one fresh server, first over plaintext, then over TLS.

const tlsFile = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url)), "utf8");
const tls = { cert: tlsFile("localhost.cert.pem"), key: tlsFile("localhost.key.pem") };

const second = "/management/v1/policies/login/second_factors";
const multi = "/admin/v1/policies/login/multi_factors";
const json = { "content-type": "application/json", accept: "application/json" };
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
const digits = expect.stringMatching(/^\d+$/);
const written = {
  details: { sequence: digits, creationDate: time, changeDate: time, resourceOwner: expect.stringMatching(/./) },
};
const errorDetail = (id: string) => ({
  "@type": "type.googleapis.com/zitadel.v1.ErrorDetail",
  id,
  message: expect.any(String),
});
const otp = { type: "SECOND_FACTOR_TYPE_OTP" };
const verified = { type: "MULTI_FACTOR_TYPE_U2F_WITH_VERIFICATION" };

interface Sent {
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

describe.each(["plaintext", "TLS"])("the published examples over %s", (wire) => {
  let server: TestServer;
  let ownerToken: string;
  beforeAll(async () => {
    server = await startTestServer(wire === "TLS" ? { tls } : {});
    ownerToken = await server.createCaller("ORG_OWNER");
  });
  afterAll(() => server.close());

  const asAdmin = () => ({ authorization: `Bearer ${server.adminToken}` });
  const asOwner = () => ({ authorization: `Bearer ${ownerToken}` });

  /** One request over HTTP/1.1. */
  function send(
    verb: string,
    path: string,
    { headers = {}, body }: Sent = {},
  ): Promise<{ status: number; body: Buffer }> {
    const options: RequestOptions = { method: verb, headers, ...(wire === "TLS" && { ca: tls.cert }) };
    const payload = body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = (wire === "TLS" ? requestHttps : requestHttp)(server.url + path, options, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      });
      sent.on("error", reject);
      sent.end(payload);
    });
  }

  async function sendJson(verb: string, path: string, sent?: Sent): Promise<{ status: number; body: unknown }> {
    const { status, body } = await send(verb, path, sent);
    return { status, body: JSON.parse(body.toString()) };
  }

  /** The grpc-status of a gRPC call over HTTP/2. */
  async function callGrpc(path: string, message: Buffer): Promise<string> {
    const session: ClientHttp2Session = connect(server.url, wire === "TLS" ? { ca: tls.cert } : {});
    try {
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: path,
        "content-type": "application/grpc",
        te: "trailers",
        ...asAdmin(),
      });
      stream.end(message);
      return await new Promise((resolve, reject) => {
        let status = "none";
        const look = (headers: { "grpc-status"?: unknown }) => {
          if (headers["grpc-status"] !== undefined) status = String(headers["grpc-status"]);
        };
        stream
          .on("response", look)
          .on("trailers", look)
          .on("error", reject)
          .on("end", () => resolve(status))
          .resume();
      });
    } finally {
      session.close();
    }
  }

  async function callGrpcWeb(path: string, message: Buffer): Promise<string | undefined> {
    const headers = { "content-type": "application/grpc-web+proto", ...asAdmin() };
    const { body } = await send("POST", path, { headers, body: message });
    return /grpc-status: *(\d+)/.exec(body.toString("latin1"))?.[1];
  }

  it("lists second factors without a body or content type", async () => {
    const answer = await sendJson("POST", `${second}/_search`, {
      headers: { accept: "application/json", ...asAdmin() },
    });
    expect(answer).toEqual({
      status: 200,
      body: {
        details: { totalResult: "2", processedSequence: digits, viewTimestamp: time },
        result: ["SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_U2F"],
      },
    });
  });

  it("adds a second factor", async () => {
    expect(await sendJson("POST", second, { headers: { ...json, ...asAdmin() }, body: otp })).toEqual({
      status: 200,
      body: written,
    });
  });

  it("refuses to add it again", async () => {
    expect(await sendJson("POST", second, { headers: { ...json, ...asAdmin() }, body: otp })).toEqual({
      status: 409,
      body: { code: 6, message: expect.any(String), details: [errorDetail("Org-2B0ps")] },
    });
  });

  it("adds a factor that was not inherited, and lists it last", async () => {
    const body = { type: "SECOND_FACTOR_TYPE_OTP_EMAIL" };
    expect(await sendJson("POST", second, { headers: { ...json, ...asAdmin() }, body })).toMatchObject({ status: 200 });
    expect(await sendJson("POST", `${second}/_search`, { headers: asAdmin() })).toMatchObject({
      status: 200,
      body: {
        details: { totalResult: "3" },
        result: ["SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_U2F", "SECOND_FACTOR_TYPE_OTP_EMAIL"],
      },
    });
  });

  it.each(["SECOND_FACTOR_TYPE_UNSPECIFIED", "NO_SUCH_FACTOR"])("refuses the type %s", async (type) => {
    expect(await sendJson("POST", second, { headers: { ...json, ...asAdmin() }, body: { type } })).toMatchObject({
      status: 400,
      body: { code: 3 },
    });
  });

  it("refuses a multi-factor that the instance has, removes it, and adds it", async () => {
    const headers = { ...json, ...asAdmin() };
    expect(await sendJson("POST", multi, { headers, body: verified })).toMatchObject({
      status: 409,
      body: { code: 6 },
    });
    const removed = { status: 200, body: { details: { changeDate: time } } };
    expect(await sendJson("DELETE", `${multi}/${verified.type}`, { headers: asAdmin() })).toMatchObject(removed);
    expect(await sendJson("DELETE", `${multi}/${verified.type}`, { headers: asAdmin() })).toMatchObject({
      status: 404,
      body: { code: 5 },
    });
    expect(await sendJson("POST", multi, { headers, body: verified })).toEqual({ status: 200, body: written });
  });

  it("refuses an invalid multi-factor type", async () => {
    const body = { type: "MULTI_FACTOR_TYPE_UNSPECIFIED" };
    expect(await sendJson("POST", multi, { headers: { ...json, ...asAdmin() }, body })).toMatchObject({
      status: 400,
      body: { code: 3 },
    });
  });

  it("takes gRPC and gRPC-Web framing on the REST routes", async () => {
    expect(await callGrpc(`${second}/_search`, Buffer.from("0000000000", "hex"))).toBe("0");
    expect(await callGrpcWeb(`${second}/_search`, Buffer.from("0000000000", "hex"))).toBe("0");
    expect(await callGrpc(second, Buffer.from("00000000020804", "hex"))).toBe("0");
    await send("DELETE", `${multi}/1`, { headers: asAdmin() });
    expect(await callGrpcWeb(multi, Buffer.from("00000000020801", "hex"))).toBe("0");
  });

  it("lists nothing as an empty list", async () => {
    for (const factor of ["OTP", "U2F", "OTP_EMAIL", "OTP_SMS"]) {
      await send("DELETE", `${second}/SECOND_FACTOR_TYPE_${factor}`, { headers: asAdmin() });
    }
    expect(await sendJson("POST", `${second}/_search`, { headers: asAdmin() })).toMatchObject({
      status: 200,
      body: { result: [], details: { totalResult: "0" } },
    });
  });

  it("lets an organization owner change only the own organization", async () => {
    expect(await sendJson("POST", multi, { headers: { ...json, ...asOwner() }, body: verified })).toMatchObject({
      status: 403,
      body: { code: 7 },
    });
    const elsewhere = { ...json, ...asOwner(), "x-zitadel-orgid": "404404404404404404" };
    expect(await sendJson("POST", `${second}/_search`, { headers: elsewhere })).toMatchObject({
      status: 403,
      body: { code: 7, details: [errorDetail("AUTH-5mWD2")] },
    });
    const body = { type: "SECOND_FACTOR_TYPE_U2F" };
    expect(await sendJson("POST", second, { headers: { ...json, ...asOwner() }, body })).toEqual({
      status: 200,
      body: written,
    });
  });

  it("refuses a call without a token, with a bad one, and for an organization that does not exist", async () => {
    expect(await sendJson("POST", `${second}/_search`)).toEqual({
      status: 401,
      body: { code: 16, message: "auth header missing", details: [] },
    });
    expect(
      await sendJson("POST", `${second}/_search`, { headers: { authorization: "Bearer nonsense" } }),
    ).toMatchObject({
      status: 401,
      body: { code: 16, details: [errorDetail("AUTH-7fs1e")] },
    });
    const nowhere = { ...json, ...asAdmin(), "x-zitadel-orgid": "404404404404404404" };
    expect(await sendJson("POST", `${second}/_search`, { headers: nowhere })).toMatchObject({
      status: 403,
      body: { code: 7, details: [errorDetail("AUTH-Bs7Ds")] },
    });
  });

  it("answers an unknown route and a wrong verb", async () => {
    const headers = { ...json, ...asAdmin() };
    const unknown = "/management/v1/policies/login/third_factors";
    expect(await sendJson("POST", unknown, { headers, body: {} })).toMatchObject({ status: 404, body: { code: 5 } });
    expect(await sendJson("PATCH", second, { headers, body: {} })).toMatchObject({ status: 405, body: { code: 12 } });
  });
});
