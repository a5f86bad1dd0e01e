// Clients that ask for much and take none of it: what waits for them is bounded in bytes, whatever the protocol.
import { once } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import { create, createRegistry, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { Observe } from "../../src/rpc/call/outcome.ts";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import type { ListenerLimits } from "../../src/rpc/listener/limits.ts";
import type { Listener } from "../../src/rpc/listener/listener.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { BareRequestSchema, EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import {
  DownloadRequestSchema,
  file_portcullis_test_v1_transcoding,
  TranscodingService,
} from "../fixtures/gen/portcullis/test/v1/transcoding_pb.ts";
import { dataFrame, headersFrame, initialWindowSetting, settingsFrame } from "../fixtures/http2-frames.ts";
import { frame } from "../fixtures/wire.ts";
import { cutsOf, type FrameClient, frameClient, open, rawClient, session2 } from "./listener-clients.ts";

const large = "x".repeat(1_000_000);

/** Answers everything with a megabyte, or with many of them. */
function start(
  limits: Partial<ListenerLimits>,
  { stockHandlers = false, observe }: { readonly stockHandlers?: boolean; readonly observe?: Observe } = {},
): Promise<Listener> {
  const endless = async function* (piece: object) {
    for (;;) yield piece as never;
  };
  const rpcs = createRpcTable((router) => {
    router.service(EchoService, { bare: () => ({ text: large }), getRoom: () => ({ room: large }) });
    router.service(TranscodingService, {
      numbers: () => endless({ padding: large }),
      downloadParts: () => endless({ contentType: "text/plain", data: Buffer.from(large) }),
    });
  });
  const handler = createDispatch(rpcs, {
    gate: () => {},
    interceptors: [],
    maxRequestBytes: 1_000,
    stockHandlers,
    ...(observe && { observe }),
    registry: createRegistry(file_portcullis_test_v1_transcoding),
    onFailure: (reason) => expect.fail(String(reason)),
  });
  return open({ handler, limits });
}

const bareRequest = frame(toBinary(BareRequestSchema, create(BareRequestSchema)));
const download = toBinary(DownloadRequestSchema, create(DownloadRequestSchema));

type Ask = (client: FrameClient, stream: number) => void;

const ask =
  ({ path, type, body }: { path: string; type: string; body?: Uint8Array }): Ask =>
  (client, stream) => {
    const method = body === undefined ? "GET" : "POST";
    const pseudo = { ":method": method, ":scheme": "http", ":authority": "h", ":path": path };
    client.write(headersFrame(stream, { ...pseudo, "content-type": type }, body === undefined));
    if (body !== undefined) client.write(dataFrame(stream, body, true));
  };

const bare = ask({ path: `/${EchoService.typeName}/Bare`, type: "application/grpc", body: bareRequest });
const numbers = `/${TranscodingService.typeName}/Numbers`;
const parts = `/${TranscodingService.typeName}/DownloadParts`;

const asks: readonly { readonly name: string; readonly stockHandlers?: boolean; readonly send: Ask }[] = [
  { name: "unary gRPC", send: bare },
  { name: "unary gRPC by Connect's handlers", stockHandlers: true, send: bare },
  { name: "a stream of gRPC", send: ask({ path: numbers, type: "application/grpc", body: frame(Buffer.alloc(0)) }) },
  { name: "a stream of Connect", send: ask({ path: parts, type: "application/connect+proto", body: frame(download) }) },
  { name: "unary REST", send: ask({ path: "/test/v1/rooms/a", type: "text/plain" }) },
  { name: "a stream of REST", send: ask({ path: "/t/v1/count", type: "text/plain" }) },
  {
    name: "a stream of bytes of REST",
    send: ask({ path: "/t/v1/downloads", type: "application/json", body: Buffer.from("{}") }),
  },
];

const windowOf0 = { settings: settingsFrame([[initialWindowSetting, 0]]) };
const { NGHTTP2_ENHANCE_YOUR_CALM } = constants;

