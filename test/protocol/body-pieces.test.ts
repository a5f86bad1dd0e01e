// Bodies in pieces of a byte: a client sends six to ten bytes for each, and kept apart each would take a hundred.
import { once } from "node:events";
import type { Http2ServerRequest } from "node:http2";
import { describe, expect, it } from "vitest";
import type { ListenerRequest, ListenerResponse } from "../../src/rpc/listener/handler.ts";
import { dataFrame, headersFrame, settingsAckFrame, settingsFrame } from "../fixtures/http2-frames.ts";
import { answer, open, rawClient, tls } from "./listener-clients.ts";

const bytes = Buffer.from("abcdefghij".repeat(100));
/** Each byte by itself. */
const apart = [...bytes].map((byte) => Buffer.of(byte));

const headOverHttp1 = Buffer.from("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
const overHttp1 = Buffer.concat([
  ...apart.map((byte) => Buffer.concat([Buffer.from("1\r\n"), byte, Buffer.from("\r\n")])),
  Buffer.from("0\r\n\r\n"),
]);

const headOverHttp2 = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  settingsFrame([]),
  settingsAckFrame,
  headersFrame(1, { ":method": "POST", ":scheme": "http", ":authority": "h", ":path": "/" }),
]);
const overHttp2 = Buffer.concat(apart.map((byte, index) => dataFrame(1, byte, index === apart.length - 1)));

describe.each([
  { name: "HTTP/1.1", options: {}, head: headOverHttp1, sent: overHttp1 },
  { name: "HTTP/1.1 with TLS", options: { tls }, head: headOverHttp1, sent: overHttp1 },
  { name: "HTTP/2", options: {}, head: headOverHttp2, sent: overHttp2 },
])("a body in pieces of a byte, over $name", ({ options, head, sent }) => {
  it("is kept in few pieces until it is read, and comes whole", async () => {
    let tell: (pieces: readonly Buffer[]) => void;
    const read = new Promise<readonly Buffer[]>((resolve) => (tell = resolve));
    const handle = async (req: ListenerRequest, res: ListenerResponse) => {
      // Node tells of a stream of HTTP/2 after it has pushed what came together with the headers.
      client.socket.write(sent);
      const body = "stream" in req ? req.stream : req;
      while (body.readableLength < bytes.length) await new Promise(setImmediate);
      const pieces: Buffer[] = [];
      req.on("data", (piece: Buffer) => pieces.push(piece));
      await once(req, "end");
      tell(pieces);
      answer(res, "{}");
    };
    const client = await rawClient(await open({ ...options, handler: (req, res) => void handle(req, res) }));
    client.socket.write(head);
    const pieces = await read;
    expect(Buffer.concat(pieces)).toEqual(bytes);
    // The first by itself, and one for each piece that the network made; 1 000 were sent.
    expect(pieces.length).toBeLessThan(20);
  });
});

it("a body in pieces of a byte that comes together with its head, over HTTP/2, is kept in one piece", async () => {
  const held = new Promise<readonly number[]>((resolve) => {
    const handler = async (req: ListenerRequest, res: ListenerResponse) => {
      const { stream } = req as Http2ServerRequest;
      const atStart = stream.readableLength;
      const first = once(stream, "data") as Promise<[Buffer]>;
      const [{ length }] = await first;
      resolve([atStart, length]);
      answer(res, "{}");
    };
    void open({ handler: (req, res) => void handler(req, res) }).then(async (listener) => {
      const client = await rawClient(listener);
      client.socket.write(Buffer.concat([headOverHttp2, overHttp2]));
    });
  });
  const [atStart, length] = await held;
  expect(atStart).toBeGreaterThan(0);
  expect(length).toBe(atStart);
});
