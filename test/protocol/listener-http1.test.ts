// How requests follow one another on a connection of HTTP/1.1, and how it ends. RFC 9112 says both.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ListenerHandler, ListenerRequest, ListenerResponse } from "../../src/rpc/listener/handler.ts";
import { answer, bodyOf, call1, cutsOf, echo, open, rawClient, tls } from "./listener-clients.ts";

const schemes = [
  { name: "plaintext", options: {} },
  { name: "TLS", options: { tls } },
];

const get = (path: string, lines = "") => `GET ${path} HTTP/1.1\r\nHost: h\r\n${lines}\r\n`;
const last = (path: string) => get(path, "Connection: close\r\n");
/** The answers among the bytes of a connection: the status of each, and what its body says of the request. */
const answersIn = (raw: string): readonly string[] =>
  [...raw.matchAll(/HTTP\/1\.1 (\d+) [\s\S]*?\r\n\r\n(?:\{[^{}]*?"url":"([^"]*)")?/g)].map(([, status, url]) =>
    url === undefined ? `${status}` : `${status} ${url}`,
  );

/** A handler that answers one request after the other, each when the test says so. */
function holding() {
  const held: { readonly req: ListenerRequest; readonly res: ListenerResponse }[] = [];
  let wake = () => {};
  const handler: ListenerHandler = (req, res) => {
    held.push({ req, res });
    wake();
  };
  return {
    handler,
    held,
    /** The next request that has begun. */
    async next() {
      if (held.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const { req, res } = held.shift() ?? expect.unreachable();
      return { req, res, answer: () => answer(res, JSON.stringify({ url: req.url })) };
    },
  };
}

describe.each(schemes)("an answer before the end of the request, $name", ({ options }) => {
  const refuse: ListenerHandler = (_req, res) => answer(res, "{}", 404);
  const body = "a".repeat(4 * 1024 * 1024);

  it("closes in stages where the body is large", async () => {
    const listener = await open({ ...options, handler: refuse });
    const head = `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n`;
    const client = await rawClient(listener, head + body);
    const raw = await client.closed;
    expect(client.errors).toEqual([]);
    expect(raw).toMatch(/^HTTP\/1\.1 404 [\s\S]*\r\nConnection: close\r\n\r\n\{\}$/);
  });

  it("keeps the connection where the body is small", async () => {
    const listener = await open({ ...options, handler: refuse });
    const client = await rawClient(listener, `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n`);
    await client.until(/\r\n\r\n\{\}$/);
    client.socket.write("a".repeat(20_000) + last("/second"));
    expect(answersIn(await client.closed)).toEqual(["404", "404"]);
  });

  it("keeps the connection where the next request comes before the answer is out, with its body in chunks", async () => {
    const listener = await open({ ...options, handler: refuse });
    const chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    const client = await rawClient(listener, chunked + chunked);
    await client.until(/\{\}[\s\S]*\r\n\r\n\{\}$/);
    client.socket.write(last("/third"));
    expect(answersIn(await client.closed)).toEqual(["404", "404", "404"]);
  });

  it("closes in stages where the rest of a small body does not come", async () => {
    const listener = await open({ ...options, handler: refuse });
    const client = await rawClient(listener, `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n`);
    await client.closed;
    expect(client.errors).toEqual([]);
    expect(answersIn(client.text())).toEqual(["404"]);
  });

  it("drops no more than 16 MiB", async () => {
    const listener = await open({ ...options, handler: refuse });
    const length = 1024 * 1024 * 1024;
    const client = await rawClient(listener, `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n\r\n`);
    const piece = Buffer.alloc(64 * 1024);
    // A client that never reads, and sends for as long as it can.
    client.socket.pause();
    const write = () => {
      while (!client.socket.destroyed && client.socket.write(piece));
    };
    client.socket.on("drain", write);
    write();
    await client.closed;
    // What TLS and HTTP add is little.
    expect(listener.usage().bytesReceived).toBeLessThan(18 * 1024 * 1024);
  });

  it("answers an expectation that it does not know, and reads no request in the body that follows", async () => {
    const listener = await open(options);
    const head = "POST /tea HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n";
    const smuggled = get("/smuggled");
    const client = await rawClient(
      listener,
      `${head}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}${last("/")}`,
    );
    expect(answersIn(await client.closed)).toEqual(["417", "200 /"]);
    const large = await rawClient(listener, `${head}Content-Length: ${body.length}\r\n\r\n${body}`);
    expect(answersIn(await large.closed)).toEqual(["417"]);
    expect(large.errors).toEqual([]);
  });
});

describe("pipelined requests", () => {
  it("are begun one after the other", async () => {
    const { handler, held, next } = holding();
    const listener = await open({ handler });
    const client = await rawClient(listener, get("/1") + get("/2") + last("/3"));
    for (const url of ["/1", "/2", "/3"]) {
      const { req, answer } = await next();
      expect(req.url).toBe(url);
      expect(held).toEqual([]);
      answer();
    }
    expect(answersIn(await client.closed)).toEqual(["200 /1", "200 /2", "200 /3"]);
  });

  it("are not begun behind an answer that ends the connection", async () => {
    const begun: unknown[] = [];
    const handler: ListenerHandler = (req, res) => {
      begun.push(req.url);
      if (req.url !== "/large") return echo(req, res);
      req.resume();
      res.setHeader("connection", "close");
      answer(res, "{}", 413);
    };
    const client = await rawClient(
      await open({ handler }),
      `POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc${get("/behind")}`,
    );
    expect(answersIn(await client.closed)).toEqual(["413"]);
    expect(begun).toEqual(["/large"]);
    expect(client.errors).toEqual([]);
  });

  it("behind `Connection: close` are passed over", async () => {
    const { handler, held, next } = holding();
    const listener = await open({ handler });
    const client = await rawClient(listener, last("/1") + get("/2"));
    (await next()).answer();
    expect(answersIn(await client.closed)).toEqual(["200 /1"]);
    expect(held).toEqual([]);
    expect(cutsOf(listener)).toEqual({});
  });

  it("with a large body wait for another connection", async () => {
    const { handler, held, next } = holding();
    const body = "a".repeat(300_000);
    const large = `POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const client = await rawClient(await open({ handler }), get("/1") + large + get("/3"));
    (await next()).answer();
    const raw = await client.closed;
    expect(answersIn(raw)).toEqual(["200 /1"]);
    expect(raw).toContain("\r\nConnection: close\r\n");
    expect(client.errors).toEqual([]);
    expect(held).toEqual([]);
  });

  it("beyond 256 wait for another connection", async () => {
    const { handler, next } = holding();
    const client = await rawClient(await open({ handler }), get("/").repeat(1_000));
    for (let count = 0; count < 257; count += 1) (await next()).answer();
    const raw = await client.closed;
    expect(answersIn(raw)).toHaveLength(257);
    expect(raw.match(/\r\nConnection: close\r\n/g)).toHaveLength(1);
    expect(client.errors).toEqual([]);
  });

  it("beyond what waits on all connections together wait for another connection", async () => {
    const { handler, next } = holding();
    const listener = await open({ handler, limits: { maxWaitingRequests: 2 } });
    const first = await rawClient(listener, get("/1") + get("/2") + get("/3"));
    const answerFirst = (await next()).answer;
    const refused = await rawClient(listener, get("/a") + get("/b"));
    (await next()).answer();
    expect(answersIn(await refused.closed)).toEqual(["200 /a"]);
    expect(refused.errors).toEqual([]);
    // Whoever has gone leaves the places to others.
    answerFirst();
    await next();
    const gone = once(first.socket, "close");
    first.socket.destroy();
    await gone;
    const second = await rawClient(listener, get("/x") + get("/y") + last("/z"));
    for (let count = 0; count < 3; count += 1) (await next()).answer();
    expect(answersIn(await second.closed)).toEqual(["200 /x", "200 /y", "200 /z"]);
  });

  it("with headers that are refused wait for another connection", async () => {
    const { handler, held, next } = holding();
    const lines = Array.from({ length: 200 }, (_, count) => `a${count}:\r\n`).join("");
    const client = await rawClient(await open({ handler }), get("/1") + get("/2", lines) + get("/3"));
    (await next()).answer();
    expect(answersIn(await client.closed)).toEqual(["200 /1"]);
    expect(client.errors).toEqual([]);
    expect(held).toEqual([]);
  });

  it.each(schemes)("are read no further than the one that must not wait, $name", async ({ options }) => {
    const { handler, next } = holding();
    let read = 0;
    const count = (message: unknown) => {
      if ((message as { request: IncomingMessage }).request.url === "/read") read += 1;
    };
    subscribe("http.server.request.start", count);
    onTestFinished(() => void unsubscribe("http.server.request.start", count));
    const listener = await open({ ...options, handler, limits: { maxWaitingRequests: 10 } });
    const client = await rawClient(listener, get("/read").repeat(1_000));
    for (let served = 0; served < 11; served += 1) (await next()).answer();
    expect(answersIn(await client.closed)).toHaveLength(11);
    // The first that must not wait is among them, and no other.
    expect(read).toBe(12);
  });

  it.each([
    ["nothing", ""],
    ["a request", get("/behind")],
    ["a request with a body", `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n${"a".repeat(30_000)}`],
    ["a large request", `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n${"a".repeat(99_999)}`],
    ["garbage", "\x00\x01"],
  ])("leave a long answer to see that its client goes: behind it %s", async (_name, behind) => {
    const { handler, next } = holding();
    const client = await rawClient(await open({ handler }), get("/long"));
    const { res } = await next();
    const gone = once(res, "close");
    (res as { write(chunk: string): unknown }).write("begun");
    await client.until(/begun/);
    client.socket.write(behind, () => client.socket.destroy());
    await gone;
  });
});

it("a request with more fields than are kept is refused, and no field of it is taken for absent", async () => {
  const { handler, held } = holding();
  const lines = `${"a:\r\n".repeat(1_024)}Authorization: Bearer it\r\n`;
  const client = await rawClient(await open({ handler }), get("/", lines));
  expect(answersIn(await client.closed)).toEqual(["431"]);
  expect(held).toEqual([]);
});

describe("what cannot be read behind a request", () => {
  it.each(["\x00garbage", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"])(
    "leaves that one its answer: %j",
    async (garbage) => {
      const { handler, next } = holding();
      const listener = await open({ handler });
      const client = await rawClient(listener, get("/1") + get("/2") + garbage);
      (await next()).answer();
      (await next()).answer();
      const raw = await client.closed;
      expect(answersIn(raw)).toEqual(["200 /1", "200 /2"]);
      expect(raw).toMatch(/"\/1"[\s\S]*\r\nConnection: close\r\n[\s\S]*"\/2"/);
      expect(cutsOf(listener)).toEqual({ malformed: 1 });
      expect(client.errors).toEqual([]);
    },
  );

  it("is answered in its turn where it is the body of a request", async () => {
    const { handler, held, next } = holding();
    const listener = await open({ handler });
    const bad = "POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const alone = await rawClient(listener, `${bad}no number\r\n`);
    const raw = await alone.closed;
    expect(answersIn(raw)).toEqual(["400"]);
    expect(bodyOf(raw)).toMatchObject({ code: 3 });
    held.length = 0;
    const behind = await rawClient(
      listener,
      `${get("/1")}POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcno HTTP`,
    );
    (await next()).answer();
    (await next()).answer();
    expect(answersIn(await behind.closed)).toEqual(["200 /1", "200 /2"]);
  });

  it("does not cut an answer that is complete and on its way", async () => {
    const large = "x".repeat(3_000_000);
    const handler: ListenerHandler = (_req, res) => answer(res, large, 404);
    const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const client = await rawClient(await open({ handler }), `${head}no number\r\n`);
    expect((await client.closed).endsWith(large)).toBe(true);
  });
});

describe("Upgrade", () => {
  const upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";

  it.each(schemes)("is ignored, and what is pipelined behind it is answered, $name", async ({ options }) => {
    const listener = await open(options);
    const client = await rawClient(listener, get("/1", upgrade) + get("/2") + last("/3"));
    const raw = await client.closed;
    expect(answersIn(raw)).toEqual(["200 /1", "200 /2", "200 /3"]);
    // All that a handler sees but the field itself.
    expect(raw).toContain('"http2-settings":"AAMAAABkAAQAAP__"');
    expect(raw).not.toContain('"upgrade"');
  });

  it("is ignored twice on one connection, and with a body", async () => {
    const post = `POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n${upgrade}\r\nabc`;
    const client = await rawClient(await open(), get("/1", upgrade));
    await client.until(/"\/1"/);
    client.socket.write(post + last("/3"));
    const raw = await client.closed;
    expect(answersIn(raw)).toEqual(["200 /1", "200 /2", "200 /3"]);
    expect(raw).toContain('"body":"abc"');
  });

  it("in several pieces is ignored", async () => {
    const client = await rawClient(await open(), get("/1", upgrade).slice(0, 40));
    await call1(await open(), "/");
    client.socket.write(get("/1", upgrade).slice(40) + last("/2"));
    expect(answersIn(await client.closed)).toEqual(["200 /1", "200 /2"]);
  });

  it("behind a request in flight is served as the last one", async () => {
    const { handler, next } = holding();
    const client = await rawClient(await open({ handler }), get("/1") + get("/2", upgrade) + get("/3"));
    (await next()).answer();
    (await next()).answer();
    const raw = await client.closed;
    expect(answersIn(raw)).toEqual(["200 /1", "200 /2"]);
    expect(raw).toMatch(/"\/1"[\s\S]*\r\nConnection: close\r\n[\s\S]*"\/2"/);
  });
});

describe("CONNECT", () => {
  it("behind a request in flight ends the connection after its answer", async () => {
    const { handler, next } = holding();
    const client = await rawClient(await open({ handler }), `${get("/1")}CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n`);
    (await next()).answer();
    const raw = await client.closed;
    expect(answersIn(raw)).toEqual(["200 /1"]);
    expect(raw).toContain("\r\nConnection: close\r\n");
  });
});

describe("requests whose end is in doubt", () => {
  const smuggled = get("/smuggled");

  it.each([
    { fields: "Transfer-Encoding: gzip, chunked\r\n", status: 501 },
    { fields: "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", status: 501 },
    { fields: "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", status: 400 },
    { fields: "Transfer-Encoding: chunked, gzip\r\n", status: 400 },
    { fields: "Transfer-Encoding: gzip\r\n", status: 501 },
    { fields: "Transfer-Encoding: xchunked\r\n", status: 501 },
    { fields: "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", status: 400 },
    { fields: "Content-Length: 3\r\nContent-Length: 4\r\n", status: 400 },
    { fields: "Content-Length: 3, 3\r\n", status: 400 },
    { fields: "Content-Length: +3\r\n", status: 400 },
    { fields: "Transfer-Encoding: chunked\r\n", version: "1.0", status: 400 },
    { fields: "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", version: "1.0", status: 400 },
    { fields: "Transfer-Encoding: gzip, chunked\r\nConnection: keep-alive\r\n", version: "1.0", status: 400 },
    { fields: "Content-Length: 0\r\n", version: "2.0", status: 505 },
    { fields: "Content-Length: 0\r\n", version: "0.9", status: 505 },
  ])("get $status, are not served, and end the connection: HTTP/$version $fields", async (row) => {
    const { fields, version = "1.1", status } = row;
    const { handler, held } = holding();
    const listener = await open({ handler });
    const client = await rawClient(
      listener,
      `POST / HTTP/${version}\r\nHost: h\r\n${fields}\r\n3\r\nabc\r\n0\r\n\r\n${smuggled}`,
    );
    const raw = await client.closed;
    expect(answersIn(raw)).toEqual([`${status}`]);
    expect(raw).toMatch(/\r\nconnection: close\r\n/i);
    expect(bodyOf(raw)).toMatchObject({ message: expect.any(String), details: [] });
    expect(held).toEqual([]);
    expect(client.errors).toEqual([]);
  });

  it.each(["chunked", "Chunked"])("with the coding %j are served", async (coding) => {
    const head = `POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: ${coding}\r\n\r\n`;
    const client = await rawClient(await open(), `${head}3\r\nabc\r\n0\r\n\r\n`);
    expect(await client.closed).toContain('"body":"abc"');
  });
});
