// A client that goes away is no failure of the server: nothing is reported, whatever it asked for and however far it had come.
import { setImmediate as turn } from "node:timers/promises";
import { expect, it, vi } from "vitest";
import { dataFrame, headersFrame, pingFrame, resetFrame } from "../fixtures/http2-frames.ts";
import { paths, startTestServer, type TestServer } from "../fixtures/server.ts";
import { frameClient, rawClient, tls } from "./listener-clients.ts";

const rpcs = [
  "/grpc.health.v1.Health/Watch",
  "/grpc.health.v1.Health/Check",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/zitadel.management.v1.ManagementService/GetLoginPolicy",
  "/management/v1/policies/login/second_factors/_search",
];
const types = [
  "application/grpc",
  "application/grpc+json",
  "application/grpc-web+proto",
  "application/grpc-web-text",
  "application/connect+proto",
  "application/connect+json",
  "application/proto",
  "application/json",
];
const others = ["/oauth/v2/token", "/oauth/v2/introspect", "/oidc/v1/userinfo", "/nowhere"];
const documents = [
  "/openapi.json",
  "/openapi.yaml",
  "/debug/metrics",
  "/debug/ready",
  "/management/v1/policies/login",
  "/.well-known/openid-configuration",
  "/oauth/v2/authorize?client_id=nobody",
  "/oauth/v2/keys",
];

interface Request {
  readonly path: string;
  /** Absent: GET. */
  readonly type?: string;
}

const requests: readonly Request[] = [
  ...rpcs.flatMap((path) => types.map((type) => ({ path, type }))),
  ...others.map((path) => ({ path, type: "application/x-www-form-urlencoded" })),
  ...documents.map((path) => ({ path })),
];

/** A whole message of the type, in the framing of its protocol; for reflection, a question. */
function messageOf({ path, type = "" }: Request): Buffer {
  const isQuestion = path.includes("Reflection");
  const json = Buffer.from(isQuestion ? '{"listServices":""}' : "{}");
  const message = type.includes("json") ? json : Buffer.from(isQuestion ? [0x3a, 0] : []);
  if (/^application\/(proto|json|x-www)/.test(type)) return message;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const whole = Buffer.concat([head, message]);
  return type.includes("text") ? Buffer.from(whole.toString("base64")) : whole;
}

/** How far a client comes with its request. */
const extents = ["headers", "half a message", "a message", "a request"] as const;
type Extent = (typeof extents)[number];

/** How much of the body is sent; undefined where a request has none. */
function bodyOf(request: Request, extent: Extent): Buffer | undefined {
  if (request.type === undefined) return undefined;
  const message = messageOf(request);
  if (extent === "headers") return Buffer.alloc(0);
  return extent === "half a message" ? message.subarray(0, 3) : message;
}

/** Each leaves at once, or when the server has certainly begun; what it sent may be unread, where it has no token. */
const patiences = ["at once", "at once, without a token", "later"] as const;

const http2Ends = {
  "a reset of the stream": (client: Client2) => client.write(resetFrame(1, 8)),
  "a reset with a code of its own": (client: Client2) => client.write(resetFrame(1, 2)),
  "a reset without an error": (client: Client2) => client.write(resetFrame(1, 0)),
  "the end of the connection": (client: Client2) => client.socket.end(),
  // Node resets none that has TLS.
  "a reset of the connection": ({ socket }: Client2) =>
    "encrypted" in socket ? socket.destroy() : socket.resetAndDestroy(),
};
type Client2 = Awaited<ReturnType<typeof frameClient>>;

async function leave2(server: TestServer, request: Request, extent: Extent): Promise<void> {
  for (const patience of patiences) {
    for (const end of Object.values(http2Ends)) {
      const client = await frameClient(server);
      const body = bodyOf(request, extent);
      const isEnd = extent === "a request";
      const head = headersFrame(
        1,
        {
          ":method": request.type === undefined ? "GET" : "POST",
          ":path": request.path,
          ":scheme": "http",
          ":authority": "localhost",
          ...(patience !== "at once, without a token" && { authorization: `Bearer ${server.adminToken}` }),
          ...(request.type && { "content-type": request.type }),
        },
        body === undefined,
      );
      client.write(body === undefined ? head : Buffer.concat([head, dataFrame(1, body, isEnd)]));
      if (patience === "later") {
        client.write(pingFrame());
        await client.next("ping").catch(() => {});
      }
      end(client);
      client.socket.end();
      await client.closed;
    }
  }
}

const http1Ends = {
  "the end of the connection": (client: Client1) => client.socket.end(),
  "a reset of the connection": (client: Client1) => client.reset(),
};
type Client1 = Awaited<ReturnType<typeof rawClient>>;

