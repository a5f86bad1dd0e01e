import { once } from "node:events";
import { constants } from "node:http2";
import { describe, expect, it } from "vitest";
import type { ListenerHandler } from "../../src/rpc/listener/handler.ts";
import { headerProblem } from "../../src/rpc/listener/limits.ts";
import type { Listener } from "../../src/rpc/listener/listener.ts";
import {
  answer,
  bodyOf,
  call2,
  cutsOf,
  http2Preface,
  open,
  rawClient,
  resetCode,
  session2,
  tls,
} from "./listener-clients.ts";

const timeouts = {
  firstBytesTimeoutMs: 60,
  headersTimeoutMs: 60,
  requestTimeoutMs: 120,
  keepAliveTimeoutMs: 60,
  http2IdleTimeoutMs: 60,
};

/** Milliseconds that something takes. A lower bound of a timeout is exact but for the clock's granularity. */
async function elapsed(promise: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await promise;
  return performance.now() - start;
}

/** Answers 431 as a dispatcher would, else the number of fields that arrived. */
const measure: ListenerHandler = (req, res) => {
  if (headerProblem(req) !== undefined) answer(res, "{}", 431);
  else
    answer(res, String(req.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase().startsWith("x-")).length));
};

describe.each([
  { name: "plaintext", tls: undefined },
  { name: "TLS", tls },
])("HTTP/1.1 limits, $name", (options) => {
  it("closes a connection that stays silent, without an answer", async () => {
    const listener = await open({ ...options, limits: timeouts });
    const client = await rawClient(listener);
    expect(await client.closed).toBe("");
    expect(cutsOf(listener)).toEqual({ silent: 1 });
  });

  // Pins an internal detail of Node: its checks run on a server that never listens.
  it("answers 408 when the headers come too slowly", async () => {
    const listener = await open({ ...options, limits: timeouts });
    const client = await rawClient(listener, "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ");
    expect(await elapsed(client.closed)).toBeGreaterThan(50);
    expect(client.text()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*\r\nconnection: close\r\n/);
    expect(bodyOf(client.text())).toEqual({ code: 4, message: "The request did not arrive in time.", details: [] });
    expect(cutsOf(listener)).toEqual({ slow_request: 1 });
  });

  it("answers 408 when the body comes too slowly", async () => {
    const listener = await open({ ...options, limits: timeouts });
    const client = await rawClient(listener, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    expect(await elapsed(client.closed)).toBeGreaterThan(110);
    expect(client.text()).toMatch(/^HTTP\/1\.1 408 [\s\S]*\r\nConnection: close\r\n/);
  });

  it("answers 400 to what it cannot parse", async () => {
    const listener = await open(options);
    const client = await rawClient(listener, "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n");
    const raw = await client.closed;
    expect(raw).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(bodyOf(raw)).toEqual({ code: 3, message: "The request is not valid HTTP/1.1.", details: [] });
    expect(cutsOf(listener)).toEqual({ malformed: 1 });
  });

  it("answers 431 to headers past the hard stop, and the client can read it while it is still sending", async () => {
    const listener = await open(options);
    const client = await rawClient(listener, `GET / HTTP/1.1\r\nHost: h\r\nX-Large: ${"a".repeat(8_000_000)}\r\n\r\n`);
    const raw = await client.closed;
    expect(client.errors).toEqual([]);
    expect(raw).toMatch(/^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/);
    expect(bodyOf(raw)).toEqual({ code: 8, message: "The request's headers exceed 32768 bytes.", details: [] });
    expect(cutsOf(listener)).toEqual({ malformed: 1 });
  });

  it("closes a kept-alive connection that is not used again", async () => {
    const listener = await open({ ...options, limits: timeouts });
    const client = await rawClient(listener, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await client.until(/"body":""/);
    expect(await elapsed(client.closed)).toBeGreaterThan(50);
    expect(cutsOf(listener)).toEqual({});
  });
});

it("closes without writing into a response over HTTP/1.1 that has begun", async () => {
  const handler: ListenerHandler = (_req, res) => {
    (res as { write(chunk: string): unknown }).write("begun");
  };
  const client = await rawClient(
    await open({ handler, limits: timeouts }),
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
  );
  const raw = await client.closed;
  expect(raw).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(raw).not.toContain("408");
});

/** Resolves when the listener has ended one unused connection after the other, each when its time was over. */
async function outlastTimeouts(listener: Listener): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await once(session2(listener), "close");
}

describe("HTTP/2 limits", () => {
  it.each([http2Preface, "PRI"])("closes a session that sends %j and then nothing", async (bytes) => {
    const listener = await open({ limits: timeouts });
    const client = await rawClient(listener, bytes);
    expect(await elapsed(client.closed)).toBeGreaterThan(50);
    expect(cutsOf(listener)).toEqual({ silent: 1 });
  });

  it.each([{}, { tls }])("ends an idle session with GOAWAY and no error", async (options) => {
    const listener = await open({ ...options, limits: timeouts });
    const session = session2(listener);
    await call2(session, { ":path": "/" });
    const [[code]] = await Promise.all([once(session, "goaway"), once(session, "close")]);
    expect(code).toBe(constants.NGHTTP2_NO_ERROR);
    expect(cutsOf(listener)).toEqual({});
  });

  it("leaves a session with a silent server stream alone, and ends it when that stream has ended", async () => {
    let finish = () => {};
    const listener = await open({
      limits: timeouts,
      handler(_req, res) {
        (res as { write(chunk: string): unknown }).write("begun");
        finish = () => res.end();
      },
    });
    const session = session2(listener);
    // Its request has a body, and has ended.
    const stream = session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
    stream.end("abc");
    let text = "";
    stream.on("data", (chunk: Buffer) => {
      text += chunk;
    });
    await once(stream, "data");
    await outlastTimeouts(listener);
    finish();
    await once(stream, "end");
    expect(text).toBe("begun");
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    expect(session.closed).toBe(false);
    await once(session, "close");
  });

  it("ends a session whose only stream, long silent, is reset by the client", async () => {
    const handler: ListenerHandler = (_req, res) => {
      (res as { write(chunk: string): unknown }).write("begun");
    };
    const listener = await open({ handler, limits: timeouts });
    const session = session2(listener);
    const stream = session.request({ ":path": "/" });
    await once(stream, "data");
    await outlastTimeouts(listener);
    stream.close(constants.NGHTTP2_CANCEL);
    await once(session, "close");
  });

  it("resets a stream whose request stays unfinished and silent", async () => {
    const listener = await open({ limits: timeouts });
    const stream = session2(listener).request({ ":method": "POST", ":path": "/" }, { endStream: false });
    stream.write("abc");
    expect(await resetCode(stream)).toBe(constants.NGHTTP2_CANCEL);
    expect(cutsOf(listener)).toEqual({ slow_request: 1 });
  });

  it("announces maxConcurrentStreams", async () => {
    const session = session2(await open());
    const [settings] = await once(session, "remoteSettings");
    expect(settings).toMatchObject({ maxConcurrentStreams: 256 });
  });

  it("resets a stream with headers past the hard stop, and serves the next", async () => {
    const session = session2(await open());
    // The limits hold from the client's acknowledgement of the settings on.
    await call2(session, { ":path": "/" });
    const large = Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`x-${i}`, "a".repeat(14_000)]));
    const many = Object.fromEntries(Array.from({ length: 1100 }, (_, i) => [`x-${i}`, "a"]));
    for (const fields of [large, many]) {
      const stream = session.request({ ":path": "/", ...fields });
      expect(await resetCode(stream)).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
    expect((await call2(session, { ":path": "/" })).status).toBe(200);
  });
});

