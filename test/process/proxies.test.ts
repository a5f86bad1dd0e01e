// The proxies of examples/ before the server: what is over a limit, of theirs or of the server's, and what they answer themselves,
// has the form of the caller's protocol.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type OutgoingHttpHeaders } from "node:http2";
import { request } from "node:https";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { headersFrame } from "../fixtures/http2-frames.ts";
import { isInstalled, type RunningProxy, startHaproxy, startNginx } from "../fixtures/proxies.ts";
import { isLeftOut } from "../interop/left-out.ts";
import { frameClient } from "../protocol/listener-clients.ts";
import { type ServerProcess, startServer, TemporaryDirectory } from "./portcullis.ts";

const ca = readFileSync(new URL("../fixtures/tls/localhost.cert.pem", import.meta.url));
const factors = "/management/v1/policies/login/second_factors";
const policy = "/management/v1/policies/login";
const rpc = "/zitadel.management.v1.ManagementService/AddSecondFactorToLoginPolicy";
const json = { "content-type": "application/json" };
const framed = (bytes: number) =>
  Buffer.concat([Buffer.of(0, 0, bytes >> 16, (bytes >> 8) & 255, bytes & 255), Buffer.alloc(bytes)]);

interface Reply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

interface Call {
  readonly method?: string;
  readonly path: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
}

async function over1(port: number, { method = "POST", path, headers, body }: Call): Promise<Reply> {
  const sent = request({ host: "localhost", port, method, path, headers, ca, agent: false });
  const answered = once(sent, "response");
  sent.on("error", () => {});
  sent.end(body);
  const [response] = await answered;
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, body: text };
}

async function over2(port: number, { method = "POST", path, headers, body }: Call): Promise<Reply> {
  const session = connect(`https://localhost:${port}`, { ca, maxSendHeaderBlockLength: 500_000 });
  session.on("error", () => {});
  try {
    const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: body === undefined });
    const answered = once(stream, "response");
    let trailers = {};
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("error", () => {});
    if (body !== undefined) stream.end(body);
    const [received] = await answered;
    let text = "";
    for await (const chunk of stream) text += chunk;
    return { status: received[":status"], headers: { ...received, ...trailers }, body: text };
  } finally {
    session.destroy();
  }
}

const proxies = [
  { name: "nginx", start: startNginx },
  { name: "haproxy", start: startHaproxy },
] as const;

describe.each(proxies)("$name", ({ name, start }) => {
  const isMissing = isLeftOut(isInstalled(name) ? undefined : `${name} is not on the PATH`);
  const test = it.skipIf(isMissing);
  let directory: TemporaryDirectory;
  let server: ServerProcess;
  let proxy: RunningProxy;
  let authorization: string;
  const grpc = () => ({ authorization, "content-type": "application/grpc", te: "trailers" });
  const rest = (headers: OutgoingHttpHeaders = {}) => ({ authorization, ...json, ...headers });
  const get = (headers: OutgoingHttpHeaders = {}): Call => ({ method: "GET", path: policy, headers: rest(headers) });

  beforeAll(async () => {
    if (isMissing) return;
    directory = new TemporaryDirectory();
    server = await startServer({ data: directory.join("data") });
    authorization = `Bearer ${server.adminToken}`;
    const port = Number(new URL(server.url).port);
    proxy = await start(directory, [port, port]);
    await vi.waitUntil(async () => (await over1(proxy.port, get()).catch(() => undefined))?.status === 200, 30_000);
  });
  afterAll(async () => {
    if (isMissing) return;
    await proxy.stop();
    await server[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  const versions = [
    { version: "HTTP/1.1", over: over1 },
    { version: "HTTP/2", over: over2 },
  ];
  const tooLarge = [
    {
      what: "a body of 100 kB",
      statuses: [413],
      call: () => ({ path: factors, headers: rest(), body: Buffer.alloc(100_000) }),
    },
    {
      what: "a body of 4 MB",
      statuses: [413],
      call: () => ({ path: factors, headers: rest(), body: Buffer.alloc(4_000_000) }),
    },
    { what: "a header of 20 kB", statuses: [431], call: () => get({ "x-large": "a".repeat(20_000) }) },
    { what: "a header of 45 kB", statuses: [400, 431], call: () => get({ "x-large": "a".repeat(45_000) }) },
    { what: "a URL of 20 kB", statuses: [431], call: () => ({ ...get(), path: `${policy}?${"a".repeat(20_000)}` }) },
    {
      what: "a URL of 45 kB",
      statuses: [400, 414, 431],
      call: () => ({ ...get(), path: `${policy}?${"a".repeat(45_000)}` }),
    },
  ];
  describe.each(versions)("$version", ({ over }) => {
    test.each(tooLarge)("$what gets JSON", async ({ call, statuses }) => {
      const { status, headers, body } = await over(proxy.port, call());
      expect(statuses, body).toContain(status);
      expect(headers["content-type"]).toMatch(/^application\/json/);
      expect(JSON.parse(body)).toEqual({ code: expect.any(Number), message: expect.any(String), details: [] });
    });
  });

  test.each([100_000, 4_000_000])("a message of %d bytes gets gRPC's RESOURCE_EXHAUSTED", async (bytes) => {
    const { status, headers } = await over2(proxy.port, { path: rpc, headers: grpc(), body: framed(bytes) });
    expect(status).toBe(200);
    expect(headers["content-type"]).toMatch(/^application\/grpc(\+proto)?$/);
    expect(headers["grpc-status"]).toBe("8");
  });

  test("of gRPC-Web, a message of 4 MB gets it too", async () => {
    const headers = rest({ "content-type": "application/grpc-web+proto" });
    const reply = await over1(proxy.port, { path: rpc, headers, body: framed(4_000_000) });
    expect(reply.status).toBe(200);
    expect(reply.headers["grpc-status"] ?? reply.body).toMatch(/^8$|grpc-status: 8/);
  });

  test.each(["\0", "\r", "\n", "\x01", "\x7f"])("a header with %j in its value is no absent one", async (control) => {
    const client = await frameClient({ url: `https://localhost:${proxy.port}`, port: proxy.port });
    const pseudo = { ":method": "GET", ":path": policy, ":scheme": "https", ":authority": "localhost" };
    client.write(headersFrame(1, { ...pseudo, authorization, "x-zitadel-orgid": `999${control}` }, true));
    const { name: frame, payload } = await client.next("data", "reset", "goaway");
    expect(frame === "data" ? payload.toString() : frame).toMatch(/^(reset|goaway)$|"code":/);
  });

  test("when no node is left, callers are told so in their own form", async () => {
    await server.stop();
    const answered = await vi.waitUntil(async () => {
      const reply = await over1(proxy.port, get());
      return reply.status !== 200 && reply;
    }, 30_000);
    expect([502, 503]).toContain(answered.status);
    expect(JSON.parse(answered.body)).toMatchObject({ code: 14, details: [] });
    const { status, headers } = await over2(proxy.port, { path: rpc, headers: grpc(), body: framed(0) });
    // HAProxy's own answers have one form, and clients of gRPC take 503 for UNAVAILABLE.
    if (name === "nginx") expect({ status, code: headers["grpc-status"] }).toEqual({ status: 200, code: "14" });
    else expect(status).toBe(503);
  });
});