async function leave1(server: TestServer, request: Request, extent: Extent): Promise<void> {
  for (const patience of patiences) {
    for (const end of Object.values(http1Ends)) {
      const client = await rawClient(server);
      const body = bodyOf(request, extent);
      const lines = [
        `${body === undefined ? "GET" : "POST"} ${request.path} HTTP/1.1`,
        "host: localhost",
        ...(patience === "at once, without a token" ? [] : [`authorization: Bearer ${server.adminToken}`]),
        ...(request.type ? [`content-type: ${request.type}`] : []),
        ...(body === undefined ? [] : ["transfer-encoding: chunked"]),
        ...(patience === "later" && body !== undefined ? ["expect: 100-continue"] : []),
      ];
      client.socket.write(`${lines.join("\r\n")}\r\n\r\n`);
      if (body !== undefined && body.length > 0) {
        client.socket.write(Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n")]));
        if (extent === "a request") client.socket.write("0\r\n\r\n");
      }
      if (patience === "later") await Promise.race([client.until(/^HTTP\/1\.1 /), client.closed]).catch(() => {});
      end(client);
      client.socket.end();
      await client.closed;
    }
  }
}

/** All of them, some at a time. */
async function leaveAll(server: TestServer, leave: typeof leave1): Promise<number> {
  const waiting = requests.flatMap((request) =>
    extents
      .filter((extent) => request.type !== undefined || extent === "a request")
      .map((extent) => () => leave(server, request, extent)),
  );
  const count = waiting.length;
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await next();
  };
  await Promise.all(Array.from({ length: 8 }, work));
  return count;
}

/** What the server reported until its last call was over, and what a part of it wrote by itself. */
async function reportsOf(
  use: (server: TestServer) => Promise<unknown>,
  options: Parameters<typeof startTestServer>[0],
) {
  const written = vi.spyOn(console, "error").mockImplementation(() => {});
  try {
    const server = await startTestServer({ issuer: {}, corsOrigins: ["*"], ...options });
    await use(server);
    await server.close({ graceMs: 0 });
    for (let turns = 0; turns < 20; turns += 1) await turn();
    return [...server.failures, ...written.mock.calls];
  } finally {
    written.mockRestore();
  }
}

it.each(paths)("reports nothing of clients that leave over HTTP/2 ($path path)", async ({ stockHandlers }) => {
  let count = 0;
  const use = async (server: TestServer) => {
    count = await leaveAll(server, leave2);
  };
  expect(await reportsOf(use, { stockHandlers })).toEqual([]);
  expect(count).toBeGreaterThan(150);
});

it.each(paths)("reports nothing of clients that leave over HTTP/1.1 ($path path)", async ({ stockHandlers }) => {
  let count = 0;
  const use = async (server: TestServer) => {
    count = await leaveAll(server, leave1);
  };
  expect(await reportsOf(use, { stockHandlers })).toEqual([]);
  expect(count).toBeGreaterThan(150);
});

it("reports nothing of clients that leave in the middle of an answer", async () => {
  const use = async (server: TestServer) => {
    for (const type of ["application/grpc", "application/grpc-web+proto", "application/connect+json"]) {
      for (const path of [rpcs[0] as string, rpcs[2] as string]) {
        for (const end of Object.values(http2Ends)) {
          const client = await frameClient(server);
          const message = messageOf({ path, type });
          const fields = { ":method": "POST", ":path": path, ":scheme": "http", ":authority": "localhost" };
          client.write(headersFrame(1, { ...fields, "content-type": type }));
          client.write(dataFrame(1, message, path === rpcs[0]));
          await client.next("data");
          if (path !== rpcs[0]) client.write(dataFrame(1, message.subarray(0, 3)));
          end(client);
          client.socket.end();
          await client.closed;
        }
      }
    }
  };
  expect(await reportsOf(use, {})).toEqual([]);
});

it("reports nothing of handshakes and connections over TLS that break off", async () => {
  const use = async (server: TestServer) => {
    const hello = Buffer.from("160301020001000001fc0303", "hex");
    for (const first of [hello, Buffer.from("GET / HTTP/1.1\r\n\r\n"), Buffer.alloc(0), Buffer.alloc(300, 0x16)]) {
      for (const how of ["end", "reset"] as const) {
        const client = await rawClient({ ...server, url: server.url.replace("https", "http") });
        client.socket.write(first);
        if (how === "end") client.socket.end();
        else client.reset();
        await client.closed;
      }
    }
    await leave2(server, { path: rpcs[0] as string, type: "application/grpc" }, "a message");
    await leave1(server, { path: "/oauth/v2/token", type: "application/x-www-form-urlencoded" }, "half a message");
  };
  expect(await reportsOf(use, { tls })).toEqual([]);
});