describe("headerProblem, on both versions", () => {
  const field = (bytes: number, count: number) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [`x-${String(i).padStart(4, "0")}`, "a".repeat(bytes - 6)]),
    );
  /** Calls with a path of 100 bytes and nothing but a host of 4 + 9 bytes beside the fields given. */
  async function statuses(fields: Record<string, string>) {
    const listener = await open({ handler: measure });
    const path = `/${"p".repeat(99)}`;
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    const client = await rawClient(listener, `GET ${path} HTTP/1.1\r\nhost: localhost\r\n${lines.join("")}\r\n`);
    const first = Number((await client.until(/\r\n\r\n./)).slice(9, 12));
    const second = await call2(session2(listener), { ":path": path, ":authority": "localhost", ...fields });
    expect(second.status).toBe(first);
    return first;
  }

  it.each([
    { title: "takes 16 KiB in all", fields: field(16 * 1024 - 100 - 13, 1), status: 200 },
    { title: "refuses a byte more", fields: field(16 * 1024 - 100 - 13 + 1, 1), status: 431 },
    { title: "takes 128 fields", fields: field(10, 127), status: 200 },
    { title: "refuses a field more", fields: field(10, 128), status: 431 },
    { title: "sees 1000 fields", fields: field(10, 1000), status: 431 },
    { title: "sees 30 KiB", fields: field(10_000, 3), status: 431 },
  ])("$title", async ({ fields, status }) => {
    expect(await statuses(fields)).toBe(status);
  });

  it("counts a cookie's crumbs as one field, and loses no field behind them", async () => {
    const listener = await open({ handler: measure });
    const crumbs = Array.from({ length: 1010 }, (_, i) => ["cookie", `c${i}=1`]).flat();
    const second = await call2(session2(listener), [":method", "GET", ":path", "/", ...crumbs, "x-last", "1"]);
    expect(second).toMatchObject({ status: 200, body: "1" });
    const lines = crumbs.map((value, i) => (i % 2 === 0 ? `${value}: ` : `${value}\r\n`)).join("");
    const client = await rawClient(
      listener,
      `GET / HTTP/1.1\r\nHost: h\r\n${lines}X-Last: 1\r\nConnection: close\r\n\r\n`,
    );
    expect(await client.closed).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\n\r\n1$/);
  });
});

it("closes connections past maxConnections unread", async () => {
  const listener = await open({ limits: { maxConnections: 1 } });
  const kept = await rawClient(listener, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  await kept.until(/200 OK/);
  const dropped = await rawClient(listener, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  expect(await dropped.closed).toBe("");
  expect(cutsOf(listener)).toEqual({ too_many: 1 });
  kept.socket.destroy();
});

it("keeps to maxStreams: who holds most gives up a stream that waits for its client, for who holds less", async () => {
  const handler: ListenerHandler = (req, res) => {
    // A body that is not sent keeps the stream open.
    req.on("data", () => {}).on("end", () => answer(res, "ok"));
  };
  const listener = await open({ handler, limits: { maxStreams: 3 } });
  const greedy = session2(listener);
  const held = [1, 2, 3].map(() => greedy.request({ ":method": "POST", ":path": "/" }, { endStream: false }));
  await expect.poll(() => listener.usage().streams).toBe(3);
  const [first, second, third] = held.map((stream) => resetCode(stream));
  const refused = greedy.request({ ":path": "/" });
  expect(await resetCode(refused)).toBe(constants.NGHTTP2_REFUSED_STREAM);
  expect((await call2(session2(listener), { ":path": "/" })).status).toBe(200);
  expect(await first).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  for (const stream of held) stream.end();
  expect(await Promise.all([second, third])).toEqual([0, 0]);
  await expect.poll(() => listener.usage().streams).toBe(0);
  expect(cutsOf(listener)).toEqual({ too_many_streams: 2 });
});
