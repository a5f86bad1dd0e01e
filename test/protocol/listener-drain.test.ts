import { once } from "node:events";
import { constants } from "node:http2";
import { type AddressInfo, connect, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import type { ListenerHandler, ListenerResponse } from "../../src/rpc/listener/handler.ts";
import {
  answer,
  answerOf,
  bodyOf,
  call1,
  call2,
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

describe.each([
  { name: "plaintext", options: {} },
  { name: "TLS", options: { tls } },
])("close, $name", ({ options }) => {
  it("lets HTTP/1.1 requests in flight finish, with Connection: close, and refuses new connections", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ ...options, handler });
    const client = await rawClient(listener, get);
    await count(1);
    const closing = listener.close();
    await expect(call1(listener, "/")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    release();
    const raw = await client.closed;
    expect(raw).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n[\s\S]*done$/);
    await closing;
  });

  it("answers the HTTP/1.1 request that has arrived on an idle connection when it begins", async () => {
    const listener = await open({ ...options, handler: (_req, res) => answer(res, "ok") });
    const client = await rawClient(listener, get);
    await client.until(/ok$/);
    // The bytes are in the server's socket when this returns; it has not read them yet.
    client.socket.write(get);
    const closing = listener.close();
    const raw = await client.closed;
    expect(raw.slice(raw.indexOf("ok") + 2)).toMatch(/^HTTP\/1\.1 503 [\s\S]*\r\nConnection: close\r\n/);
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

  it("ends unused connections at once: silent ones, kept-alive ones, idle sessions", async () => {
    const listener = await open({ ...options, handler: (_req, res) => answer(res, "ok") });
    const silent = await rawClient(listener);
    const unsaid = await rawClient({ ...listener, url: listener.url.replace("https", "http") });
    const idle = await rawClient(listener, get);
    await idle.until(/ok$/);
    const session = session2(listener);
    await call2(session, { ":path": "/" });
    const sessionClosed = once(session, "close");
    // The default grace would fail the test by its timeout.
    await listener.close({ graceMs: 1_000_000 });
    await Promise.all([silent.closed, unsaid.closed, idle.closed, sessionClosed]);
  });

  it("refuses what arrives on an HTTP/1.1 connection after close began with 503", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ ...options, handler });
    const busy = await rawClient(listener, get);
    const late = await rawClient(listener, get.slice(0, 20));
    await count(1);
    // The half request must have been read before the close, or its connection counts as silent: it was sent before
    // another connection's request, which has arrived.
    await rawClient(listener, get);
    await count(2);
    const closing = listener.close();
    late.socket.write(get.slice(20));
    const raw = await late.closed;
    expect(raw).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    expect(raw).toMatch(/\r\nConnection: close\r\n/i);
    expect(bodyOf(raw)).toEqual({ code: 14, message: "The server is shutting down.", details: [] });
    release();
    await Promise.all([busy.closed, closing]);
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

  it("lets all pipelined requests in flight finish", async () => {
    const { handler, count, release } = holding();
    const listener = await open({ handler });
    const client = await rawClient(listener, get + get);
    await count(2);
    const closing = listener.close();
    release();
    expect((await client.closed).match(/done/g)).toHaveLength(2);
    await closing;
  });

  it("ends a connection whose TLS handshake finishes only after close began", async () => {
    const listener = await open({ tls });
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
    const closing = listener.close({ graceMs: 1_000_000 });
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
    await listener.close({ graceMs: 1_000_000 });
  });
});
