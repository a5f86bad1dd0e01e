import { once } from "node:events";
import { constants } from "node:http2";
import { type AddressInfo, connect, createServer } from "node:net";
import { Worker } from "node:worker_threads";
import { describe, expect, it, vi } from "vitest";
import type { ListenerHandler, ListenerResponse } from "../../src/rpc/listener/handler.ts";
import { headersFrame, pingFrame } from "../fixtures/http2-frames.ts";
import {
  answer,
  answerOf,
  call1,
  call2,
  cutsOf,
  frameClient,
  http2Preface,
  open,
  rawClient,
  resetCode,
  session2,
  settingsFrame,
  tls,
} from "./listener-clients.ts";

/** A handler that holds each response until the test says so. */
function holding() {
  const held: ListenerResponse[] = [];
  const waiters: (() => void)[] = [];
  const handler: ListenerHandler = (_req, res) => {
    held.push(res);
    for (const wake of waiters.splice(0)) wake();
  };
  return {
    handler,
    held,
    count: async (wanted: number) => {
      while (held.length < wanted) await new Promise<void>((resolve) => waiters.push(resolve));
    },
    release: () => {
      for (const res of held.splice(0)) answer(res, "done");
    },
  };
}

const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const limits = { drainQuietMs: 40 };
/** Far more than a test may take. */
const noDeadline = { graceMs: 1_000_000 };

/** Resolves when the listener takes no connection any more. */
const refusesConnections = ({ port }: { readonly port: number }) =>
  vi.waitUntil(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = connect({ port, host: "127.0.0.1" });
        socket.once("connect", () => resolve(!socket.destroy()));
        socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
      }),
    { timeout: 4_000, interval: 5 },
  );

/** Connects that often and sends a request each, says so, and counts the answers once all connections are gone. */
const crowd = `
  const { connect } = require("node:net");
  const { parentPort, workerData: { port, size, connected } } = require("node:worker_threads");
  let [open, gone, answered] = [0, 0, 0];
  for (let count = 0; count < size; count += 1) {
    let text = "";
    connect(port, "127.0.0.1", function () {
      this.write("GET / HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n");
      open += 1;
      if (open < size) return;
      Atomics.store(connected, 0, 1);
      Atomics.notify(connected, 0);
    })
      .on("data", (chunk) => (text += chunk))
      .on("error", () => {})
      .on("close", () => {
        if (text.startsWith("HTTP/1.1 200 OK")) answered += 1;
        gone += 1;
        if (gone === size) parentPort.postMessage(answered);
      });
  }
`;

it("serves every connection that waits to be accepted when it begins", async () => {
  const size = 60;
  const { port, close } = await open({ limits, handler: (_req, res) => answer(res, "ok") });
  const connected = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(crowd, { eval: true, workerData: { port, size, connected } });
  const answered = once(worker, "message");
  await once(worker, "online");
  // This thread accepts nothing before it goes on.
  Atomics.wait(connected, 0, 0);
  await close();
  expect(await answered).toEqual([size]);
  await worker.terminate();
});

