// Requests that nobody would send, made up by a seed, thrown at the test service and at the server itself.
import { randomInt } from "node:crypto";
import { gzipSync } from "node:zlib";
import { createRegistry } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService, file_zitadel_admin } from "../../gen/zitadel/admin_pb.ts";
import { file_zitadel_management, ManagementService } from "../../gen/zitadel/management_pb.ts";
import { TranscodingService } from "../fixtures/gen/portcullis/test/v1/transcoding_pb.ts";
import { type Binding, bindingsOf, type Random, randomMessage, randomOf, say } from "../fixtures/random-messages.ts";
import { isWhole } from "../fixtures/sample.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { registry as ownTypes, startTranscoding, type TranscodingServer } from "../fixtures/transcoding.ts";
import { type Exchange, exchange, type Reply } from "../fixtures/wire.ts";
import { rawClient } from "./listener-clients.ts";

const seconds = Number(process.env["PORTCULLIS_FUZZ_SECONDS"] ?? (isWhole ? 60 : 5));
/** Set it to the number that a failure names, and that request is the first. */
const firstSeed = Number(process.env["PORTCULLIS_FUZZ_SEED"] ?? randomInt(1_000_000_000));

/** However slow the machine is. */
const leastRequests = 50;
/** A request that hangs is found by that; a busy machine answers sooner. */
const answerWithinMs = 30_000;
const maxGrowthBytes = 400 * 1024 * 1024;
const versions = [1, 2] as const;

/** Text that has broken somebody's server before. */
const hostile = [
  "%",
  "%2",
  "%zz",
  "%00",
  "%FF",
  "%C0%AF",
  "%ED%A0%80",
  "%2F",
  "%252F",
  "%2e%2e",
  "..",
  ".",
  "//",
  "/",
  "\\",
  ":",
  ":cancel",
  "*",
  "**",
  "{name}",
  "?",
  "#",
  "&",
  "=",
  ";",
  "+",
  ",",
  "@",
  "__proto__",
  "constructor",
  "hasOwnProperty",
  "toString",
  "null",
  "undefined",
  "NaN",
  "-0",
  "1e999",
  "9223372036854775808",
  "-9223372036854775809",
  "99999999999999999999999999999",
  "0x7f",
  "1.0",
  "\u00e9",
  "\u00ff",
  "true",
  "2024-02-30T00:00:00Z",
  "9999-12-31T23:59:60Z",
  "1s",
  "-315576000001s",
  "a.b.c",
  "part.inner.inner.inner.id",
  "child.child.child.child.text",
  "http://other.example/",
  "x".repeat(2_000),
  "a/".repeat(500),
  "a.".repeat(500),
  ":a".repeat(500),
  "%41".repeat(500),
];

const hostileJson = [
  "",
  "null",
  "{}",
  "[]",
  "0",
  '""',
  "true",
  "NaN",
  "{",
  "}",
  '{"":1}',
  '{"__proto__":{"a":1}}',
  '{"constructor":{"prototype":{"a":1}}}',
  '{"a":1,"a":2}',
  '{"@type":"type.googleapis.com/google.protobuf.Any"}',
  '{"any":{"@type":"type.googleapis.com/portcullis.test.v1.Everything","any":{"@type":"x"}}}',
  '{"any":{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"type.googleapis.com/google.protobuf.Any"}}}',
  '{"any":{"@type":1}}',
  '{"any":{}}',
  '{"value":1e999}',
  '{"big":1e400,"real":-1e400}',
  '{"mask":"a_b,,.,a..b"}',
  '{"mask":"\\u0000"}',
  '{"time":"x","span":"--1s"}',
  '{"text":"\\ud800"}',
  '{"text":"\\u0000"}',
  '{"labels":{"\\ud800":"a"}}',
  '{"chosenText":"a","chosenNumber":1,"chosenNull":null}',
  '{"small":9007199254740993,"text":9007199254740993}',
  `${"[".repeat(90)}${"]".repeat(90)}`,
  `${"[".repeat(20_000)}`,
  `${'{"child":'.repeat(99)}{}${"}".repeat(99)}`,
  `${'{"child":'.repeat(3_000)}`,
  `{"value":${"[".repeat(98)}${"]".repeat(98)}}`,
  `{"object":${'{"a":'.repeat(60)}1${"}".repeat(60)}}`,
  `{"${"k".repeat(30_000)}":1}`,
  `{"smalls":[${"1,".repeat(20_000)}1]}`,
  `{${Array.from({ length: 3_000 }, (_, index) => `"k${index}":1`).join(",")}}`,
  `${'"a\\'.repeat(5_000)}`,
  "x".repeat(70_000),
];

