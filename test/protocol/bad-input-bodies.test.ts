import { once } from "node:events";
import { constants } from "node:http2";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import {
  expectConnectError,
  expectNoInternals,
  expectStatus,
  factorsPath,
  policyPath,
  rpcPath,
  sturdyServer,
} from "../fixtures/sturdy.ts";
import { frame, outcomeOf } from "../fixtures/wire.ts";
import { bodyOf, rawClient, session2 } from "./listener-clients.ts";

const sturdy = sturdyServer();
afterEach(() => sturdy.send({ method: "DELETE", path: policyPath }));

const json = { "content-type": "application/json" };
const limit = 64 * 1024;
/** A good body of that many bytes. */
const bodyOfSize = (size: number): Buffer => Buffer.from(`{"allowRegister":true${" ".repeat(size - 22)}}`);
const cut = (body: Buffer): Buffer[] => [body.subarray(0, 30_000), body.subarray(30_000)];

const versions = [{ version: 1 }, { version: 2 }] as const;
const lengths = [{ length: "declared" }, { length: "not declared" }] as const;
const both = versions.flatMap((version) => lengths.map((length) => ({ ...version, ...length })));

describe.each(both)("a body whose length is $length, over HTTP/$version", ({ version, length }) => {
  const send = (path: string, body: Buffer) =>
    sturdy.send({
      version,
      path,
      headers: { ...json, ...(length === "declared" && { "content-length": String(body.length) }) },
      body: length === "declared" ? body : cut(body),
    });

  it("is read at 64 KiB", async () => {
    expect(bodyOfSize(limit)).toHaveLength(limit);
    for (const path of [policyPath, rpcPath("AddCustomLoginPolicy")]) {
      const reply = await send(path, bodyOfSize(limit));
      expect(reply.status, reply.body.toString()).toBe(200);
      await sturdy.send({ method: "DELETE", path: policyPath });
    }
  });

  it("is refused a byte above: 413 on REST", async () => {
    expectStatus(await send(policyPath, bodyOfSize(limit + 1)), { http: 413, code: 8 });
  });

  it("is refused a byte above: 429 on Connect", async () => {
    const reply = await send(rpcPath("AddCustomLoginPolicy"), bodyOfSize(limit + 1));
    expectConnectError(reply, { http: 429, code: "resource_exhausted" });
  });
});

/** Requests whose body never ends, and what is answered all the same. The connection is HTTP/1.1. */
const unfinished: readonly {
  name: string;
  path: string;
  head: string;
  auth?: "none" | "viewer";
  body: string;
  want: RegExp;
}[] = [
  {
    name: "REST, by Content-Length alone",
    path: policyPath,
    head: "Content-Type: application/json\r\nContent-Length: 65537",
    body: "",
    want: /^HTTP\/1\.1 413 [\s\S]*"code":8/,
  },
  {
    name: "REST, by what came so far",
    path: policyPath,
    head: "Content-Type: application/json\r\nTransfer-Encoding: chunked",
    body: chunk(" ".repeat(limit + 1)),
    want: /^HTTP\/1\.1 413 [\s\S]*"code":8/,
  },
  {
    name: "Connect, by Content-Length alone",
    path: rpcPath("AddCustomLoginPolicy"),
    head: "Content-Type: application/json\r\nContent-Length: 65537",
    body: "",
    want: /^HTTP\/1\.1 429 [\s\S]*"resource_exhausted"/,
  },
  {
    name: "Connect, by what came so far",
    path: rpcPath("AddCustomLoginPolicy"),
    head: "Content-Type: application/json\r\nTransfer-Encoding: chunked",
    body: chunk(" ".repeat(limit + 1)),
    want: /^HTTP\/1\.1 429 [\s\S]*"resource_exhausted"/,
  },
  {
    name: "gRPC-Web, by the frame's length",
    path: rpcPath("AddCustomLoginPolicy"),
    head: "Content-Type: application/grpc-web+proto\r\nContent-Length: 100000",
    body: frame(Buffer.alloc(0), 0, 99_995).toString("latin1"),
    want: /^HTTP\/1\.1 200 [\s\S]*grpc-status: 8/,
  },
  {
    name: "REST with another content type",
    path: policyPath,
    head: "Content-Type: text/plain\r\nContent-Length: 65537",
    body: "",
    want: /^HTTP\/1\.1 41[35] /,
  },
  {
    name: "REST without a token",
    path: policyPath,
    head: "Content-Type: application/json\r\nContent-Length: 50000",
    auth: "none",
    body: "{",
    want: /^HTTP\/1\.1 401 [\s\S]*"code":16/,
  },
  {
    name: "Connect without a token",
    path: rpcPath("AddCustomLoginPolicy"),
    head: "Content-Type: application/json\r\nContent-Length: 50000",
    auth: "none",
    body: "{",
    want: /^HTTP\/1\.1 401 [\s\S]*"unauthenticated"/,
  },
  {
    name: "gRPC-Web without a token",
    path: rpcPath("AddCustomLoginPolicy"),
    head: "Content-Type: application/grpc-web+proto\r\nContent-Length: 50000",
    auth: "none",
    body: "{",
    want: /^HTTP\/1\.1 200 [\s\S]*grpc-status: 16/,
  },
  {
    name: "REST without the permission, of any size",
    path: policyPath,
    head: "Content-Type: application/json\r\nContent-Length: 5000000000",
    auth: "viewer",
    body: "{",
    want: /^HTTP\/1\.1 403 [\s\S]*AUTH-5mWD2/,
  },
  {
    name: "Connect without the permission, of any size",
    path: rpcPath("AddCustomLoginPolicy"),
    head: "Content-Type: application/json\r\nContent-Length: 5000000000",
    auth: "viewer",
    body: "{",
    want: /^HTTP\/1\.1 403 [\s\S]*AUTH-5mWD2/,
  },
  {
    name: "an unknown route",
    path: "/nope",
    head: "Content-Type: application/json\r\nContent-Length: 5000000000",
    body: "{",
    want: /^HTTP\/1\.1 404 [\s\S]*"code":5/,
  },
];

