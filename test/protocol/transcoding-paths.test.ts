import { describe, expect, it } from "vitest";
import { expectStatus } from "../fixtures/sturdy.ts";
import { openTranscoding, type TranscodingServer } from "../fixtures/transcoding.ts";
import { exchange, type Reply } from "../fixtures/wire.ts";
import { rawClient } from "./listener-clients.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;

interface Target {
  readonly version: 1 | 2;
  readonly method?: string;
  /** Sent as it is, each character one byte. */
  readonly target: string;
}

/** One request whose target no client has touched. */
async function ask(server: TranscodingServer, { version, method = "GET", target }: Target): Promise<Reply> {
  if (version === 2) return exchange(server.url, { version, method, path: target });
  const client = await rawClient(server);
  const head = `${method} ${target} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
  client.socket.write(Buffer.from(head, "latin1"));
  return parse(await client.closed);
}

function parse(raw: string): Reply {
  const end = raw.indexOf("\r\n\r\n");
  const [first = "", ...lines] = raw.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const body = Buffer.from(raw.slice(end + 4), "latin1");
  return { status: Number(first.split(" ")[1]), headers, trailers: {}, body };
}

/** What a request came to: the RPC and the fields it was called with. */
function callOf(reply: Reply): { rpc: string; name: string; path: string } {
  expect(reply.status, reply.body.toString()).toBe(200);
  const { rpc, received } = JSON.parse(reply.body.toString()) as {
    rpc: string;
    received: { name: string; path: string };
  };
  return { rpc, name: received.name, path: received.path };
}

interface Found {
  readonly method?: string;
  readonly target: string;
  readonly rpc: string;
  readonly name?: string;
  readonly path?: string;
}

const found: readonly Found[] = [
  { target: "/", rpc: "Root" },
  { target: "/?", rpc: "Root" },
  { target: "/t/v1/things/a", rpc: "GetThing", name: "a" },
  // Escapes.
  { target: "/t/v1/things/a%2Fb", rpc: "GetThing", name: "a/b" },
  { target: "/t/v1/things/a%2fb", rpc: "GetThing", name: "a/b" },
  { target: "/t/v1/things/a%252Fb", rpc: "GetThing", name: "a%2Fb" },
  { target: "/t/v1/things/%25", rpc: "GetThing", name: "%" },
  { target: "/t/v1/things/a+b", rpc: "GetThing", name: "a+b" },
  { target: "/t/v1/things/a%20b", rpc: "GetThing", name: "a b" },
  { target: "/t/v1/things/a%3Fb%23c", rpc: "GetThing", name: "a?b#c" },
  { target: "/t/v1/things/%C3%A9%F0%9F%92%A1", rpc: "GetThing", name: "é💡" },
  { target: "/t/v1/things/%7Ename%2A", rpc: "GetThing", name: "~name*" },
  { target: "/t/v1/things/a&b=c;d,e!$'()*@", rpc: "GetThing", name: "a&b=c;d,e!$'()*@" },
  { target: "/t/v1/things/*", rpc: "GetThing", name: "*" },
  { target: "/t/v1/things/a%5Cb", rpc: "GetThing", name: "a\\b" },
  { target: "/t/v1/things/a\\b", rpc: "GetThing", name: "a\\b" },
  { target: "/t/v1/things/%01%7F", rpc: "GetThing", name: "\u0001\u007f" },
  { target: "/t/v1/things/%EF%BB%BFa", rpc: "GetThing", name: "\ufeffa" },
  { target: "/t/v1/things/...", rpc: "GetThing", name: "..." },
  { target: "/t/v1/things/.a", rpc: "GetThing", name: ".a" },
  { target: "/t/v1/things/%2e%2ea", rpc: "GetThing", name: "..a" },
  { target: "/t/v1/things/__proto__", rpc: "GetThing", name: "__proto__" },
  { target: "/t/v1/things/constructor", rpc: "GetThing", name: "constructor" },
  // Literals are compared as what they stand for.
  { target: "/t/v1/~tilde/a%20b", rpc: "GetEscaped" },
  { target: "/t/v1/%7Etilde/%61%20b", rpc: "GetEscaped" },
  { target: "/t/%761/things/a", rpc: "GetThing", name: "a" },
  { target: "/t/v1/things/s%70ecial", rpc: "GetSpecialThing" },
  // Literals before variables, and back again where the method is another.
  { target: "/t/v1/things/special", rpc: "GetSpecialThing" },
  { method: "PUT", target: "/t/v1/things/special", rpc: "GetSpecialThing" },
  { method: "POST", target: "/t/v1/things/special", rpc: "PostThing", name: "special" },
  { target: "/t/v1/things/specials", rpc: "GetThing", name: "specials" },
  // Several segments: an escaped slash stays what it is, all else is decoded.
  { target: "/t/v1/shelves/1", rpc: "GetShelf", name: "shelves/1" },
  { target: "/t/v1/shelves/1/books/2", rpc: "GetBook", name: "shelves/1/books/2" },
  { target: "/t/v1/shelves/a%2Fb/books/c%2fd%20e", rpc: "GetBook", name: "shelves/a%2Fb/books/c%2fd e" },
  { target: "/t/v1/shelves/a%252Fb/books/%C3%A9", rpc: "GetBook", name: "shelves/a%2Fb/books/é" },
  { target: "/t/v1/files", rpc: "GetFile", path: "" },
  { target: "/t/v1/files/a", rpc: "GetFile", path: "a" },
  { target: "/t/v1/files/a%2Fb", rpc: "GetFile", path: "a%2Fb" },
  { target: "/t/v1/files/a/b/c", rpc: "GetFile", path: "a/b/c" },
  { target: "/t/v1/files/a%20b/%2f/c", rpc: "GetFile", path: "a b/%2f/c" },
  { target: "/t/v1/mixed/a%2Fb/tail/deep", rpc: "GetMixed", name: "a/b", path: "deep" },
  { target: "/t/v1/mixed/a/tail/deep/b/c", rpc: "GetMixed", name: "a", path: "deep/b/c" },
  { target: "/t/v1/unnamed/a/b", rpc: "GetUnnamed", name: "b" },
  { target: "/t/v1/unnamed/a/b/c/d", rpc: "GetUnnamed", name: "b" },
  // Verbs.
  { method: "POST", target: "/t/v1/things/a:cancel", rpc: "CancelThing", name: "a" },
  { method: "POST", target: "/t/v1/things/a:b:cancel", rpc: "CancelThing", name: "a:b" },
  { method: "POST", target: "/t/v1/things/special:cancel", rpc: "CancelThing", name: "special" },
  { method: "POST", target: "/t/v1/things/a%3Ab:cancel", rpc: "CancelThing", name: "a:b" },
  { method: "POST", target: "/t/v1/things/a%3Acancel", rpc: "PostThing", name: "a:cancel" },
  { method: "POST", target: "/t/v1/things/a:cancel:", rpc: "PostThing", name: "a:cancel:" },
  { method: "POST", target: "/t/v1/things/a:Cancel", rpc: "PostThing", name: "a:Cancel" },
  { method: "POST", target: "/t/v1/things/:cancel", rpc: "PostThing", name: ":cancel" },
  { target: "/t/v1/things/a:cancel", rpc: "GetThing", name: "a:cancel" },
  { target: "/t/v1/things/urn:x:y", rpc: "GetThing", name: "urn:x:y" },
  { target: "/t/v1/things/a:", rpc: "GetThing", name: "a:" },
  { target: "/t/v1/things/:", rpc: "GetThing", name: ":" },
  { method: "POST", target: "/t/v1/shelves/1/books/2:cancel", rpc: "CancelBook", name: "shelves/1/books/2" },
  { method: "POST", target: "/t/v1/shelves/1/books/2:3:cancel", rpc: "CancelBook", name: "shelves/1/books/2:3" },
  { method: "POST", target: "/t/v1/files/a/b:copy", rpc: "CopyFile", path: "a/b" },
  { method: "POST", target: "/t/v1/files:copy", rpc: "CopyFile", path: "" },
  { target: "/t/v1/files/a:copy/b:other", rpc: "GetFile", path: "a:copy/b:other" },
  // The very method before any method.
  { target: "/t/v1/any/a", rpc: "GetAny", name: "a" },
  { method: "DELETE", target: "/t/v1/any/a", rpc: "AnyMethod", name: "a" },
  { method: "OPTIONS", target: "/t/v1/any/a", rpc: "AnyMethod", name: "a" },
  { method: "PROPFIND", target: "/t/v1/any/a", rpc: "AnyMethod", name: "a" },
  { method: "REPORT", target: "/t/v1/reports/a", rpc: "Report", name: "a" },
];

/** Which names the host once more. HTTP/2 has no such form. */
const absolute: readonly Found[] = [
  { target: "http://other.example/t/v1/things/a", rpc: "GetThing", name: "a" },
  { target: "HTTPS://other.example:1/t/v1/things/a?number=1", rpc: "GetThing", name: "a" },
  { target: "http://other.example", rpc: "Root" },
  { target: "http://other.example?number=1", rpc: "Root" },
  { target: "http://other.example/", rpc: "Root" },
];

interface Refused {
  readonly method?: string;
  readonly target: string;
  readonly http: number;
  readonly code: number;
  readonly field?: string;
}

const refused: readonly Refused[] = [
  { target: "/nope", http: 404, code: 5 },
  { target: "/t", http: 404, code: 5 },
  { target: "/T/V1/things/a", http: 404, code: 5 },
  // Nothing is a segment.
  { target: "/t/v1/things", http: 404, code: 5 },
  { target: "/t/v1/things/", http: 404, code: 5 },
  { target: "/t/v1/things//", http: 404, code: 5 },
  { target: "/t/v1/things/a/", http: 404, code: 5 },
  { target: "/t/v1//things/a", http: 404, code: 5 },
  { target: "//t/v1/things/a", http: 404, code: 5 },
  { target: "//other.example/t/v1/things/a", http: 404, code: 5 },
  { target: "/t/v1/files/", http: 404, code: 5 },
  { target: "/t/v1/files/a//b", http: 404, code: 5 },
  { target: "/t/v1/files/a/", http: 404, code: 5 },
  { target: "/t/v1/shelves/1/books/2/pages", http: 404, code: 5 },
  { target: "/t/v1/mixed/a/tail/shallow", http: 404, code: 5 },
  { target: "/t/v1/unnamed/a", http: 404, code: 5 },
  { target: "/t%2Fv1/things/a", http: 404, code: 5 },
  { target: "/t/v1/things\\a", http: 404, code: 5 },
  { method: "POST", target: "/t/v1/things:cancel", http: 404, code: 5 },
  { target: "/t/v1/shelves%2F1/books/2", http: 404, code: 5 },
  // What no text is.
  { target: "/t/v1/things/%", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%2", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%zz", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%u00e9", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%FF", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%C0%AF", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%ED%A0%80", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%F4%90%80%80", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/%C3", http: 400, code: 3, field: "url" },
  { target: "/t/v1/files/a/%FF/b", http: 400, code: 3, field: "url" },
  { target: "/t/v1/unnamed/%FF/b", http: 400, code: 3, field: "url" },
  { target: "/t/v1/unnamed/a/b/%FF", http: 400, code: 3, field: "url" },
  { target: "/t/v1/things/a%00b", http: 400, code: 3, field: "name" },
  { target: "/t/v1/files/a/%00", http: 400, code: 3, field: "path" },
  // Segments of dots, which half of the programs on the way resolve.
  ...[".", "..", "%2e", "%2E%2e", ".%2e", "%2E."].flatMap((dots) => [
    { target: `/t/v1/things/${dots}`, http: 400, code: 3, field: "url" },
    { target: `/t/v1/x/${dots}/things/a`, http: 400, code: 3, field: "url" },
    { target: `/t/v1/files/a/${dots}/b`, http: 400, code: 3, field: "url" },
  ]),
  { target: "/../t/v1/things/a", http: 400, code: 3, field: "url" },
  // Values that are none of their fields.
  { target: "/t/v1/query/a/b/x", http: 400, code: 3, field: "child.part.size" },
  { target: "/t/v1/query/a/b/2147483648", http: 400, code: 3, field: "child.part.size" },
  { target: "/t/v1/times/nope/1s/a", http: 400, code: 3, field: "time" },
  { target: "/t/v1/times/2024-01-01T00:00:00Z/1m/a", http: 400, code: 3, field: "span" },
  { target: "/t/v1/optionals/a/1/yes/SHADE_DARK/1", http: 400, code: 3, field: "maybe_flag" },
  { target: "/t/v1/optionals/a/1/true/SHADE_PALE/1", http: 400, code: 3, field: "maybe_shade" },
  { target: "/t/v1/optionals/a/1/true/shade_dark/1", http: 400, code: 3, field: "maybe_shade" },
  { target: "/t/v1/optionals/a/1/true/SHADE_DARK/1.5", http: 400, code: 3, field: "chosen_number" },
];

describe.each(versions)("paths over HTTP/$version", ({ version }) => {
  it.each(found.map((row) => ({ method: "GET", ...row })))(
    "lead $method $target to $rpc",
    async ({ rpc, name = "", path = "", ...request }) => {
      const server = await openTranscoding();
      expect(callOf(await ask(server, { version, ...request }))).toEqual({ rpc, name, path });
    },
  );

  it.each(refused.map((row) => ({ method: "GET", ...row })))(
    "refuse $method $target with $http",
    async ({ http, code, field, ...request }) => {
      const server = await openTranscoding();
      expectStatus(await ask(server, { version, ...request }), { http, code, ...(field !== undefined && { field }) });
      expect(server.failures).toEqual([]);
    },
  );

  it("set fields of messages in messages", async () => {
    const server = await openTranscoding();
    const reply = await ask(server, { version, target: "/t/v1/query/in%2Fner/te+xt/-7?part.inner.size=3&part.size=1" });
    expect(JSON.parse(reply.body.toString())).toMatchObject({
      part: { id: "", size: 1, inner: { id: "in/ner", size: 3 } },
      child: { text: "te+xt", part: { size: -7 } },
    });
  });

  it("set a scalar of every kind", async () => {
    const server = await openTranscoding();
    const values = "-1.5e3/0.25/-5/-9223372036854775808/4294967295/18446744073709551615/-6/-7/8/9/-10/-11";
    const reply = await ask(server, { version, target: `/t/v1/scalars/${values}/true/t%2Ft/_-8=/SHADE_NEGATIVE` });
    expect(JSON.parse(reply.body.toString())).toMatchObject({
      real: -1500,
      shortReal: 0.25,
      small: -5,
      big: "-9223372036854775808",
      count: 4294967295,
      bigCount: "18446744073709551615",
      zigzag: -6,
      bigZigzag: "-7",
      fixed: 8,
      bigFixed: "9",
      signedFixed: -10,
      bigSignedFixed: "-11",
      flag: true,
      text: "t/t",
      raw: "/+8=",
      shade: "SHADE_NEGATIVE",
    });
  });

  it("set fields with presence, and a member of a oneof", async () => {
    const server = await openTranscoding();
    const reply = await ask(server, { version, target: "/t/v1/optionals/a/0/false/0/0" });
    expect(JSON.parse(reply.body.toString())).toMatchObject({
      maybeText: "a",
      maybeNumber: 0,
      maybeFlag: false,
      maybeShade: "SHADE_UNSPECIFIED",
      chosenNumber: "0",
    });
  });

  it("set times, durations, field masks and wrappers", async () => {
    const server = await openTranscoding();
    const times = await ask(server, {
      version,
      target: "/t/v1/times/2024-02-29T23:59:59.5+01:00/-1.25s/textField,part.shortReal,a_b",
    });
    expect(JSON.parse(times.body.toString())).toMatchObject({
      time: "2024-02-29T22:59:59.500Z",
      span: "-1.250s",
      mask: "textField,part.shortReal,aB",
    });
    const wrapped = await ask(server, { version, target: "/t/v1/wrapped/NaN/-Infinity/1/2/3/4/false/%20/_w" });
    expect(JSON.parse(wrapped.body.toString())).toMatchObject({
      wrappedReal: "NaN",
      wrappedShortReal: "-Infinity",
      wrappedBig: "1",
      wrappedBigCount: "2",
      wrappedSmall: 3,
      wrappedCount: 4,
      wrappedFlag: false,
      wrappedText: " ",
      wrappedRaw: "/w==",
    });
  });

  it("take a value as long as headers may be, and many segments", async () => {
    const server = await openTranscoding();
    const name = "x".repeat(15_000);
    expect(callOf(await ask(server, { version, target: `/t/v1/things/${name}` }))).toMatchObject({ name });
    const path = Array.from({ length: 7_000 }, () => "a").join("/");
    expect(callOf(await ask(server, { version, target: `/t/v1/files/${path}` }))).toMatchObject({ path });
  });

  it("refuse a longer one with 431", async () => {
    const server = await openTranscoding();
    const reply = await ask(server, { version, target: `/t/v1/things/${"x".repeat(17_000)}` });
    expectStatus(reply, { http: 431, code: 8 });
  });

  it("never hold text that is not escaped and no ASCII", async () => {
    const server = await openTranscoding();
    // The UTF-8 bytes of é, and a byte that is no UTF-8.
    for (const target of ["/t/v1/things/\u00c3\u00a9", "/t/v1/things/\u00ff"]) {
      const reply = await ask(server, { version, target });
      // Over HTTP/1.1 the parser refuses them, before there is a request.
      expectStatus(reply, { http: 400, code: 3, ...(version === 2 && { field: "url" }) });
    }
  });
});

describe("a target over HTTP/1.1", () => {
  it.each(absolute)(
    "in the absolute form, $target, leads to $rpc",
    async ({ rpc, name = "", path = "", ...request }) => {
      const server = await openTranscoding();
      expect(callOf(await ask(server, { version: 1, ...request }))).toEqual({ rpc, name, path });
    },
  );

  it.each(["\\t\\v1\\things\\a", "/t/v1/things/a\0b", "/t/v1/things/a\u007fb", "/t/v1/things/a\tb"])(
    "with the bytes of %j is refused",
    async (target) => {
      const server = await openTranscoding();
      expectStatus(await ask(server, { version: 1, target }), { http: 400, code: 3 });
    },
  );
});