describe.each([
  { name: "plaintext", options: { limits } },
  { name: "TLS", options: { tls, limits } },
])("close, $name", ({ options }) => {
  it("lets HTTP/1.1 requests in flight finish, with Connection: close, and refuses new connections", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ ...options, handler });
    const client = await rawClient(listener, get);
    await count(1);
    const closing = listener.close();
    await refusesConnections(listener);
    release();
    const raw = await client.closed;
    expect(raw).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n[\s\S]*done$/);
    await closing;
  });

  it("serves the HTTP/1.1 request that has arrived on an idle connection when it begins", async () => {
    const listener = await open({ ...options, handler: (_req, res) => answer(res, "ok") });
    const client = await rawClient(listener, get);
    await client.until(/ok$/);
    // The bytes are in the server's socket when this returns; it has not read them yet.
    client.socket.write(get);
    const closing = listener.close();
    expect((await client.closed).match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    await closing;
  });

  it("serves the HTTP/1.1 request that comes while it closes, and ends the connection with the answer", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ ...options, handler, limits: { drainQuietMs: 1_000_000 } });
    const busy = await rawClient(listener, get);
    await count(1);
    const idle = await rawClient(listener, get);
    await count(2);
    release();
    await Promise.all([busy.until(/done$/), idle.until(/done$/)]);
    const closing = listener.close(noDeadline);
    await refusesConnections(listener);
    for (const client of [busy, idle]) {
      client.socket.write(get);
      await count(1);
      release();
      expect((await client.closed).split("done")[1]).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n/);
    }
    await closing;
  });

  it("lets HTTP/2 streams in flight finish, after GOAWAY", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ ...options, handler });
    const session = session2(listener);
    const stream = session.request({ ":path": "/" });
    await count(1);
    const closing = listener.close();
    const [code] = await once(session, "goaway");
    expect(code).toBe(constants.NGHTTP2_NO_ERROR);
    release();
    expect((await answerOf(stream)).body).toBe("done");
    await closing;
  });

  it("ends unused connections soon: silent ones, kept-alive ones, idle sessions", async () => {
    const listener = await open({ ...options, handler: (_req, res) => answer(res, "ok") });
    const silent = await rawClient(listener);
    const unsaid = await rawClient({ ...listener, url: listener.url.replace("https", "http") });
    const idle = await rawClient(listener, get);
    await idle.until(/ok$/);
    const session = session2(listener);
    await call2(session, { ":path": "/" });
    const sessionClosed = once(session, "close");
    await listener.close(noDeadline);
    await Promise.all([silent.closed, unsaid.closed, idle.closed, sessionClosed]);
    expect(cutsOf(listener)).toEqual({});
  });

  it("serves what has come in part, and what comes on connections that were silent", async () => {
    const handler: ListenerHandler = (_req, res) => answer(res, "ok");
    const listener = await open({ ...options, handler, limits: { drainQuietMs: 1_000_000 } });
    const part = await rawClient(listener, get.slice(0, 20));
    const silent = await rawClient(listener);
    await call1(listener, "/", { agent: false });
    const closing = listener.close(noDeadline);
    await refusesConnections(listener);
    part.socket.write(get.slice(20));
    silent.socket.write(get);
    for (const client of [part, silent]) {
      expect(await client.closed).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n/);
    }
    await closing;
  });

  it("destroys what is left after graceMs", async () => {
    const { handler, count } = holding();
    const listener = await open({ ...options, handler });
    const client = await rawClient(listener, get);
    const session = session2(listener);
    const stream = session.request({ ":path": "/" });
    const reset = resetCode(stream);
    await count(2);
    await listener.close({ graceMs: 30 });
    expect(await client.closed).toBe("");
    await reset;
  });

  it("ends an HTTP/1.1 response that had begun, and its connection with it", async () => {
    const { handler, count, held } = holding();
    const listener = await open({ ...options, handler });
    const client = await rawClient(listener, get);
    await count(1);
    const [res] = held as { write(chunk: string): unknown; end(chunk: string): unknown }[];
    res?.write("first ");
    await client.until(/first /);
    const closing = listener.close();
    res?.end("last");
    expect(await client.closed).toMatch(/first [\s\S]*last\r\n0\r\n\r\n$/);
    await closing;
  });
});

describe("close", () => {
  it("is idempotent", async () => {
    const listener = await open();
    const first = listener.close();
    expect(listener.close()).toBe(first);
    await first;
    await listener.close();
  });

  it("serves all pipelined requests in their turn, and those that follow", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ handler, limits });
    const client = await rawClient(listener, get + get);
    await count(1);
    const closing = listener.close();
    await refusesConnections(listener);
    client.socket.write(get);
    // Read on another connection after it.
    await refusesConnections(listener);
    for (let served = 0; served < 3; served += 1) {
      await count(1);
      release();
    }
    const raw = await client.closed;
    expect(raw.match(/done/g)).toHaveLength(3);
    expect(raw.match(/Connection: close/g)).toHaveLength(1);
    await closing;
  });

  it("does not serve a request behind an answer that has said that it is the last", async () => {
    const { handler, count, held } = holding();
    const listener = await open({ handler, limits });
    const client = await rawClient(listener, get);
    await count(1);
    const closing = listener.close();
    await refusesConnections(listener);
    const [res] = held as { write(chunk: string): unknown; end(chunk: string): unknown }[];
    res?.write("first ");
    await client.until(/Connection: close\r\n[\s\S]*first /);
    client.socket.write(get);
    // Read on another connection after it.
    await refusesConnections(listener);
    res?.end("last");
    expect(await client.closed).toMatch(/last\r\n0\r\n\r\n$/);
    expect(held).toHaveLength(1);
    await closing;
  });

  it("goes on as before for the lame-duck time", async () => {
    const listener = await open({ handler: (_req, res) => answer(res, "ok"), limits });
    const client = await rawClient(listener, get);
    const session = session2(listener);
    await client.until(/ok$/);
    let isOver = false;
    const started = performance.now();
    const closing = listener.close({ ...noDeadline, lameDuckMs: 200 }).then(() => {
      isOver = true;
    });
    expect((await call1(listener, "/", { agent: false })).status).toBe(200);
    expect((await call2(session, { ":path": "/" })).status).toBe(200);
    client.socket.write(get);
    const raw = await client.until(/ok[\s\S]*ok$/);
    if (performance.now() - started < 200) {
      expect(isOver).toBe(false);
      expect(raw).not.toContain("Connection: close");
    }
    await closing;
    expect(performance.now() - started).toBeGreaterThan(199);
  });

  it("closes a connection whose request was answered before all of it had come, once it has", async () => {
    const listener = await open({ limits, handler: (_req, res) => answer(res, "ok") });
    const client = await rawClient(listener, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    await client.until(/ok$/);
    client.socket.write("rest");
    // An answer on another connection comes after those bytes have.
    await call1(listener, "/");
    await Promise.all([client.closed, listener.close({ graceMs: 1_000_000 })]);
  });

  it("accepts connections for the lame-duck time, also where none was open", async () => {
    const listener = await open({ limits });
    const closing = listener.close({ graceMs: 1_000_000, lameDuckMs: 200 });
    expect(await call1(listener, "/")).toMatchObject({ status: 200 });
    await closing;
    await refusesConnections(listener);
  });

  it("ends a connection whose TLS handshake finishes only after close began", async () => {
    const listener = await open({ tls, limits });
    // Between client and listener, and stops after the first few bytes of the handshake.
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const front = createServer((client) => {
      const upstream = connect({ port: listener.port, host: "127.0.0.1" });
      client.once("data", (chunk: Buffer) => {
        upstream.write(chunk.subarray(0, 8));
        void held.then(() => {
          upstream.write(chunk.subarray(8));
          client.pipe(upstream);
        });
      });
      upstream.pipe(client);
      upstream.on("error", () => client.destroy());
      client.on("error", () => upstream.destroy());
    }).listen(0, "127.0.0.1");
    await once(front, "listening");
    const session = session2({ ...listener, url: `https://127.0.0.1:${(front.address() as AddressInfo).port}` });
    const sessionClosed = new Promise((resolve) => session.once("close", resolve));
    await once(front, "connection");
    // An answer on another connection comes after the few bytes have arrived.
    await call1(listener, "/");
    const closing = listener.close(noDeadline);
    release();
    await Promise.all([closing, sessionClosed]);
    front.close();
  });

  it("does not wait for an HTTP/2 peer that never hangs up", async () => {
    const listener = await open();
    const client = await rawClient(listener);
    client.socket.allowHalfOpen = true;
    client.socket.write(http2Preface);
    await client.until(settingsFrame);
    await listener.close(noDeadline);
  });
});