describe("a body that does not end is answered before it does", () => {
  it.each(unfinished)(
    "$name",
    async ({ path, head, auth, body, want }) => {
      const token = auth === "viewer" ? await sturdy.server.createCaller("ORG_OWNER_VIEWER") : sturdy.server.adminToken;
      const authorization = auth === "none" ? "" : `Authorization: Bearer ${token}\r\n`;
      const client = await rawClient(
        sturdy.server,
        `POST ${path} HTTP/1.1\r\nHost: h\r\n${authorization}${head}\r\n\r\n`,
      );
      client.socket.write(Buffer.from(body, "latin1"));
      await client.until(want);
    },
    5_000,
  );

  it.each([
    { name: "REST", path: policyPath, type: "application/json", body: Buffer.alloc(limit + 1, 0x20) },
    {
      name: "Connect",
      path: rpcPath("AddCustomLoginPolicy"),
      type: "application/json",
      body: Buffer.alloc(limit + 1, 0x20),
    },
    {
      name: "gRPC",
      path: rpcPath("AddCustomLoginPolicy"),
      type: "application/grpc",
      body: frame(Buffer.alloc(100_000), 0, 99_995),
    },
  ])(
    "$name over HTTP/2, and the stream is closed so that the client stops sending",
    async ({ path, type, body }) => {
      const session = session2(sturdy.server);
      const stream = session.request(
        { ":method": "POST", ":path": path, "content-type": type, ...sturdy.auth },
        { endStream: false },
      );
      stream.on("error", () => {});
      stream.write(body);
      stream.resume();
      await once(stream, "end");
      // The client's own side is still open: nothing but a reset closes the stream.
      if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
      expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    },
    5_000,
  );
});