const headerValues: Readonly<Record<string, readonly string[]>> = {
  accept: [
    "*/*",
    "",
    "text/html",
    "application/json;q=0",
    ",,;q=",
    "text/event-stream",
    "application/x-ndjson",
    "a/b;".repeat(500),
  ],
  "accept-encoding": ["gzip", "br;q=1", "*;q=0", "", "identity;q=0", "gzip;q=9".repeat(300), ",".repeat(1_000)],
  "content-type": [
    "application/json",
    "",
    "text/plain",
    "application/json; charset=x",
    "application/grpc-web-text",
    "application/grpc",
    "application/connect+json",
    ";",
    "application/proto",
  ],
  "content-encoding": ["gzip", "br", "deflate", "identity", "", "gzip, gzip", "x".repeat(500)],
  "connect-timeout-ms": ["60000", "0", "-1", "99999999999"],
  "grpc-timeout": ["60S", "0n", "x", "99999999H"],
  "x-server-timeout": ["60", "0", "-1", "1e9", "9999999999"],
  "connect-protocol-version": ["1", "2"],
  "if-none-match": ["*", '"', 'W/"', ",".repeat(1_000)],
  "x-http-method-override": ["DELETE"],
  "x-zitadel-orgid": ["", "0", "__proto__", "x".repeat(3_000)],
  origin: ["null", "https://a.example"],
  cookie: ["a=b; ".repeat(500)],
  range: ["bytes=0-1"],
  te: ["trailers"],
  expect: ["nope"],
};
const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT"];

/** Paths without JSON both ways. */
const otherPaths = [
  "/t/v1/relay",
  "/t/v1/uploads/a",
  "/t/v1/download",
  "/t/v1/downloads",
  "/t/v1/downloads/fields",
  "/t/v1/count",
  "/t/v1/count/numbers",
  "/t/v1/counts/a",
  "/t/v1/hang",
  "/",
  "*",
  "",
];

const mutate = (random: Random, text: string): string => {
  let mutated = text;
  for (let count = random.below(4); count > 0; count -= 1) {
    const at = random.below(mutated.length + 1);
    const end = at + random.below(6);
    mutated = random.pick([
      () => mutated.slice(0, at) + random.pick(hostile) + mutated.slice(at),
      () => mutated.slice(0, at) + mutated.slice(end),
      () => mutated.slice(0, at) + mutated.slice(at, end).repeat(random.below(4)) + mutated.slice(end),
      () => mutated.slice(0, at) + String.fromCharCode(33 + random.below(94)) + mutated.slice(at + 1),
    ])();
  }
  return mutated.slice(0, 20_000);
};

function mutateQuery(random: Random, binding: Binding): string {
  const names = binding.rpc.input.fields.flatMap(({ name, jsonName }) => [name, jsonName]);
  const pairs = Array.from({ length: random.below(random.chance(0.05) ? 300 : 6) }, () => {
    const name = random.chance(0.7) && names.length > 0 ? random.pick(names) : random.pick(hostile);
    const inner = random.chance(0.3)
      ? `.${random.pick(["id", "size", "inner.id", "text", "value", "seconds", ...hostile])}`
      : "";
    return `${name}${inner}=${mutate(random, random.pick(hostile))}`;
  });
  return pairs.join(random.pick(["&", "&", "&", ";", "&&"]));
}