describe("close, frame by frame of HTTP/2", () => {
  const noError = constants.NGHTTP2_NO_ERROR;
  const request = (stream: number) =>
    headersFrame(stream, { ":method": "GET", ":scheme": "http", ":path": "/", ":authority": "h" }, true);

  it("says at once which stream is the last where one is open, and serves that", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ handler, limits });
    const client = await frameClient(listener);
    client.write(request(1));
    await count(1);
    const closing = listener.close(noDeadline);
    expect(await client.next("goaway")).toMatchObject({ lastStream: 1, code: noError });
    release();
    expect(await client.next("headers")).toMatchObject({ stream: 1 });
    await client.closed;
    await closing;
  });

  it("does not wait for the answer to its PING for ever", async () => {
    const listener = await open({ limits });
    const client = await frameClient(listener);
    const closing = listener.close(noDeadline);
    await client.next("ping");
    expect(await client.next("goaway")).toMatchObject({ lastStream: 0 });
    await Promise.all([client.closed, closing]);
  });

  it.each([
    ["plaintext", {}],
    ["TLS", { tls }],
  ])("over %s, serves the stream that crossed its PING, and says that it is the last", async (_, options) => {
    const { handler, count, release } = holding();
    const listener = await open({ ...options, handler, limits });
    const client = await frameClient(listener);
    const closing = listener.close(noDeadline);
    await client.next("ping");
    client.write(request(1));
    expect(await client.next("goaway")).toMatchObject({ lastStream: 1, code: noError });
    await count(1);
    release();
    expect(await client.next("headers")).toMatchObject({ stream: 1 });
    await client.closed;
    await closing;
  });

  it("serves the stream that crossed the answer to its first PING, and says that it is the last", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ handler, limits });
    const client = await frameClient(listener);
    const closing = listener.close(noDeadline);
    // nginx reads the PING after the end of an answer, answers it, and keeps the connection for its next stream.
    client.write(pingFrame((await client.next("ping")).payload, true));
    await client.next("ping");
    client.write(request(1));
    expect(await client.next("goaway")).toMatchObject({ lastStream: 1, code: noError });
    await count(1);
    release();
    expect(await client.next("headers")).toMatchObject({ stream: 1 });
    await client.closed;
    await closing;
  });

  it("sends no frame before its settings to a connection that opens while it closes", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ handler, limits: { drainQuietMs: 1_000_000 } });
    const busy = await rawClient(listener, get);
    await count(1);
    const late = await rawClient(listener);
    // Accepted after it.
    const last = await rawClient(listener, get);
    await count(2);
    const closing = listener.close(noDeadline);
    await refusesConnections(listener);
    late.socket.write(http2Preface);
    expect(await late.until(settingsFrame)).toMatch(settingsFrame);
    late.socket.destroy();
    release();
    await Promise.all([busy.closed, last.closed, closing]);
  });
});
