import { once } from "node:events";
import { constants } from "node:http2";
import { describe, expect, it } from "vitest";
import { policyPath, rpcPath, sturdyServer } from "../fixtures/sturdy.ts";
import { frame } from "../fixtures/wire.ts";
import { http2Preface, type RawClient, rawClient, session2 } from "./listener-clients.ts";

// Clients that go away. What counts is what sturdyServer() holds after each test.
const sturdy = sturdyServer();
const write = rpcPath("AddCustomLoginPolicy");
const read = rpcPath("GetLoginPolicy");

const requests = [
  { name: "REST", path: policyPath, type: "application/json", whole: Buffer.from("{}") },
  { name: "Connect JSON", path: write, type: "application/json", whole: Buffer.from("{}") },
  { name: "Connect proto", path: read, type: "application/proto", whole: Buffer.alloc(0) },
  { name: "gRPC-Web", path: read, type: "application/grpc-web+proto", whole: frame(Buffer.alloc(0)) },
  { name: "gRPC-Web text", path: read, type: "application/grpc-web-text", whole: Buffer.from("AAAAAAA=") },
];
const grpc = { name: "gRPC", path: read, type: "application/grpc", whole: frame(Buffer.alloc(0)) };

/** Answered only when the server has seen whatever came before. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 3; i += 1) await sturdy.send({ method: "GET", path: policyPath });
  await sturdy.send({ method: "DELETE", path: policyPath });
};

const head = ({ path, type }: { path: string; type: string }, length: number) =>
  `POST ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${sturdy.server.adminToken}\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;

describe("over HTTP/1.1", () => {
  it.each(requests)("$name: goes within the body", async (request) => {
    for (const leave of ["reset", "end", "destroy"] as const) {
      const client = await rawClient(sturdy.server, head(request, 1_000));
      client.socket.write(request.whole);
      await settle();
      go(client, leave);
      await client.closed;
    }
    await settle();
  });
  it.each(requests)("$name: goes with the request sent", async (request) => {
    for (const leave of ["reset", "end", "destroy"] as const) {
      for (let i = 0; i < 10; i += 1) {
        const client = await rawClient(sturdy.server, head(request, request.whole.length));
        client.socket.write(request.whole, () => go(client, leave));
      }
    }
    await settle();
  });
  it.each(requests)("$name: goes after a pipeline of requests, reading none of the answers", async (request) => {
    const client = await rawClient(sturdy.server);
    client.socket.pause();
    const one = Buffer.concat([Buffer.from(head(request, request.whole.length)), request.whole]);
    client.socket.write(Buffer.concat(Array.from({ length: 50 }, () => one)));
    await settle();
    client.reset();
    await settle();
  });
});

describe("over HTTP/2", () => {
  const codes = ["NGHTTP2_CANCEL", "NGHTTP2_NO_ERROR", "NGHTTP2_INTERNAL_ERROR", "NGHTTP2_REFUSED_STREAM"] as const;
  const open = (session: ReturnType<typeof session2>, { path, type }: { path: string; type: string }) => {
    const stream = session.request(
      { ":method": "POST", ":path": path, "content-type": type, ...sturdy.auth },
      { endStream: false },
    );
    stream.on("error", () => {});
    stream.resume();
    return stream;
  };
  it.each([...requests, grpc])("$name: resets the stream within the body", async (request) => {
    const session = session2(sturdy.server);
    for (const code of codes) {
      const stream = open(session, request);
      stream.write(request.whole.subarray(0, 1));
      await new Promise((resolve) => session.ping(resolve));
      stream.close(constants[code]);
      await new Promise((resolve) => stream.once("close", resolve));
    }
    await settle();
  });
  it.each([...requests, grpc])("$name: resets the stream with the request sent", async (request) => {
    const session = session2(sturdy.server);
    await new Promise((resolve) => session.ping(resolve));
    for (let i = 0; i < 50; i += 1) {
      const stream = open(session, request);
      stream.end(request.whole);
      stream.once("ready", () => stream.close(constants.NGHTTP2_CANCEL));
    }
    await settle();
  });
  it.each([...requests, grpc])("$name: ends the session with calls in flight", async (request) => {
    for (const leave of ["destroy", "goaway", "reset"] as const) {
      const session = session2(sturdy.server);
      await once(session, "connect");
      for (let i = 0; i < 20; i += 1) open(session, request).end(request.whole);
      // Far enough for the requests to be on the wire.
      await new Promise((resolve) => session.ping(resolve));
      if (leave === "destroy") session.destroy();
      else if (leave === "goaway") session.goaway(constants.NGHTTP2_INTERNAL_ERROR);
      else session.socket.destroy();
    }
    await settle();
  });
  it.each([...requests, grpc])("$name: says another length than it sends", async (request) => {
    const session = session2(sturdy.server);
    for (const length of [request.whole.length + 1, Math.max(0, request.whole.length - 1)]) {
      const stream = session.request(
        {
          ":method": "POST",
          ":path": request.path,
          "content-type": request.type,
          "content-length": String(length),
          ...sturdy.auth,
        },
        { endStream: false },
      );
      stream.on("error", () => {});
      stream.resume();
      stream.end(request.whole);
      await new Promise((resolve) => stream.once("close", resolve));
    }
    await settle();
  });
});

describe("200 connections at once", () => {
  const good = "GET /nope HTTP/1.1\r\nHost: h\r\n";
  const garbage: readonly string[] = [
    "\x00",
    "\xff\xfe\xfd\xfc",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "GET",
    "GET / HTTP/9.9\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "\r\n\r\n\r\n\r\n",
    `${good}\x00: x\r\n\r\n`,
    `${good}A b: x\r\n\r\n`,
    `${good}${"x".repeat(40_000)}`,
    `${good}Content-Length: 99999999999999999999\r\n\r\n`,
    `${good}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n`,
    `${good}Transfer-Encoding: chunked\r\n\r\n1;${"e".repeat(20_000)}\r\n`,
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage",
    `${http2Preface}\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00`,
    `${http2Preface}\xff\xff\xff\x01\x05\x00\x00\x00\x01`,
    `${http2Preface}\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff`,
    `${http2Preface}\x00\x00\x00\x09\x04\x00\x00\x00\x01`,
    `${http2Preface}\x00\x00\x08\x06\x00\x00\x00\x00\x00${"\x00".repeat(8)}`.repeat(3),
    "SSH-2.0-OpenSSH_9.6\r\n",
  ];
  it("of garbage, and the server goes on", async () => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => rawClient(sturdy.server)));
    clients.forEach((client, i) => {
      client.socket.write(Buffer.from(garbage[i % garbage.length] ?? "", "latin1"));
    });
    await settle();
    clients.forEach((client, i) => {
      go(client, (["reset", "end", "destroy"] as const)[i % 3] ?? "reset");
    });
    for (const [i, client] of clients.entries()) if (i % 3 !== 1) await client.closed;
    await settle();
    for (const client of clients) expect(client.text()).not.toMatch(/\n\s+at |node_modules|HTTP\/1\.1 500/);
  });
});

function go(client: RawClient, how: "reset" | "end" | "destroy"): void {
  if (how === "reset") client.reset();
  else if (how === "end") client.socket.end();
  else client.socket.destroy();
}
