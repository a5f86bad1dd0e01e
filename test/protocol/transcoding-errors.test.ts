import { describe, expect, it } from "vitest";
import { expectNoInternals, expectStatus } from "../fixtures/sturdy.ts";
import { openTranscoding } from "../fixtures/transcoding.ts";
import { exchange, type Reply, visible } from "../fixtures/wire.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;

/** Every code, its number and the HTTP status that google.rpc.Code documents for it. */
const codes = [
  ["Canceled", 1, 499],
  ["Unknown", 2, 500],
  ["InvalidArgument", 3, 400],
  ["DeadlineExceeded", 4, 504],
  ["NotFound", 5, 404],
  ["AlreadyExists", 6, 409],
  ["PermissionDenied", 7, 403],
  ["ResourceExhausted", 8, 429],
  ["FailedPrecondition", 9, 400],
  ["Aborted", 10, 409],
  ["OutOfRange", 11, 400],
  ["Unimplemented", 12, 501],
  ["Internal", 13, 500],
  ["Unavailable", 14, 503],
  ["DataLoss", 15, 500],
  ["Unauthenticated", 16, 401],
] as const;

const details = ({ body }: Reply): unknown => JSON.parse(body.toString()).details;

describe.each(versions)("an error over HTTP/$version", ({ version }) => {
  const ask = async (how: string): Promise<Reply> => {
    const { url } = await openTranscoding();
    return exchange(url, { version, method: "GET", path: `/t/v1/throw/${how}` });
  };

  it.each(codes)("of the code %s is %i in a Status, and HTTP %i", async (name, code, http) => {
    const reply = await ask(name);
    expect(expectStatus(reply, { http, code })).toBe(`it is ${name}`);
    expect(reply.headers).toMatchObject({
      "content-type": "application/json",
      "cache-control": "no-store",
      "content-length": String(reply.body.length),
      "x-before": "set",
    });
  });
  it.each(["bug", "text"])("that is a bug (%s) says nothing of itself, and is reported once", async (how) => {
    const server = await openTranscoding();
    const reply = await exchange(server.url, { version, method: "GET", path: `/t/v1/throw/${how}` });
    expect(expectStatus(reply, { http: 500, code: 13 })).toBe("internal error");
    expect(visible(reply)).not.toContain("secret");
    expect(server.failures).toHaveLength(1);
  });
  it("has the text, details and metadata of its handler", async () => {
    const reply = await ask("refusal");
    expect(expectStatus(reply, { http: 400, code: 9 })).toBe("not like this: 100 % 'é'\n");
    expect(details(reply)).toEqual([
      { "@type": "type.googleapis.com/google.rpc.Help", links: [{ description: "how", url: "https://help.example" }] },
    ]);
    expect(reply.headers).toMatchObject({ "x-metadata": "told", "x-before": "set" });
  });
  it("has none of its metadata that is about the connection or the bytes", async () => {
    const reply = await ask("metadata");
    expect(expectStatus(reply, { http: 409, code: 10 })).toBe("with headers");
    expect(reply.headers).toMatchObject({ "x-metadata": "told", "content-type": "application/json" });
    for (const name of ["content-encoding", "transfer-encoding", "upgrade"]) {
      expect(reply.headers).not.toHaveProperty(name);
    }
    expect(reply.headers["content-length"]).toBe(String(reply.body.length));
    expect(reply.headers.connection).not.toBe("upgrade");
  });
  it("that may be tried again says when", async () => {
    const reply = await ask("unavailable");
    expectStatus(reply, { http: 503, code: 14 });
    expect(reply.headers["retry-after"]).toBe("3");
  });
  it("of a caller who is nobody says how to be somebody", async () => {
    const reply = await ask("unauthenticated");
    expectStatus(reply, { http: 401, code: 16 });
    expect(reply.headers["www-authenticate"]).toBe("Bearer");
  });
  it.each([
    { how: "duration", want: { "@type": "type.googleapis.com/google.protobuf.Duration", value: "3s" } },
    { how: "text_value", want: { "@type": "type.googleapis.com/google.protobuf.StringValue", value: "told" } },
  ])("has a detail with a JSON form of its own ($how) under value", async ({ how, want }) => {
    const reply = await ask(how);
    expectStatus(reply, { http: 409, code: 10 });
    expect(details(reply)).toEqual([want]);
  });
  it("keeps its code where a detail cannot be told as JSON", async () => {
    const server = await openTranscoding();
    const reply = await exchange(server.url, { version, method: "GET", path: "/t/v1/throw/foreign" });
    expect(expectStatus(reply, { http: 409, code: 10 })).toBe("with a foreign detail");
    expect(details(reply)).toEqual([
      {
        "@type": "type.googleapis.com/portcullis.test.v1.Everything",
        value: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/),
      },
    ]);
  });
  it("of an RPC that is left out is 501", async () => {
    const { url } = await openTranscoding();
    expectStatus(await exchange(url, { version, method: "GET", path: "/t/v1/missing" }), { http: 501, code: 12 });
  });
  it("of an answer that cannot be told as JSON is a bug", async () => {
    const server = await openTranscoding({
      interceptors: [
        (next) => async (request) => {
          const answer = await next(request);
          if (!answer.stream)
            Object.assign(answer.message, { value: { $typeName: "google.protobuf.Value", kind: { case: undefined } } });
          return answer;
        },
      ],
    });
    const reply = await exchange(server.url, { version, path: "/t/v1/whole" });
    expect(expectStatus(reply, { http: 500, code: 13 })).toBe("internal error");
    expect(server.failures).toHaveLength(1);
  });

  const json = { "content-type": "application/json" };
  const whole = (body: string | Uint8Array, headers: Record<string, string> = json) => ({
    path: "/t/v1/whole",
    headers,
    body,
  });
  it.each([
    { name: "no path", request: { method: "GET", path: "/nope" } },
    { name: "a wrong method", request: { method: "DELETE", path: "/t/v1/whole" } },
    { name: "a bad escape", request: { method: "GET", path: "/t/v1/things/%zz" } },
    { name: "dots", request: { method: "GET", path: "/t/v1/things/.." } },
    { name: "a value in the path", request: { method: "GET", path: "/t/v1/query/a/b/x" } },
    { name: "a bytes value", request: { method: "GET", path: "/t/v1/query?raw=***" } },
    { name: "a time", request: { method: "GET", path: "/t/v1/query?time=x" } },
    { name: "a wrapper", request: { method: "GET", path: "/t/v1/query?wrappedSmall=x" } },
    { name: "a query", request: { method: "GET", path: "/t/v1/query?nope=1" } },
    { name: "a query that is no text", request: { method: "GET", path: "/t/v1/query?a=%ff" } },
    { name: "JSON that is none", request: whole('{"text":') },
    { name: "UTF-8 that is none", request: whole(Buffer.from([0xff])) },
    { name: "a type that does not fit", request: whole('{"text":{"a":1}}') },
    { name: "a long text where none fits", request: whole(`{"small":"${"x".repeat(10_000)}"}`) },
    { name: "a field that is none", request: whole(`{"${"n".repeat(1_000)}":1}`) },
    { name: "an Any that is none", request: whole('{"any":{"@type":"type.googleapis.com/nope.Nope","a":1}}') },
    { name: "a oneof twice", request: whole('{"chosenText":"a","chosenNumber":"1"}') },
    { name: "gzip that is none", request: whole("{}", { ...json, "content-encoding": "gzip" }) },
    { name: "an unknown encoding", request: whole("{}", { ...json, "content-encoding": "nope" }) },
    { name: "an unknown content type", request: whole("{}", { "content-type": "text/plain" }) },
    { name: "an unacceptable answer", request: whole("{}", { ...json, accept: "text/html" }) },
    { name: "a deadline that is none", request: whole("{}", { ...json, "grpc-timeout": "nope" }) },
    { name: "too large a body", request: whole("x".repeat(100_000)) },
    { name: "too large headers", request: whole("{}", { ...json, "x-large": "x".repeat(20_000) }) },
  ])("for $name is a Status in words of our own", async ({ request }) => {
    const server = await openTranscoding();
    const reply = await exchange(server.url, { version, ...request });
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.status).toBeLessThan(500);
    expectNoInternals(reply);
    expect(visible(reply)).not.toMatch(
      /cannot decode|cannot set|BigInt|base64url|portcullis\.test|google\.protobuf\.(?!Any)|parse|zlib|gunzip|invalid UTF/i,
    );
    const body = JSON.parse(reply.body.toString());
    expect(Object.keys(body)).toEqual(["code", "message", "details"]);
    expect(reply.headers).toMatchObject({ "content-type": "application/json", "cache-control": "no-store" });
    expect(server.failures).toEqual([]);
  });
});
