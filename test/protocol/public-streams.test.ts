// Health watches and reflection need no token, so what they may hold is bounded.
import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { Health } from "../../src/rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { dataFrame, headersFrame, initialWindowSetting, settingsFrame } from "../fixtures/http2-frames.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../fixtures/server.ts";
import { openTranscoding } from "../fixtures/transcoding.ts";
import { exchange, frame } from "../fixtures/wire.ts";
import { frameClient, session2 } from "./listener-clients.ts";

const closing: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(publicStreams: TestServerOptions["publicStreams"]): Promise<TestServer> {
  const server = await startTestServer({ ...(publicStreams && { publicStreams }) });
  closing.push(() => server.close({ graceMs: 0 }));
  return server;
}

/** What a stream without a token came to: undefined where it goes on, otherwise how it ended. */
interface Opened {
  readonly code: number | undefined;
  readonly ended: Promise<{ readonly code: number; readonly message: string }>;
  /** Leaves, and waits until the server has seen that. */
  leave(): Promise<void>;
}

async function openStream(session: ClientHttp2Session, path = `/${Health.typeName}/Watch`): Promise<Opened> {
  const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
  const stream = session.request(headers, { endStream: false });
  stream.on("error", () => {});
  const ended = new Promise<{ code: number; message: string }>((resolve) => {
    const read = (fields: Record<string, unknown>) => {
      const { "grpc-status": code, "grpc-message": message } = fields;
      if (code !== undefined) resolve({ code: Number(code), message: decodeURIComponent(String(message)) });
    };
    stream.on("response", read);
    stream.on("trailers", read);
  });
  if (path.endsWith("Watch")) stream.end(frame(Buffer.alloc(0)));
  // Asks for the list of services, and may ask more.
  else stream.write(frame(Buffer.from([0x3a, 0])));
  const first = await Promise.race([once(stream, "data").then(() => undefined), ended.then(({ code }) => code)]);
  stream.resume();
  return {
    code: first,
    ended,
    async leave() {
      const closed = once(stream, "close");
      stream.close(8);
      await closed;
      await new Promise((resolve) => session.ping(resolve));
    },
  };
}

/** The codes of as many streams as `count`, opened one after the other. */
async function openSeveral(session: ClientHttp2Session, count: number): Promise<(number | undefined)[]> {
  const codes: (number | undefined)[] = [];
  while (codes.length < count) codes.push((await openStream(session)).code);
  return codes;
}

const isServed = async ({ url }: TestServer): Promise<void> => {
  const { status } = await createClient(Health, createGrpcTransport({ baseUrl: url })).check({});
  expect(status).toBe(1);
};

describe("streams without a token", () => {
  it("are bounded on one connection, and have places again when others end", async () => {
    const server = await start({ mostOnConnection: 2 });
    const session = session2(server);
    const first = await openStream(session);
    const second = await openStream(session, `/${ServerReflection.typeName}/ServerReflectionInfo`);
    const third = await openStream(session);
    expect([first.code, second.code]).toEqual([undefined, undefined]);
    expect(await third.ended).toEqual({
      code: Code.ResourceExhausted,
      message: expect.stringMatching(/^too many streams that need no token are open on this connection: end one/),
    });
    expect(await openSeveral(session2(server), 2)).toEqual([undefined, undefined]);
    await first.leave();
    await expect.poll(() => openSeveral(session, 1)).toEqual([undefined]);
    expect(await openSeveral(session, 1)).toEqual([Code.ResourceExhausted]);
    await isServed(server);
  });

  it("are bounded on all connections: who holds most gives the oldest one up for who holds less", async () => {
    const server = await start({ most: 4 });
    const greedy = session2(server);
    const first = await openStream(greedy);
    expect(first.code).toBeUndefined();
    expect(await openSeveral(greedy, 4)).toEqual([undefined, undefined, undefined, Code.ResourceExhausted]);
    const others = [session2(server), session2(server), session2(server)] as const;
    expect(await openSeveral(others[0], 1)).toEqual([undefined]);
    expect(await first.ended).toMatchObject({ code: Code.Unavailable, message: expect.stringMatching(/call again/) });
    expect(await openSeveral(others[1], 1)).toEqual([undefined]);
    // Each holds one or two now: whoever has none gets nothing from who has one.
    expect(await openSeveral(others[2], 1)).toEqual([undefined]);
    const last = await openStream(session2(server));
    expect(await last.ended).toMatchObject({ code: Code.Unavailable, message: expect.stringMatching(/try again/) });
    await isServed(server);
  });

  it("that were given up hold nothing for a client that does not read", async () => {
    const server = await start({ most: 2 });
    const client = await frameClient(server, { settings: settingsFrame([[initialWindowSetting, 0]]) });
    const headers = {
      ":method": "POST",
      ":scheme": "http",
      ":authority": "h",
      ":path": `/${Health.typeName}/Watch`,
      "content-type": "application/grpc",
    };
    for (const stream of [1, 3]) {
      client.write(Buffer.concat([headersFrame(stream, headers), dataFrame(stream, frame(Buffer.alloc(0)), true)]));
      await client.next("headers");
    }
    expect(await openSeveral(session2(server), 1)).toEqual([undefined]);
    expect(await client.next("reset")).toMatchObject({ stream: 1 });
  });

  it.each(["Watch", "ServerReflectionInfo"])("end with UNAVAILABLE when they are old: %s", async (name) => {
    const server = await start({ maxAgeMs: 50 });
    const path = `/${name === "Watch" ? Health.typeName : ServerReflection.typeName}/${name}`;
    const { code, ended } = await openStream(session2(server), path);
    expect(code).toBeUndefined();
    expect(await ended).toMatchObject({ code: Code.Unavailable, message: expect.stringMatching(/call again/) });
    expect(server.failures).toEqual([]);
  });

  it.each(
    [
      { protocol: "gRPC-Web", connect: createGrpcWebTransport },
      { protocol: "Connect", connect: createConnectTransport },
    ].flatMap((each) => (["1.1", "2"] as const).map((httpVersion) => ({ ...each, httpVersion }))),
  )("are refused over $protocol and HTTP/$httpVersion, in its own form", async ({ connect, httpVersion }) => {
    const { url } = await start({ most: 0 });
    const client = createClient(Health, connect({ baseUrl: url, httpVersion }));
    const watch = client.watch({})[Symbol.asyncIterator]();
    await expect(watch.next()).rejects.toMatchObject({
      code: Code.Unavailable,
      rawMessage: "too many streams that need no token are open on this server: try again later",
    });
  });

  it.each([1, 2] as const)("are refused and end as REST does, over HTTP/%i", async (version) => {
    const request = { version, method: "GET", path: "/t/v1/count?endless=true" };
    const full = await openTranscoding({ publicStreams: { isPublic: () => true, most: 0 } });
    const refused = await exchange(full.url, request);
    expect([refused.status, JSON.parse(refused.body.toString())]).toMatchObject([503, { code: Code.Unavailable }]);
    const old = await openTranscoding({ publicStreams: { isPublic: () => true, maxAgeMs: 50 } });
    const ended = await exchange(old.url, request);
    expect(ended.body.toString().trim().split("\n").at(-1)).toMatch(/^\{"error":\{"code":14,/);
  });
});