function mutateBody(random: Random, said: string | undefined): Uint8Array {
  const text = random.chance(0.5) ? mutate(random, said ?? "{}") : random.pick(hostileJson);
  const bytes = Buffer.from(text, random.chance(0.1) ? "utf16le" : "utf8");
  for (let count = random.chance(0.3) ? random.below(5) : 0; count > 0 && bytes.length > 0; count -= 1) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  return random.chance(0.1) ? gzipSync(bytes) : bytes;
}

const registry = createRegistry(ownTypes, file_zitadel_management, file_zitadel_admin);
const left = ["Throw", "SetHeaders", "Missing"];

const makeRequest = (random: Random, bindings: readonly Binding[]): Exchange & { readonly version: 1 | 2 } => {
  const binding = random.pick(bindings);
  const said = say(random, binding, randomMessage(random, binding.rpc.input), registry);
  let path = random.chance(0.15) ? random.pick(otherPaths) : said.path;
  if (random.chance(0.6)) path = mutate(random, path);
  if (random.chance(0.5)) path += `${random.chance(0.9) ? "?" : ""}${mutateQuery(random, binding)}`;
  const body = random.chance(0.6) || said.body !== undefined ? mutateBody(random, said.body) : undefined;
  const headers: Record<string, string> = random.chance(0.8) ? { "content-type": "application/json" } : {};
  for (const [name, values] of Object.entries(headerValues))
    if (random.chance(0.08)) headers[name] = random.pick(values);
  return {
    version: random.pick(versions),
    method: random.chance(0.7) && binding.method !== "LAUNCH" ? binding.method : random.pick(methods),
    // What Node's own client refuses to send is sent by bare sockets below.
    path: [...path].filter((character) => /[!-\u00ff]/.test(character)).join("") || "/",
    headers: { ...headers, ...(body !== undefined && { "content-length": String(body.length) }) },
    ...(body !== undefined && { body }),
  };
};

const told = (request: Exchange): string =>
  JSON.stringify({ ...request, body: request.body?.toString().slice(0, 300) }).slice(0, 2_000);

/** An error of the server's that the request asked for. */
function isAskedFor({ status, body }: Reply, { headers = {}, version }: Exchange): boolean {
  const timeouts = ["connect-timeout-ms", "grpc-timeout", "x-server-timeout"];
  if (status === 504) return timeouts.some((name) => name in headers);
  if (status === 505) return version === 1 && /^application\/grpc/.test(headers["content-type"] ?? "");
  // The handler's own, of DownloadRequest.fails.
  return status === 500 && body.toString().startsWith('{"code":15,');
}

const targets = [
  {
    target: "the test service",
    bindings: bindingsOf([TranscodingService]).filter(({ rpc }) => !left.includes(rpc.name)),
    open: () => startTranscoding({ endsSoon: true, etags: true }),
    good: "/t/v1/nothing",
  },
  {
    target: "the server",
    bindings: bindingsOf([ManagementService, AdminService]),
    open: () => startTestServer(),
    good: "/management/v1/policies/login",
  },
] as const;