describe("a body that stops short", () => {
  const paths = [
    { name: "REST", path: policyPath, type: "application/json" },
    { name: "Connect", path: rpcPath("AddCustomLoginPolicy"), type: "application/json" },
    { name: "gRPC-Web", path: rpcPath("AddCustomLoginPolicy"), type: "application/grpc-web+proto" },
  ];
  it.each(paths)("$name: 400 where the client still listens", async ({ path, type }) => {
    const head = `POST ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${sturdy.server.adminToken}\r\n`;
    const client = await rawClient(sturdy.server, `${head}Content-Type: ${type}\r\nContent-Length: 50\r\n\r\n{}`);
    client.socket.end();
    const raw = await client.closed;
    expect(raw).toMatch(/^HTTP\/1\.1 400 /);
    expect(bodyOf(raw)).toEqual({ code: 3, message: "The request is not valid HTTP/1.1.", details: [] });
  });
  it.each(paths)("$name: nothing is done where the client is gone", async ({ path, type }) => {
    const head = `POST ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${sturdy.server.adminToken}\r\n`;
    const client = await rawClient(sturdy.server, `${head}Content-Type: ${type}\r\nContent-Length: 50\r\n\r\n{}`);
    client.reset();
    await client.closed;
    const read = await sturdy.send({ method: "GET", path: policyPath });
    expect(JSON.parse(read.body.toString())).toMatchObject({ isDefault: true });
  });
  it.each([
    ["a length that is no number", "Content-Length: x"],
    ["a negative length", "Content-Length: -1"],
    ["two lengths", "Content-Length: 2\r\nContent-Length: 3"],
    ["a length and chunks", "Content-Length: 2\r\nTransfer-Encoding: chunked"],
    ["a chunk size that is no number", "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"],
  ])("%s is 400", async (_, head) => {
    const client = await rawClient(
      sturdy.server,
      `POST ${policyPath} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${sturdy.server.adminToken}\r\nContent-Type: application/json\r\n${head}\r\n\r\n{}`,
    );
    const raw = await client.closed;
    expect(raw).toMatch(/^HTTP\/1\.1 400 /);
    expect(bodyOf(raw)).toMatchObject({ code: 3, details: [] });
  });
  it("a body longer than its length is the next request, which is none", async () => {
    const client = await rawClient(
      sturdy.server,
      `POST ${policyPath} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${sturdy.server.adminToken}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}xx\r\n\r\n`,
    );
    expect(await client.closed).not.toMatch(/HTTP\/1\.1 200 OK[\s\S]*HTTP\/1\.1 200 OK/);
  });
});

describe.each(versions)("a compressed body, over HTTP/$version", ({ version }) => {
  const bomb = gzipSync(Buffer.alloc(10 << 20, 0x20));
  const compressions = [
    { encoding: "gzip", compress: gzipSync },
    { encoding: "GZip", compress: gzipSync },
    { encoding: "br", compress: brotliCompressSync },
    { encoding: "deflate", compress: deflateSync },
  ] as const;
  const sendCompressed = (encoding: string, body: Uint8Array) =>
    sturdy.send({ version, path: policyPath, headers: { ...json, "content-encoding": encoding }, body });

  it.each(compressions)("is read on REST, up to 64 KiB after decompression: $encoding", async (compression) => {
    const { encoding, compress } = compression;
    expect((await sendCompressed(encoding, compress(bodyOfSize(limit)))).status).toBe(200);
    const read = await sturdy.send({ method: "GET", path: policyPath });
    expect(JSON.parse(read.body.toString())).toMatchObject({ policy: { allowRegister: true, isDefault: false } });
    await sturdy.send({ method: "DELETE", path: policyPath });
    expectStatus(await sendCompressed(encoding, compress(bodyOfSize(limit + 1))), { http: 413, code: 8 });
    expectStatus(await sendCompressed(encoding, compress(Buffer.alloc(10 << 20, 0x20))), { http: 413, code: 8 });
  });
  it.each(compressions)("that is cut, or none, is 400 on REST: $encoding", async ({ encoding, compress }) => {
    const cutShort = compress(bodyOfSize(1_000)).subarray(0, 15);
    for (const body of [cutShort, Buffer.from("{}"), Buffer.alloc(100, 0xff)]) {
      const message = expectStatus(await sendCompressed(encoding, body), { http: 400, code: 3 });
      expect(message).toBe(`the request body is not valid ${encoding.toLowerCase()}`);
    }
  });
  it("in the raw form of deflate, which HTTP does not mean, is 400 on REST", async () => {
    expectStatus(await sendCompressed("deflate", deflateRawSync("{}")), { http: 400, code: 3 });
  });
  it("is as large as it came, too, on REST", async () => {
    // Noise, which no compression makes smaller.
    const noise = Buffer.from(Array.from({ length: limit + 1 }, (_, i) => (i * 2_654_435_761) >>> 24));
    expectStatus(await sendCompressed("gzip", noise), { http: 413, code: 8 });
  });
  it.each(["nope", "gzip, gzip", "gzip, br", "compress", "identity, gzip", "*", ""])(
    "in an encoding that nobody reads is refused on REST: %j",
    async (encoding) => {
      const reply = await sendCompressed(encoding, gzipSync("{}"));
      expectStatus(reply, { http: 415, code: 3 });
      expect(reply.headers["accept-encoding"]).toBe("gzip, br, deflate");
    },
  );
  it("is taken as identity", async () => {
    const headers = { ...json, "content-encoding": "identity" };
    expect((await sturdy.send({ version, path: policyPath, headers, body: "{}" })).status).toBe(200);
  });
  it("is read on Connect, up to 64 KiB after decompression", async () => {
    const send = (body: Buffer) =>
      sturdy.send({
        version,
        path: rpcPath("AddCustomLoginPolicy"),
        headers: { ...json, "content-encoding": "gzip" },
        body,
      });
    expect((await send(gzipSync(bodyOfSize(limit)))).status).toBe(200);
    await sturdy.send({ method: "DELETE", path: policyPath });
    expectConnectError(await send(gzipSync(bodyOfSize(limit + 1))), { http: 429, code: "resource_exhausted" });
    expectConnectError(await send(bomb), { http: 429, code: "resource_exhausted" });
    expectConnectError(await send(gzipSync(bodyOfSize(1_000)).subarray(0, 15)), {
      http: 400,
      code: "invalid_argument",
    });
  });
});