describe.each(asks)("answers that nobody reads, $name", ({ stockHandlers = false, send }) => {
  it("are bounded on one connection, which goes on", async () => {
    const listener = await start({ maxUnreadBytesOnConnection: 900_000 }, { stockHandlers });
    const client = await frameClient(listener, windowOf0);
    for (const stream of [1, 3]) {
      send(client, stream);
      expect(await client.next("reset")).toMatchObject({ stream, code: NGHTTP2_ENHANCE_YOUR_CALM });
    }
    expect(cutsOf(listener)).toEqual({ too_much_unread: 2 });
  });

  it("are bounded on all connections together, and cut on the one that holds most", async () => {
    const listener = await start({ maxUnreadBytes: 3_500_000 }, { stockHandlers });
    const [greedy, modest] = [await frameClient(listener, windowOf0), await frameClient(listener, windowOf0)];
    for (const stream of [1, 3, 5]) {
      send(greedy, stream);
      await greedy.next("headers");
    }
    send(modest, 1);
    expect(await greedy.next("reset")).toMatchObject({ code: NGHTTP2_ENHANCE_YOUR_CALM });
    await modest.next("headers");
    expect(cutsOf(listener)).toEqual({ too_much_unread: 1 });
    expect(modest.frames.filter(({ name }) => name === "reset")).toEqual([]);
  });
});

it("a stream that ended at its deadline still counts while its client reads nothing", async () => {
  let ended = 0;
  const observe: Observe = () => () => {
    ended += 1;
  };
  const listener = await start({ maxUnreadBytes: 3_500_000 }, { observe });
  for (const count of [1, 2, 3, 4]) {
    const client = await frameClient(listener, windowOf0);
    const pseudo = { ":method": "GET", ":scheme": "http", ":authority": "h", ":path": "/t/v1/count" };
    client.write(headersFrame(1, { ...pseudo, "x-server-timeout": "0.05" }, true));
    await client.next("headers");
    if (count < 4) await expect.poll(() => ended).toBe(count);
  }
  await expect.poll(() => cutsOf(listener)).toEqual({ too_much_unread: 1 });
});

it("answers over HTTP/1.1 that nobody reads end their connection", async () => {
  const listener = await start({ maxUnreadBytesOnConnection: 900_000 });
  const client = await rawClient(listener);
  client.socket.pause();
  client.socket.write("GET /test/v1/rooms/a HTTP/1.1\r\nHost: h\r\n\r\n".repeat(10));
  await expect.poll(() => listener.usage().connections).toBe(0);
  expect(cutsOf(listener)["too_much_unread"]).toBeGreaterThan(0);
});

it.each([
  {
    name: "gRPC",
    headers: { ":method": "POST", ":path": `/${EchoService.typeName}/Bare`, "content-type": "application/grpc" },
  },
  { name: "REST", headers: { ":path": "/test/v1/rooms/a" } },
])(
  "calls whose answers would be too much begin when their client has read, and none fails: $name",
  async ({ headers }) => {
    const listener = await start({ maxUnreadBytesOnConnection: 24_000_000 });
    const session = session2(listener);
    const call = () => {
      const stream = session.request(headers, { endStream: headers[":method"] === undefined });
      if (headers[":method"]) stream.end(bareRequest);
      return stream;
    };
    const read = async (stream: ClientHttp2Stream) => {
      let length = 0;
      for await (const chunk of stream) length += chunk.length;
      return length;
    };
    // More than a quarter of the bound.
    const first = Array.from({ length: 8 }, call);
    await Promise.all(first.map((stream) => once(stream, "readable")));
    // With them, more than four times the bound.
    const others = Array.from({ length: 100 }, call);
    await new Promise((resolve) => session.ping(resolve));
    const lengths = await Promise.all([...first, ...others].map(read));
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(1_000_000);
    expect(cutsOf(listener)).toEqual({});
  },
);

it("calls that wait for their client to read go with it", async () => {
  const listener = await start({ maxUnreadBytesOnConnection: 6_000_000 });
  const client = await frameClient(listener, windowOf0);
  for (let stream = 1; stream < 100; stream += 2) bare(client, stream);
  await client.next("headers");
  client.socket.destroy();
  await expect.poll(() => listener.usage().streams).toBe(0);
});

it("answers that are read are none of these, one after the other or at once", async () => {
  const listener = await start({ maxUnreadBytesOnConnection: 8_000_000, maxUnreadBytes: 8_000_000 });
  const session = session2(listener);
  let received = 0;
  for (let turn = 0; turn < 10; turn += 1) {
    const streams = [1, 2, 3, 4].map(() => session.request({ ":path": "/test/v1/rooms/a" }));
    await Promise.all(
      streams.map(async (stream) => {
        for await (const chunk of stream) received += chunk.length;
      }),
    );
  }
  expect(received).toBeGreaterThan(40_000_000);
  expect(cutsOf(listener)).toEqual({});
});