describe.each(targets)("$target", ({ bindings, open, good }) => {
  let server: TranscodingServer | TestServer;
  const complaints: unknown[] = [];
  const onRejection = (reason: unknown) => complaints.push(reason);
  beforeAll(async () => {
    process.on("unhandledRejection", onRejection);
    server = await open();
  });
  afterAll(async () => {
    process.off("unhandledRejection", onRejection);
    await server.close();
  });

  const authorization = (): Record<string, string> =>
    "adminToken" in server ? { authorization: `Bearer ${server.adminToken}` } : {};

  /** Rejects when the answer takes too long. */
  async function inTime<T>(work: Promise<T>, what: () => string): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`no answer within ${answerWithinMs} ms to ${what()}`)),
      answerWithinMs,
    );
    try {
      return await Promise.race([work, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async function checkUp(): Promise<void> {
    for (const version of versions) {
      const reply = await inTime(
        exchange(server.url, { version, method: "GET", path: good, headers: authorization() }),
        () => "a good request",
      );
      expect(reply.status, "a good request afterwards").toBe(200);
    }
    expect(complaints.splice(0), "unhandled rejections").toEqual([]);
  }

  /** Sends requests until the time is up, and as many as it takes to look at something; fails with the seed of the first that is not answered as it should. */
  async function throwAll(send: (random: Random) => Promise<void>): Promise<number> {
    const before = process.memoryUsage();
    const end = performance.now() + (seconds * 1000) / (targets.length * 2);
    let count = 0;
    for (; count < leastRequests || performance.now() < end; count += 1) {
      const seed = firstSeed + count;
      try {
        await send(randomOf(seed));
        expect(server.failures.splice(0), "failures that the server reported as its own").toEqual([]);
        if (count % 100 === 0) await checkUp();
      } catch (cause) {
        server.failures.length = 0;
        throw new Error(`with PORTCULLIS_FUZZ_SEED=${seed}: ${(cause as Error).message}`, { cause });
      }
    }
    await checkUp();
    const after = process.memoryUsage();
    expect(after.rss - before.rss, "growth of the process").toBeLessThan(maxGrowthBytes);
    expect(after.heapUsed - before.heapUsed, "growth of the heap").toBeLessThan(maxGrowthBytes);
    return count;
  }

  it(
    `answers every request, and none with a failure of its own (PORTCULLIS_FUZZ_SEED=${firstSeed})`,
    async () => {
      let answered = 0;
      const count = await throwAll(async (random) => {
        const made = makeRequest(random, bindings);
        const request = { ...made, headers: { ...made.headers, ...(random.chance(0.95) && authorization()) } };
        // A request that HTTP itself refuses has no answer, but a connection or stream that is closed.
        const reply = await inTime(
          exchange(server.url, request).catch((reason: Error) => reason),
          () => told(made),
        );
        if (reply instanceof Error) return;
        answered += 1;
        if (reply.status >= 500 && !isAskedFor(reply, request)) {
          throw new Error(`${reply.status} ${reply.body.toString().slice(0, 500)} to ${told(made)}`);
        }
      });
      expect(answered, `answers to ${count} requests`).toBeGreaterThan(count / 2);
    },
    seconds * 1000 + 60_000,
  );

  it(
    `survives bytes that are hardly HTTP (PORTCULLIS_FUZZ_SEED=${firstSeed})`,
    async () => {
      await throwAll(async (random) => {
        const { method = "GET", path, headers = {}, body } = makeRequest(random, bindings);
        const lines = Object.entries({ host: "h", ...headers, ...authorization() }).map(
          ([name, value]) => `${name}: ${value}`,
        );
        const head = Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`, "latin1");
        const bytes = Buffer.concat([head, Buffer.from((body as Uint8Array | undefined) ?? [])]);
        for (let flips = random.below(4); flips > 0; flips -= 1) bytes[random.below(bytes.length)] = random.below(256);
        const client = await rawClient(server);
        client.socket.end(bytes);
        const raw = await inTime(client.closed, () => JSON.stringify(bytes.toString("latin1").slice(0, 3_000)));
        const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(raw)?.[1] ?? 0);
        if (status >= 500 && ![501, 504, 505].includes(status) && !raw.includes('{"code":15,')) {
          throw new Error(`${raw.slice(0, 500)} to ${JSON.stringify(bytes.toString("latin1").slice(0, 2_000))}`);
        }
      });
    },
    seconds * 1000 + 60_000,
  );
});
