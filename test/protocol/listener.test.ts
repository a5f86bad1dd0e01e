import { once } from "node:events";
import { constants } from "node:http2";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import type { StreamHandler } from "../../src/rpc/listener/handler.ts";
import { openListener } from "../../src/rpc/listener/listener.ts";
import {
  answerOf,
  bodyOf,
  call1,
  call2,
  cutsOf,
  echo,
  http2Preface,
  open,
  rawClient,
  resetCode,
  session2,
  settingsFrame,
  tls,
} from "./listener-clients.ts";

const schemes = [
  { name: "plaintext", options: {} },
  { name: "TLS", options: { tls } },
];

describe.each(schemes)("one port, $name", ({ options }) => {
  it("serves HTTP/1.1 and HTTP/2 with the same handler", async () => {
    const listener = await open(options);
    const first = await call1(listener, "/a?b=%2F", { method: "POST", body: "one" });
    expect(JSON.parse(first.body)).toMatchObject({ method: "POST", url: "/a?b=%2F", httpVersion: "1.1", body: "one" });
    const second = await call2(session2(listener), { ":method": "POST", ":path": "/a?b=%2F" }, "two");
    expect(JSON.parse(second.body)).toMatchObject({ method: "POST", url: "/a?b=%2F", httpVersion: "2.0", body: "two" });
  });

  it("shows a doubled authorization, and any doubled header, joined on both versions", async () => {
    const listener = await open(options);
    const wanted = {
      authorization: "Bearer a, Bearer b",
      "x-zitadel-orgid": "1, 2",
      "content-type": "text/a, text/b",
      cookie: "c=1; d=2",
    };
    const fields = ["authorization", "Bearer a", "authorization", "Bearer b", "x-zitadel-orgid", "1"];
    fields.push(
      "x-zitadel-orgid",
      "2",
      "content-type",
      "text/a",
      "content-type",
      "text/b",
      "cookie",
      "c=1",
      "cookie",
      "d=2",
    );
    const lines = fields.map((field, i) => (i % 2 === 0 ? `${field}: ` : `${field}\r\n`)).join("");
    const client = await rawClient(listener, `GET / HTTP/1.1\r\nHost: h\r\n${lines}Connection: close\r\n\r\n`);
    expect(bodyOf(await client.closed)).toMatchObject({ httpVersion: "1.1", headers: wanted });
    const second = await call2(session2(listener), [":method", "GET", ":path", "/", ...fields]);
    expect(JSON.parse(second.body)).toMatchObject({ httpVersion: "2.0", headers: wanted });
  });

  it("answers CONNECT with 501 on both versions", async () => {
    const listener = await open(options);
    const client = await rawClient(listener, "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n");
    const raw = await client.closed;
    expect(raw).toMatch(/^HTTP\/1\.1 501 Not Implemented\r\n/);
    expect(bodyOf(raw)).toEqual({ code: 12, message: "CONNECT is not supported.", details: [] });
    const second = await call2(session2(listener), { ":method": "CONNECT", ":authority": "h:1" });
    expect(second.status).toBe(501);
  });

  it("sends 100 Continue at once and refuses other expectations with 417", async () => {
    const listener = await open(options);
    const head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n";
    const client = await rawClient(listener, `${head}Expect: 100-continue\r\n\r\n`);
    await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    client.socket.write("abc");
    expect(await client.closed).toContain('"body":"abc"');
    const other = await rawClient(listener, `${head}Expect: tea\r\n\r\nabc`);
    expect(await other.closed).toMatch(/^HTTP\/1\.1 417 [\s\S]*"code":3/);

    const session = session2(listener);
    const stream = session.request({ ":method": "POST", ":path": "/", expect: "100-continue" }, { endStream: false });
    await once(stream, "continue");
    stream.end("abc");
    expect((await answerOf(stream)).body).toContain('"body":"abc"');
    expect((await call2(session, { ":path": "/", expect: "tea" })).status).toBe(417);
  });

  it("survives resets in the middle of requests and answers, and garbage", async () => {
    const uncaught: unknown[] = [];
    const wroteOn = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let streams = 0;
    const listener = await open({
      ...options,
      handler(req, res) {
        if (req.url !== "/stream") return echo(req, res);
        const written = wroteOn[streams++];
        const write = () => (res as { write(chunk: string): unknown }).write("x".repeat(1000));
        let left = 20;
        let isGone = false;
        res.once("close", () => {
          isGone = true;
        });
        // Goes on for some turns when the client has gone.
        const go = () => {
          write();
          if (isGone) left -= 1;
          if (left > 0) setImmediate(go);
          else written?.resolve();
        };
        go();
      },
      onError: (error) => uncaught.push(error),
    });
    for (const path of ["/stream", "/"]) {
      const head = `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc`;
      const client = await rawClient(listener, head);
      if (path === "/stream") await client.until(/x{100}/);
      client.reset();

      const session = session2(listener);
      const stream = session.request({ ":method": "POST", ":path": path }, { endStream: false });
      stream.on("error", () => {});
      stream.write("abc");
      if (path === "/stream") await once(stream, "data");
      session.destroy();
    }
    const early = await rawClient(listener, options === schemes[0]?.options ? "P" : undefined);
    await call1(listener, "/");
    early.reset();
    for (const garbage of [
      "\x00\x01\x02\x03",
      `PRI * HTTP/2.0\r\nnot the rest\r\n`,
      `${http2Preface}\xff\xff\xff\xff\xff\xff\xff\xff\xff`,
    ]) {
      const client = await rawClient(listener, garbage);
      await client.closed;
    }
    // What goes on after a whole preface, nghttp2 ends; over TLS this client has agreed upon HTTP/1.1.
    const isPlain = options === schemes[0]?.options;
    expect(cutsOf(listener)).toEqual(isPlain ? { malformed: 2, flood: 1 } : { malformed: 3 });
    await Promise.all(wroteOn.map(({ promise }) => promise));
    expect((await call1(listener, "/")).status).toBe(200);
    expect((await call2(session2(listener), { ":path": "/" })).status).toBe(200);
    expect(uncaught).toEqual([]);
  });

  it("survives a handler that writes after the end", async () => {
    const listener = await open({
      ...options,
      handler(_req, res) {
        const either = res as { end(chunk: string): unknown; write(chunk: string): unknown };
        either.end("done");
        either.write("more");
      },
    });
    const client = await rawClient(listener, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(await client.closed).toMatch(/^HTTP\/1\.1 200 OK/);
    await resetCode(session2(listener).request({ ":path": "/" }));
    expect((await call1(listener, "/")).status).toBe(200);
  });

  it("reports what the handler throws and answers 500", async () => {
    const reported: unknown[] = [];
    const bug = new Error("secret");
    const handler = () => {
      throw bug;
    };
    const listener = await open({ ...options, handler, onError: (error) => reported.push(error) });
    const first = await call1(listener, "/");
    const second = await call2(session2(listener), { ":path": "/" });
    for (const { status, body } of [first, second]) {
      expect(status).toBe(500);
      expect(JSON.parse(body)).toEqual({ code: 13, message: "The server failed to handle the request.", details: [] });
    }
    expect(reported).toEqual([bug, bug]);
  });

  it("reports what the stream handler throws, and resets the stream alone", async () => {
    const reported: unknown[] = [];
    const bug = new Error("secret");
    const streamHandler: StreamHandler = (_stream, headers) => {
      if (headers[":path"] === "/bug") throw bug;
      return false;
    };
    const handler = Object.assign(echo.bind(undefined), { streamHandler });
    const listener = await open({ ...options, handler, onError: (error) => reported.push(error) });
    const session = session2(listener);
    expect(await resetCode(session.request({ ":path": "/bug" }))).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    expect((await call2(session, { ":path": "/" })).status).toBe(200);
    expect(reported).toEqual([bug]);
  });
});

describe("plaintext sniffing", () => {
  it.each([
    ["P", "OST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 200/],
    ["PR", http2Preface.slice(2), settingsFrame],
    ["PR", "OPFIND / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 200/],
    ["", http2Preface, settingsFrame],
  ])("decides after %j + %j", async (first, rest, wanted) => {
    const listener = await open();
    const client = await rawClient(listener, first);
    // Nothing tells when the server has read the first piece; an answered request on another connection comes after it.
    await call1(listener, "/");
    client.socket.write(rest);
    expect(await client.until(wanted)).toMatch(wanted);
  });

  it("ignores Upgrade: h2c and serves HTTP/1.1", async () => {
    const listener = await open();
    const upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    const client = await rawClient(listener, `GET / HTTP/1.1\r\nHost: h\r\n${upgrade}\r\n`);
    expect(await client.until(/"body":""/)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it("serves pipelined requests in order", async () => {
    const listener = await open();
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;
    const client = await rawClient(listener, get("/1") + get("/2") + get("/3"));
    expect(await client.until(/\/3/)).toMatch(/"url":"\/1"[\s\S]*"url":"\/2"[\s\S]*"url":"\/3"/);
  });

  it("refuses a missing and a doubled Host with 400, except that HTTP/1.0 needs none", async () => {
    const listener = await open();
    for (const hosts of ["", "Host: a\r\nHost: b\r\n"]) {
      const client = await rawClient(listener, `GET / HTTP/1.1\r\n${hosts}\r\n`);
      const raw = await client.closed;
      expect(raw).toMatch(/^HTTP\/1\.1 400 /);
      expect(bodyOf(raw)).toMatchObject({ code: 3 });
    }
    const old = await rawClient(listener, "GET / HTTP/1.0\r\n\r\n");
    expect(await old.closed).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });
});

describe("TLS", () => {
  it("speaks HTTP/1.1 to a client without ALPN", async () => {
    const listener = await open({ tls });
    const socket = connectTls({ port: listener.port, host: "127.0.0.1", ca: tls.cert, servername: "localhost" });
    socket.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let text = "";
    for await (const chunk of socket) text += chunk;
    expect(text).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  it("refuses TLS 1.1 and survives bytes that are no TLS", async () => {
    const listener = await open({ tls });
    const old = connectTls({
      port: listener.port,
      host: "127.0.0.1",
      ca: tls.cert,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    await once(old, "error");
    const plain = await rawClient(
      { ...listener, url: listener.url.replace("https", "http") },
      "GET / HTTP/1.1\r\n\r\n",
    );
    await plain.closed;
    expect(cutsOf(listener)).toEqual({ tls_handshake: 2 });
    expect((await call1(listener, "/")).status).toBe(200);
  });

  it("cuts a handshake that does not finish", async () => {
    const listener = await open({ tls, limits: { tlsHandshakeTimeoutMs: 50 } });
    const silent = await rawClient({ ...listener, url: listener.url.replace("https", "http") });
    await silent.closed;
    expect(cutsOf(listener)).toEqual({ tls_handshake: 1 });
  });

  it("rejects a bad certificate", async () => {
    const bad = openListener({ host: "127.0.0.1", port: 0, handler: echo, tls: { cert: "no PEM", key: "no PEM" } });
    await expect(bad).rejects.toMatchObject({ code: /^ERR_OSSL/ });
  });
});

describe("openListener", () => {
  it("gives a URL with an IPv6 address in brackets", async () => {
    const listener = await open({ host: "::1" });
    expect(listener.url).toBe(`http://[::1]:${listener.port}`);
    expect((await call1(listener, "/")).status).toBe(200);
    expect((await call2(session2(listener), { ":path": "/" })).status).toBe(200);
  });

  it("rejects with Node's error when the port is in use", async () => {
    const listener = await open();
    const second = openListener({ host: "127.0.0.1", port: listener.port, handler: echo });
    await expect(second).rejects.toMatchObject({ code: "EADDRINUSE", syscall: "listen", port: listener.port });
  });

  it("rejects with Node's error for an address that is not this machine's", async () => {
    const foreign = openListener({ host: "192.0.2.1", port: 0, handler: echo });
    await expect(foreign).rejects.toMatchObject({ code: "EADDRNOTAVAIL" });
  });
});
