// Strangers who hold as much as they can, against a server with a heap of 256 MB: it must live, and serve others meanwhile.
// docs/security.md has the sums that say why it does.
import { connect, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { Health } from "../../src/rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import {
  dataFrame,
  headersFrame,
  initialWindowSetting,
  settingsAckFrame,
  settingsFrame,
} from "../fixtures/http2-frames.ts";
import { isWhole } from "../fixtures/sample.ts";
import { exchange, frame, outcomeOf, type Reply } from "../fixtures/wire.ts";
import { Api } from "./api.ts";
import { startServer, TemporaryDirectory } from "./portcullis.ts";

/** How long an attack takes at least, and how many calls of others are served meanwhile. */
const attackMs = isWhole ? 60_000 : 1_500;
const leastServed = 3;
const streamsEach = 250;

const preface = (window: number): Buffer =>
  Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    settingsFrame([[initialWindowSetting, window]]),
    settingsAckFrame,
  ]);

/** The requests of one connection, over HTTP/2, each with these messages. */
function streams(path: string, options: { window?: number; message?: Uint8Array; isEnd?: boolean } = {}): Buffer {
  const { window = 65_535, message, isEnd = true } = options;
  const frames = Array.from({ length: streamsEach }, (_, turn) => {
    const stream = 2 * turn + 1;
    const headers = {
      ":method": "POST",
      ":scheme": "http",
      ":authority": "h",
      ":path": path,
      "content-type": "application/grpc",
    };
    if (message === undefined) return headersFrame(stream, headers);
    return Buffer.concat([headersFrame(stream, headers), dataFrame(stream, frame(message), isEnd)]);
  });
  return Buffer.concat([preface(window), ...frames]);
}

const watch = `/${Health.typeName}/Watch`;
const check = `/${Health.typeName}/Check`;
const reflect = `/${ServerReflection.typeName}/ServerReflectionInfo`;
/** Asks for the file of a service, with all that it imports. */
const askForFile = Buffer.concat([Buffer.from([0x22, 39]), Buffer.from("zitadel.management.v1.ManagementService")]);

const watchOverHttp1 = Buffer.from(
  `POST ${watch} HTTP/1.1\r\nhost: h\r\ncontent-type: application/connect+json\r\ncontent-length: 7\r\n\r\n\0\0\0\0\x02{}`,
);

/** On so many connections, unbounded, these take more than the heap. */
const attacks: readonly { readonly name: string; readonly connections: number; readonly sent: Buffer }[] = [
  { name: "health watches", connections: 100, sent: streams(watch, { message: Buffer.alloc(0) }) },
  {
    name: "health watches over HTTP/1.1, pipelined",
    connections: 100,
    sent: Buffer.concat(Array<Buffer>(streamsEach).fill(watchOverHttp1)),
  },
  {
    name: "a health watch over HTTP/1.1, and thousands of requests in one piece behind it",
    connections: 400,
    sent: Buffer.concat([watchOverHttp1, Buffer.from("GET / HTTP/1.1\r\nhost:h\r\n\r\n".repeat(2_500))]),
  },
  {
    name: "bodies over HTTP/1.1 in pieces of a byte",
    connections: 200,
    sent: Buffer.from(
      `POST ${check} HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc-web+json\r\ntransfer-encoding: chunked\r\n\r\n${"1\r\n \r\n".repeat(10_000)}`,
    ),
  },
  {
    name: "reflection, with windows of 0",
    connections: 100,
    sent: streams(reflect, { message: askForFile, isEnd: false, window: 0 }),
  },
  { name: "requests that never end", connections: 180, sent: streams(check) },
  {
    name: "unary answers that nobody reads",
    connections: 180,
    sent: streams(check, { message: Buffer.alloc(0), window: 0 }),
  },
];

/** Keeps so many connections open, each of which has sent all of it; as one ends, another begins. */
function attack(
  port: number,
  { connections, sent }: { readonly connections: number; readonly sent: Buffer },
): { stop(): void; readonly opened: () => number } {
  const sockets = new Set<Socket>();
  let opened = 0;
  let isOver = false;
  const open = (): void => {
    if (isOver) return;
    const socket = connect(port, "127.0.0.1");
    sockets.add(socket);
    opened += 1;
    socket.on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      setImmediate(open);
    });
    socket.on("data", () => {});
    socket.write(sent);
  };
  for (let count = 0; count < connections; count += 1) open();
  return {
    opened: () => opened,
    stop() {
      isOver = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Asks for health on a new connection, and again where the stream was refused, as libraries of gRPC do by themselves. */
async function callOnce(url: string): Promise<Reply> {
  const headers = { "content-type": "application/grpc", te: "trailers" };
  for (;;) {
    try {
      return await exchange(url, { version: 2, path: check, headers, body: frame(Buffer.alloc(0)) });
    } catch (error) {
      if (!String(error).includes("NGHTTP2_REFUSED_STREAM")) throw error;
    }
  }
}

describe("strangers", { timeout: 240_000 + 3 * attackMs }, () => {
  it.each(attacks)("cannot end a server with a heap of 256 MB, nor keep it from others: $name", async (each) => {
    using directory = new TemporaryDirectory();
    const env = { NODE_OPTIONS: "--max-old-space-size=256" };
    await using server = await startServer({ data: directory.path, env });
    const { stop, opened } = attack(Number(new URL(server.url).port), each);
    try {
      const end = performance.now() + attackMs;
      let served = 0;
      while (performance.now() < end || served < leastServed) {
        // Each time on a new connection, which it leaves.
        expect(outcomeOf(await callOnce(server.url)).code).toBe(0);
        expect((await new Api(server.url, server.adminToken).readInstance()).status).toBe(200);
        served += 1;
      }
      expect(opened()).toBeGreaterThanOrEqual(each.connections);
    } finally {
      stop();
    }
    const { exitCode, signal } = await server.stop();
    expect({ exitCode, signal }).toEqual({ exitCode: 0, signal: null });
  });
});
