import { brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { expectStatus } from "../fixtures/sturdy.ts";
import { openTranscoding, type TranscodingOptions } from "../fixtures/transcoding.ts";
import { type Exchange, exchange, type Reply, visible } from "../fixtures/wire.ts";
import { rawClient, session2 } from "./listener-clients.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;
const json = { "content-type": "application/json" };

async function ask(request: Exchange, options: TranscodingOptions = {}): Promise<Reply> {
  const server = await openTranscoding(options);
  const reply = await exchange(server.url, request);
  expect(server.failures).toEqual([]);
  return reply;
}

const textOf = ({ body }: Reply): string => body.toString();

/** An answer of each kind of field: what it is where the field is set, and where it is not. */
const answers: readonly {
  readonly field: string;
  readonly sent: string;
  readonly want: string;
  readonly unset: string;
}[] = [
  { field: "text", sent: '{"text":"a"}', want: '"a"', unset: '""' },
  { field: "big", sent: '{"big":"9007199254740993"}', want: '"9007199254740993"', unset: '"0"' },
  { field: "flag", sent: '{"flag":true}', want: "true", unset: "false" },
  { field: "raw", sent: '{"raw":"_w"}', want: '"/w=="', unset: '""' },
  { field: "shade", sent: '{"shade":2}', want: '"SHADE_DARK"', unset: '"SHADE_UNSPECIFIED"' },
  { field: "maybe_text", sent: '{"maybeText":""}', want: '""', unset: "null" },
  { field: "chosen_text", sent: '{"chosenText":"a"}', want: '"a"', unset: "null" },
  {
    field: "part",
    sent: '{"part":{"id":"a"}}',
    want: '{"id":"a","size":0,"shade":"SHADE_UNSPECIFIED","tags":[]}',
    unset: "{}",
  },
  { field: "texts", sent: '{"texts":["a","b"]}', want: '["a","b"]', unset: "[]" },
  {
    field: "parts",
    sent: '{"parts":[{}]}',
    want: '[{"id":"","size":0,"shade":"SHADE_UNSPECIFIED","tags":[]}]',
    unset: "[]",
  },
  { field: "labels", sent: '{"labels":{"a":"b"}}', want: '{"a":"b"}', unset: "{}" },
  {
    field: "numbered",
    sent: '{"numbered":{"1":{"tags":["t"]}}}',
    want: '{"1":{"id":"","size":0,"shade":"SHADE_UNSPECIFIED","tags":["t"]}}',
    unset: "{}",
  },
  { field: "time", sent: '{"time":"2024-01-01T00:00:00Z"}', want: '"2024-01-01T00:00:00Z"', unset: "null" },
  { field: "wrapped_text", sent: '{"wrappedText":""}', want: '""', unset: "null" },
  { field: "object", sent: '{"object":{"a":[1]}}', want: '{"a":[1]}', unset: "{}" },
  { field: "value", sent: '{"value":[true]}', want: "[true]", unset: "null" },
  { field: "value", sent: '{"value":null}', want: "null", unset: "null" },
  { field: "list", sent: '{"list":[1,"a"]}', want: '[1,"a"]', unset: "[]" },
  {
    field: "any",
    sent: '{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}',
    want: '{"value":"1s","@type":"type.googleapis.com/google.protobuf.Duration"}',
    unset: "{}",
  },
];

describe.each(versions)("an answer over HTTP/$version", ({ version }) => {
  it.each(answers)("is the field $field alone: $want", async ({ field, sent, want }) => {
    const reply = await ask({ version, path: `/t/v1/answers/${field}`, headers: json, body: sent });
    expect({ status: reply.status, type: reply.headers["content-type"], text: textOf(reply) }).toEqual({
      status: 200,
      type: "application/json",
      text: want,
    });
  });
  it.each(answers)("is $unset where $field is not set", async ({ field, unset }) => {
    const reply = await ask({ version, path: `/t/v1/answers/${field}` });
    expect({ status: reply.status, text: textOf(reply) }).toEqual({ status: 200, text: unset });
  });
  it("is an object for an empty message", async () => {
    const reply = await ask({ version, method: "GET", path: "/t/v1/nothing" });
    expect({ status: reply.status, text: textOf(reply) }).toEqual({ status: 200, text: "{}" });
  });
  it("is not to be kept, and has its length", async () => {
    const { headers } = await ask({ version, method: "GET", path: "/t/v1/nothing" });
    expect(headers).toMatchObject({ "cache-control": "no-store", "content-length": "2", vary: "Accept-Encoding" });
    expect(headers).not.toHaveProperty("etag");
  });

  it("has the handler's headers, and its trailers as headers", async () => {
    const query = "headers=x-a:+1&headers=x-a:+2&headers=cache-control:+max-age%3D5&trailers=x-t:+3";
    const { headers } = await ask({ version, method: "GET", path: `/t/v1/headers?${query}` });
    expect(headers).toMatchObject({ "x-a": "1, 2", "cache-control": "max-age=5", "trailer-x-t": "3" });
  });
  it("has each of several cookies", async () => {
    const query = "headers=set-cookie:+a%3D1&headers=set-cookie:+b%3D2";
    const { headers } = await ask({ version, method: "GET", path: `/t/v1/headers?${query}` });
    expect(headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  });
  it("adds what the handler varies by to what it varies by itself", async () => {
    const { headers } = await ask({ version, method: "GET", path: "/t/v1/headers?headers=vary:+Accept-Language" });
    const names = String(headers.vary).toLowerCase().split(/, */);
    expect(names.sort()).toEqual(["accept-encoding", "accept-language"]);
  });
  it.each([
    "connection: close",
    "content-length: 1",
    "content-encoding: gzip",
    "content-type: text/html",
    "keep-alive: 1",
    "transfer-encoding: chunked",
    "upgrade: h3",
    "te: trailers",
    "trailer: x",
    "proxy-connection: close",
  ])("has nothing of the handler's header %s", async (header) => {
    const reply = await ask({ version, method: "GET", path: `/t/v1/headers?headers=${encodeURIComponent(header)}` });
    const [name = "", value = ""] = header.split(": ");
    expect({ status: reply.status, text: textOf(reply) }).toEqual({ status: 200, text: "{}" });
    if (name !== "connection") expect(reply.headers[name]).not.toBe(value);
  });

  it("to HEAD is that to GET without the body", async () => {
    const path = "/t/v1/things/a";
    const got = await ask({ version, method: "GET", path });
    const head = await ask({ version, method: "HEAD", path });
    const comparable = ({ headers: { date, "x-request-id": id, ...rest }, status }: Reply) => {
      const { connection, "keep-alive": keepAlive, ...headers } = rest;
      return { headers, status };
    };
    expect(comparable(head)).toEqual(comparable(got));
    expect(head.body).toHaveLength(0);
  });
  it("to HEAD comes from a rule of its own where there is one", async () => {
    expect((await ask({ version, method: "HEAD", path: "/t/v1/heads/a" })).headers["x-rpc"]).toBe("HeadThing");
    expect(JSON.parse(textOf(await ask({ version, method: "GET", path: "/t/v1/heads/a" }))).rpc).toBe("GetHead");
  });
  it("to HEAD comes from a rule of any method", async () => {
    const reply = await ask({ version, method: "HEAD", path: "/t/v1/any/a" });
    expect(reply.status).toBe(200);
    expect(reply.body).toHaveLength(0);
  });
  it("to HEAD of what fails is the failure without the body", async () => {
    const reply = await ask({ version, method: "HEAD", path: "/t/v1/throw/NotFound" });
    expect(reply.status).toBe(404);
    expect(reply.body).toHaveLength(0);
  });
  it.each([
    { path: "/t/v1/things/a", allow: "GET, HEAD, OPTIONS, POST" },
    { path: "/t/v1/things/special", allow: "GET, HEAD, OPTIONS, POST, PUT" },
    { path: "/t/v1/things/a:cancel", allow: "GET, HEAD, OPTIONS, POST" },
    { path: "/t/v1/query", allow: "GET, HEAD, OPTIONS" },
    { path: "/t/v1/query/a", allow: "DELETE, OPTIONS" },
    { path: "/t/v1/whole/a", allow: "OPTIONS, PUT" },
    { path: "/t/v1/reports/a", allow: "LAUNCH, OPTIONS, REPORT" },
    { path: "/t/v1/files/a:copy", allow: "GET, HEAD, OPTIONS, POST" },
  ])("to OPTIONS tells the methods of $path, as that to a wrong one does", async ({ path, allow }) => {
    const options = await ask({ version, method: "OPTIONS", path });
    expect(options).toMatchObject({ status: 204, headers: { allow } });
    expect(options.body).toHaveLength(0);
    const wrong = await ask({ version, method: "PROPFIND", path });
    expectStatus(wrong, { http: 405, code: 12 });
    expect(wrong.headers.allow).toBe(allow);
  });
  it("to OPTIONS comes from a rule of any method", async () => {
    const reply = await ask({ version, method: "OPTIONS", path: "/t/v1/any/a" });
    expect(reply).toMatchObject({ status: 200, headers: { "x-method": "OPTIONS" } });
  });
  it("to OPTIONS of the server, or of no path, is what there is", async () => {
    expect(await ask({ version, method: "OPTIONS", path: "*" })).toMatchObject({ status: 204 });
    expectStatus(await ask({ version, method: "OPTIONS", path: "/nope" }), { http: 404, code: 5 });
  });
});

it("a method that is made up is one, over HTTP/2", async () => {
  const reply = await ask({ version: 2, method: "LAUNCH", path: "/t/v1/reports/a?number=3" });
  expect(JSON.parse(textOf(reply))).toMatchObject({ rpc: "Report", received: { name: "a", number: 3 } });
});

it("a method in lower case is another", async () => {
  const reply = await ask({ version: 2, method: "get", path: "/t/v1/things/a" });
  expectStatus(reply, { http: 405, code: 12 });
});

describe.each(versions)("Accept over HTTP/$version", ({ version }) => {
  it.each([
    "application/json",
    "*/*",
    "application/*",
    "",
    "text/html, application/json;q=0.1",
    "APPLICATION/JSON",
    "application/json; charset=utf-8",
    "text/*, */*;q=0.01",
    "text/html;q=0, */*",
  ])("takes JSON by %j", async (accept) => {
    expect((await ask({ version, method: "GET", path: "/t/v1/nothing", headers: { accept } })).status).toBe(200);
  });
  it.each([
    "text/html",
    "application/xml, text/*",
    "application/json;q=0",
    "application/json;q=0, */*",
    "*/*;q=0",
    "application/*;q=0.0, text/html",
    "application/json;q=nope",
    "application/x-ndjson",
    "text/event-stream",
  ])("refuses it by %j with 406", async (accept) => {
    const reply = await ask({ version, method: "GET", path: "/t/v1/nothing", headers: { accept } });
    expect(expectStatus(reply, { http: 406, code: 3 })).toContain("application/json");
  });
  it("does not keep an error from being told", async () => {
    const headers = { accept: "text/html" };
    expectStatus(await ask({ version, method: "GET", path: "/nope", headers }), { http: 404, code: 5 });
  });
  it("is asked before the handler is called", async () => {
    const server = await openTranscoding();
    expectStatus(
      await exchange(server.url, { version, method: "GET", path: "/t/v1/hang", headers: { accept: "text/html" } }),
      { http: 406, code: 3 },
    );
    expect(server.hangs).toHaveLength(0);
  });
});

describe.each(versions)("compression over HTTP/$version", ({ version }) => {
  const body = JSON.stringify({ text: "x".repeat(2_000) });
  const big = { version, path: "/t/v1/whole", body };
  const withEncoding = (encoding: string) => ({ ...big, headers: { ...json, "accept-encoding": encoding } });

  it.each([
    { accept: "gzip", want: "gzip" },
    { accept: "br", want: "br" },
    { accept: "gzip, br", want: "br" },
    { accept: "gzip;q=1, br;q=0.5", want: "gzip" },
    { accept: "gzip;q=0.5,br;q=0.8", want: "br" },
    { accept: "GZIP", want: "gzip" },
    { accept: "*", want: "br" },
    { accept: "br;q=0, *", want: "gzip" },
    { accept: "*;q=0", want: undefined },
    { accept: "gzip;q=0", want: undefined },
    { accept: "gzip;q=0.000, br;q=0", want: undefined },
    { accept: "identity", want: undefined },
    { accept: "identity;q=1, gzip;q=0.5", want: undefined },
    { accept: "identity;q=0.5, gzip;q=1", want: "gzip" },
    { accept: "deflate, zstd", want: undefined },
    { accept: "", want: undefined },
    { accept: "gzip;q=2", want: undefined },
    { accept: "gzip;q=-1", want: undefined },
    { accept: "gzip;foo=bar", want: "gzip" },
  ])("by $accept is $want", async ({ accept, want }) => {
    const reply = await ask(withEncoding(accept));
    expect(reply.headers["content-encoding"]).toBe(want);
    expect(reply.headers.vary).toBe("Accept-Encoding");
    expect(reply.headers["content-length"]).toBe(String(reply.body.length));
    const plain =
      want === "br" ? brotliDecompressSync(reply.body) : want === "gzip" ? gunzipSync(reply.body) : reply.body;
    expect(JSON.parse(plain.toString()).text).toHaveLength(2_000);
  });
  it("is none without the header, nor for a small answer", async () => {
    expect((await ask({ ...big, headers: json })).headers).not.toHaveProperty("content-encoding");
    const small = await ask({ version, method: "GET", path: "/t/v1/nothing", headers: { "accept-encoding": "gzip" } });
    expect(small.headers).not.toHaveProperty("content-encoding");
    expect(textOf(small)).toBe("{}");
  });
});

describe.each(versions)("ETags over HTTP/$version", ({ version }) => {
  const get = (headers: Record<string, string> = {}, path = "/t/v1/things/a", method = "GET") =>
    ask({ version, method, path, headers }, { etags: true });

  it("are weak, the same for the same answer and others for others", async () => {
    const { etag = "" } = (await get()).headers;
    expect(etag).toMatch(/^W\/"[\w-]{20,}"$/);
    expect((await get()).headers.etag).toBe(etag);
    expect((await get({ "accept-encoding": "gzip" })).headers.etag).toBe(etag);
    expect((await get({}, "/t/v1/things/b")).headers.etag).not.toBe(etag);
    expect((await get({}, "/t/v1/things/a", "HEAD")).headers.etag).toBe(etag);
  });
  it("let the caller alone keep the answer, and ask again each time", async () => {
    expect((await get()).headers["cache-control"]).toBe("private, no-cache");
  });
  it("of an answer that the caller holds save its body", async () => {
    const { etag = "" } = (await get()).headers;
    const strong = etag.replace(/^W\//, "");
    for (const held of [etag, strong, "*", `"other", ${etag}`, `${strong},"other"`]) {
      for (const method of ["GET", "HEAD"]) {
        const reply = await get({ "if-none-match": held }, "/t/v1/things/a", method);
        expect({ status: reply.status, etag: reply.headers.etag, body: reply.body.length }).toEqual({
          status: 304,
          etag,
          body: 0,
        });
        expect(reply.headers).toMatchObject({ "cache-control": "private, no-cache", vary: "Accept-Encoding" });
        expect(reply.headers).not.toHaveProperty("content-type");
      }
    }
  });
  it("of an answer that the caller does not hold change nothing", async () => {
    for (const held of ['"other"', 'W/"other"', "other", ""]) {
      expect((await get({ "if-none-match": held })).status).toBe(200);
    }
  });
  it("are those of the handler where it sets one", async () => {
    const path = '/t/v1/headers?headers=etag:+"mine"&headers=cache-control:+max-age%3D9';
    expect(await get({}, path)).toMatchObject({
      status: 200,
      headers: { etag: '"mine"', "cache-control": "max-age=9" },
    });
    expect(await get({ "if-none-match": '"mine"' }, path)).toMatchObject({ status: 304, headers: { etag: '"mine"' } });
  });
  it("are not for other methods, failures, raw bytes, nor by default", async () => {
    const posted = await ask(
      { version, path: "/t/v1/whole", headers: { ...json, "if-none-match": "*" }, body: "{}" },
      { etags: true },
    );
    expect(posted).toMatchObject({ status: 200, headers: { "cache-control": "no-store" } });
    for (const reply of [posted, await get({}, "/t/v1/throw/NotFound"), await get({}, "/t/v1/download")]) {
      expect(reply.headers).not.toHaveProperty("etag");
    }
    const without = await ask({ version, method: "GET", path: "/t/v1/things/a", headers: { "if-none-match": "*" } });
    expect(without).toMatchObject({ status: 200, headers: { "cache-control": "no-store" } });
  });
});

describe.each(versions)("a deadline over HTTP/$version", ({ version }) => {
  const hang = (headers: Record<string, string>) => ({ version, method: "GET", path: "/t/v1/hang", headers });

  it.each([
    { "connect-timeout-ms": "30" },
    { "grpc-timeout": "30m" },
    { "grpc-timeout": "30000u" },
    { "x-server-timeout": "0.03" },
    { "x-server-timeout": "60", "connect-timeout-ms": "30", "grpc-timeout": "1H" },
    { "connect-timeout-ms": "99999", "grpc-timeout": "30m" },
  ])("by %j ends the call with 504", async (headers) => {
    const server = await openTranscoding();
    const reply = await exchange(server.url, hang(headers as Record<string, string>));
    expectStatus(reply, { http: 504, code: 4 });
    expect(await server.hangs[0]?.aborted).toMatchObject({ code: Code.DeadlineExceeded });
    expect(server.failures).toEqual([]);
  });
  it.each([{ "connect-timeout-ms": "0" }, { "grpc-timeout": "0S" }, { "x-server-timeout": "0" }])(
    "by %j has passed before the handler is called",
    async (headers) => {
      const server = await openTranscoding();
      expectStatus(await exchange(server.url, hang(headers as Record<string, string>)), { http: 504, code: 4 });
      expect(server.hangs).toHaveLength(0);
    },
  );
  it.each([
    { "connect-timeout-ms": "-1" },
    { "connect-timeout-ms": "1.5" },
    { "connect-timeout-ms": "NaN" },
    { "connect-timeout-ms": "12345678901" },
    { "connect-timeout-ms": "" },
    { "grpc-timeout": "1" },
    { "grpc-timeout": "1s" },
    { "grpc-timeout": "123456789S" },
    { "grpc-timeout": "-1S" },
    { "x-server-timeout": "-1" },
    { "x-server-timeout": "1e3" },
    { "x-server-timeout": "Infinity" },
    { "x-server-timeout": "1s" },
  ])("by %j is refused, and the header named", async (headers) => {
    const reply = await ask({
      version,
      method: "GET",
      path: "/t/v1/nothing",
      headers: headers as Record<string, string>,
    });
    const [field = ""] = Object.keys(headers);
    expect(expectStatus(reply, { http: 400, code: 3, field })).toContain(field);
  });
  it.each([
    { "connect-timeout-ms": "9999999999" },
    { "grpc-timeout": "99999999H" },
    { "x-server-timeout": "9999999999.5" },
    { "grpc-timeout": "1H" },
  ])("by %j is far away", async (headers) => {
    expect(
      (await ask({ version, method: "GET", path: "/t/v1/nothing", headers: headers as Record<string, string> })).status,
    ).toBe(200);
  });
  it("answers with 504 though the handler goes on", async () => {
    const server = await openTranscoding({ isDeaf: true });
    const began = server.nextHang();
    const reply = exchange(server.url, hang({ "x-server-timeout": "0.05" }));
    const call = await began;
    expectStatus(await reply, { http: 504, code: 4 });
    expect(await call.aborted).toMatchObject({ code: Code.DeadlineExceeded });
    expect(server.failures).toEqual([]);
  }, 5_000);
  it("ends a stream before its first message with 504", async () => {
    const server = await openTranscoding();
    const began = server.nextNumbers();
    const reply = exchange(server.url, {
      version,
      method: "GET",
      path: "/t/v1/count?held=true&to=3",
      headers: { "grpc-timeout": "30m" },
    });
    const call = await began;
    await call.ended;
    expect((await reply).status).toBe(504);
  });
});

describe("a client that goes", () => {
  it("aborts the handler, over HTTP/1.1", async () => {
    const server = await openTranscoding();
    for (const leave of ["reset", "destroy"] as const) {
      const began = server.nextHang();
      const client = await rawClient(server, "POST /t/v1/hang HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
      const { aborted } = await began;
      if (leave === "reset") client.reset();
      else client.socket.destroy();
      expect(await aborted).toMatchObject({ code: Code.Canceled });
    }
    expect(server.failures).toEqual([]);
  });
  it("aborts the handler, over HTTP/2", async () => {
    const server = await openTranscoding();
    const session = session2(server);
    const began = server.nextHang();
    const stream = session.request({ ":path": "/t/v1/hang" });
    stream.on("error", () => {});
    const { aborted } = await began;
    stream.close(8);
    expect(await aborted).toMatchObject({ code: Code.Canceled });
    expect(server.failures).toEqual([]);
  });
  it("in the middle of its body never reaches the handler", async () => {
    const server = await openTranscoding();
    const client = await rawClient(
      server,
      "POST /t/v1/hang HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    client.socket.end();
    await client.closed;
    expect(server.hangs).toHaveLength(0);
    expect(server.failures).toEqual([]);
  });
});

describe.each(versions)("the gate over HTTP/$version", ({ version }) => {
  it("is asked before the body is read, and refuses with its own status", async () => {
    const refused = () => {
      throw new ConnectError("no", Code.PermissionDenied);
    };
    for (const body of ["{", "x".repeat(100_000)]) {
      const reply = await ask({ version, path: "/t/v1/whole", headers: json, body }, { gate: refused });
      expectStatus(reply, { http: 403, code: 7 });
    }
  });
  it("is asked for streams too", async () => {
    const refused = () => {
      throw new ConnectError("who?", Code.Unauthenticated);
    };
    const reply = await ask({ version, method: "GET", path: "/t/v1/count?to=1" }, { gate: refused });
    expectStatus(reply, { http: 401, code: 16 });
    expect(reply.headers["www-authenticate"]).toBe("Bearer");
  });
});

describe.each(versions)("raw bytes over HTTP/$version", ({ version }) => {
  const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

  it.each(["image/png", "text/plain; charset=latin1", "application/json", 'application/x.y+z; a="b"'])(
    "of %s come back as they were",
    async (type) => {
      const reply = await ask({ version, path: "/t/v1/relay", headers: { "content-type": type }, body: every });
      expect(reply.status, textOf(reply)).toBe(200);
      expect(reply.body.equals(every)).toBe(true);
      expect(reply.headers).toMatchObject({
        "content-type": type,
        "x-content-type-options": "nosniff",
        "content-length": "256",
      });
    },
  );
  it("may be none, and of no type", async () => {
    const reply = await ask({ version, path: "/t/v1/relay" });
    expect(reply).toMatchObject({ status: 200, headers: { "content-type": "application/octet-stream" } });
    expect(reply.body).toHaveLength(0);
  });
  it("are decompressed where the request says so, and not compressed again", async () => {
    const headers = { "content-type": "text/plain", "content-encoding": "gzip", "accept-encoding": "gzip, br" };
    const body = Buffer.alloc(5_000, "a");
    const reply = await ask({ version, path: "/t/v1/relay", headers, body: gzipSync(body) });
    expect(reply.body.equals(body)).toBe(true);
    expect(reply.headers).not.toHaveProperty("content-encoding");
  });
  it("are one field of a request, beside path and query", async () => {
    const request = {
      version,
      method: "PUT",
      path: "/t/v1/uploads/a%2Fb?number=3",
      headers: { "content-type": "image/png" },
      body: every,
    };
    expect(JSON.parse(textOf(await ask(request)))).toEqual({
      name: "a/b",
      number: 3,
      file: { contentType: "image/png", data: every.toString("base64"), extensions: [] },
    });
  });
  it("are one field of an answer", async () => {
    const headers = { "content-type": "image/png" };
    const reply = await ask({ version, method: "PUT", path: "/t/v1/uploads/a/back", headers, body: every });
    expect(reply.headers["content-type"]).toBe("image/png");
    expect(reply.body.equals(every)).toBe(true);
  });
  it("may not be set by a query", async () => {
    const reply = await ask({ version, method: "PUT", path: "/t/v1/uploads/a?file.contentType=x", body: "a" });
    expectStatus(reply, { http: 400, code: 3, field: "file.contentType" });
  });
  it("answer HEAD with their length", async () => {
    const path = `/t/v1/download?contentType=text/plain&parts=${Buffer.from("four").toString("base64url")}`;
    const reply = await ask({ version, method: "HEAD", path });
    expect(reply).toMatchObject({ status: 200, headers: { "content-length": "4", "content-type": "text/plain" } });
    expect(reply.body).toHaveLength(0);
  });
  it.each([
    "",
    "png",
    "text/",
    "/plain",
    "text/plain\r\nx-injected: 1",
    "text/plain\nx-injected: 1",
    "text/plain\r\n\r\n<script>",
    "text/plain\u0000",
    "text/plain; a=\u00e9",
    "text/plain; a=💡",
    "text/pl\u0131in",
    " text/plain",
  ])("of the content type %j are sent as some bytes", async (contentType) => {
    const body = JSON.stringify({ contentType, parts: ["AA=="] });
    const reply = await ask({ version, path: "/t/v1/download", headers: json, body });
    expect({ status: reply.status, type: reply.headers["content-type"] }).toEqual({
      status: 200,
      type: "application/octet-stream",
    });
    expect(visible(reply)).not.toContain("x-injected");
    expect(reply.body).toEqual(Buffer.from([0]));
  });

  const parts = [Buffer.from([0, 255, 10]), Buffer.alloc(0), Buffer.from("\n{}\r\n"), every];
  const sent = (fails = false) =>
    JSON.stringify({ contentType: "image/png", parts: parts.map((part) => part.toString("base64")), fails });

  it.each(["/t/v1/downloads", "/t/v1/downloads/fields"])("stream from %s with nothing between", async (path) => {
    const reply = await ask({ version, path, headers: json, body: sent() });
    expect(reply).toMatchObject({
      status: 200,
      headers: { "content-type": "image/png", "x-content-type-options": "nosniff" },
    });
    expect(reply.body.equals(Buffer.concat(parts))).toBe(true);
  });
  it("that never came are an empty stream", async () => {
    const reply = await ask({ version, path: "/t/v1/downloads", headers: json, body: "{}" });
    expect(reply).toMatchObject({ status: 200, headers: { "content-type": "application/octet-stream" } });
    expect(reply.body).toHaveLength(0);
  });
  it("that fail before the first are a status", async () => {
    const reply = await ask({ version, path: "/t/v1/downloads", headers: json, body: '{"fails":true}' });
    expectStatus(reply, { http: 500, code: 15 });
  });
  it("of a stream cannot be injected into its headers", async () => {
    const body = JSON.stringify({ contentType: "a/b\r\nx-injected: 1", parts: ["AA=="] });
    const reply = await ask({ version, path: "/t/v1/downloads", headers: json, body });
    expect(reply.headers).toMatchObject({ "content-type": "application/octet-stream" });
    expect(reply.headers).not.toHaveProperty("x-injected");
  });
});

it("raw bytes that fail in the middle break the connection, over HTTP/1.1", async () => {
  const server = await openTranscoding();
  const body = JSON.stringify({ contentType: "image/png", parts: ["AAAA"], fails: true });
  const client = await rawClient(
    server,
    `POST /t/v1/downloads HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  expect(await client.closed).not.toMatch(/0\r\n\r\n$/);
});

it("raw bytes that fail in the middle reset the stream, over HTTP/2", async () => {
  const server = await openTranscoding();
  const stream = session2(server).request({ ":method": "POST", ":path": "/t/v1/downloads", ...json });
  const errors: unknown[] = [];
  stream.on("error", (error) => errors.push(error));
  stream.end(JSON.stringify({ contentType: "image/png", parts: ["AAAA"], fails: true }));
  stream.resume();
  await new Promise((resolve) => stream.once("close", resolve));
  expect(stream.rstCode).not.toBe(0);
  expect(errors).not.toEqual([]);
});

it.each([
  { method: "HEAD", path: "/nope" },
  { method: "OPTIONS", path: "/t/v1/nothing" },
])(
  "an answer without a body to $method $path ends the stream of a request that nobody reads",
  async ({ method, path }) => {
    const server = await openTranscoding();
    const stream = session2(server).request({ ":method": method, ":path": path }, { endStream: false });
    stream.on("error", () => {});
    stream.resume();
    // More than the peer may send before the server reads.
    stream.end(Buffer.alloc(200_000));
    await new Promise((resolve) => stream.once("close", resolve));
  },
  5_000,
);