describe.each(versions)("a body where none is read, over HTTP/$version", ({ version }) => {
  const junk = { "content-type": "text/plain", "content-encoding": "nope" };
  it.each([
    { method: "POST", path: `${factorsPath}/_search`, status: 200 },
    { method: "POST", path: `${policyPath}/auth_factors/_search`, status: 200 },
    { method: "GET", path: policyPath, status: 200 },
    { method: "DELETE", path: policyPath, status: 404 },
    { method: "DELETE", path: `${factorsPath}/SECOND_FACTOR_TYPE_OTP`, status: 200 },
  ])("$method $path ignores it, whatever its type and size", async ({ method, path, status }) => {
    const reply = await sturdy.send({
      version,
      method,
      path,
      headers: { ...junk, "content-length": "200000" },
      body: Buffer.alloc(200_000, 0x7b),
    });
    expect(reply.status).toBe(status);
    expectNoInternals(reply);
  });
});

describe.each(versions)("what is wrong first is told first, over HTTP/$version", ({ version }) => {
  const noToken = { authorization: "Bearer unknown" };
  it.each([
    { name: "REST", path: policyPath, type: "application/json" },
    { name: "Connect JSON", path: rpcPath("AddCustomLoginPolicy"), type: "application/json" },
    { name: "Connect proto", path: rpcPath("AddCustomLoginPolicy"), type: "application/proto" },
    { name: "gRPC-Web", path: rpcPath("AddCustomLoginPolicy"), type: "application/grpc-web+proto" },
    { name: "gRPC-Web text", path: rpcPath("AddCustomLoginPolicy"), type: "application/grpc-web-text" },
    { name: "gRPC-Web on a REST route", path: policyPath, type: "application/grpc-web+proto" },
    ...(version === 2 ? [{ name: "gRPC", path: rpcPath("AddCustomLoginPolicy"), type: "application/grpc" }] : []),
    ...(version === 2 ? [{ name: "gRPC on a REST route", path: policyPath, type: "application/grpc" }] : []),
  ])("$name: the token, then the permission, then the body", async ({ path, type }) => {
    const send = async (headers: Record<string, string>, body: string | Uint8Array) => {
      const reply = await sturdy.send({ version, path, headers: { "content-type": type, ...headers }, body });
      return outcomeOf(reply).code;
    };
    const viewer = { authorization: `Bearer ${await sturdy.server.createCaller("ORG_OWNER_VIEWER")}` };
    const bodies = ["\xff{", Buffer.alloc(limit + 100, 0xff)];
    for (const body of bodies) {
      expect(await send(noToken, body)).toBe(16);
      expect(await send(viewer, body)).toBe(7);
    }
    expect(await send({}, "\xff{")).toSatisfy((code: number) => [3, 8, 12].includes(code));
    expect(
      await send({ ...viewer, "content-encoding": "nope", "grpc-encoding": "nope", "grpc-timeout": "x" }, ""),
    ).toBe(7);
  });
});

function chunk(content: string): string {
  return `${content.length.toString(16)}\r\n${content}\r\n`;
}
