import { once } from "node:events";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type JsonObject,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { type EchoServer, openEcho } from "../fixtures/echo.ts";
import { Color, EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { paths } from "../fixtures/server.ts";
import { exchange, frame, framesOf, outcomeOf, type Reply } from "../fixtures/wire.ts";
import { rawClient, session2 } from "./listener-clients.ts";

const echo = EchoService.method;
const rpcPath = ({ parent, name }: DescMethodUnary): string => `/${parent.typeName}/${name}`;
const json = { "content-type": "application/json" };

const transports: readonly { protocol: string; readonly connect: (baseUrl: string) => Transport }[] = [
  { protocol: "gRPC", connect: (baseUrl) => createGrpcTransport({ baseUrl }) },
  { protocol: "gRPC-Web over HTTP/1.1", connect: (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }) },
  { protocol: "gRPC-Web over HTTP/2", connect: (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }) },
  { protocol: "Connect over HTTP/1.1", connect: (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }) },
  {
    protocol: "Connect with JSON over HTTP/2",
    connect: (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
  },
];

const framings = [
  { framing: "gRPC", version: 2, type: "application/grpc+proto" },
  { framing: "gRPC-Web over HTTP/1.1", version: 1, type: "application/grpc-web+proto" },
  { framing: "gRPC-Web over HTTP/2", version: 2, type: "application/grpc-web+proto" },
] as const;

/** A call in gRPC framing on any path. */
const sendFrame = <Desc extends DescMessage>(
  { url }: EchoServer,
  { version, type }: (typeof framings)[number],
  { path, desc, message }: { path: string; desc: Desc; message: MessageInitShape<Desc> },
): Promise<Reply> =>
  exchange(url, {
    version,
    path,
    headers: { "content-type": type, te: "trailers" },
    body: frame(toBinary(desc, create(desc, message))),
  });

function messageOf<Desc extends DescMessage>(desc: Desc, { body }: Reply): MessageShape<Desc> {
  const data = framesOf(body).find(({ flags }) => flags === 0)?.data;
  if (data === undefined) throw new Error("no message");
  return fromBinary(desc, data);
}

/** The error that a call must end with. */
const refusalOf = (call: Promise<unknown>): Promise<ConnectError> =>
  call.then(
    () => {
      throw new Error("the call succeeded");
    },
    (reason: unknown) => ConnectError.from(reason),
  );

const bodyJson = ({ body }: Reply): JsonObject => JSON.parse(body.toString()) as JsonObject;

describe("a POST route with a variable and a body", () => {
  it("takes the variable from the path, and the rest from the body", async () => {
    const { url } = await openEcho();
    const reply = await exchange(url, { path: "/test/v1/rooms/kitchen/say", headers: json, body: '{"text":"hi"}' });
    expect(bodyJson(reply)).toEqual({ room: "kitchen", text: "hi" });
  });
  it.each([
    { says: "the same", body: '{"room":"kitchen","text":"hi"}' },
    { says: "nothing", body: '{"text":"hi","room":null}' },
    { says: "an empty text, which a caller may not know from nothing,", body: '{"text":"hi","room":""}' },
  ])("takes a body that says $says of what the path says", async ({ body }) => {
    const { url } = await openEcho();
    for (const version of [1, 2] as const) {
      const reply = await exchange(url, { version, path: "/test/v1/rooms/kitchen/say", headers: json, body });
      expect(bodyJson(reply)).toEqual({ room: "kitchen", text: "hi" });
    }
  });
  it.each([
    {
      contradicts: "its body",
      path: "/test/v1/rooms/kitchen/say",
      body: '{"room":"cellar","text":"hi"}',
      message: "invalid parameter room: the body has another value than the path",
    },
    {
      contradicts: "its query, where the body is the whole request,",
      path: "/test/v1/rooms/kitchen/say?text=hi",
      body: "{}",
      message: "unexpected query parameter text: the body is the whole request, so there are no query parameters",
    },
  ])("refuses a request whose path contradicts $contradicts", async ({ path, body, message }) => {
    const { url } = await openEcho();
    for (const version of [1, 2] as const) {
      const reply = await exchange(url, { version, path, headers: json, body });
      expect(reply.status).toBe(400);
      const [field] = /\b(room|text)\b/.exec(message) ?? [];
      expect(bodyJson(reply)).toMatchObject({
        code: 3,
        message,
        details: [{ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: [{ field }] }],
      });
    }
  });
  it.each(framings)("lets the path win in $framing framing", async (framing) => {
    const call = { desc: echo.say.input, message: { room: "cellar", text: "hi" } };
    for (const { stockHandlers } of paths) {
      const server = await openEcho({ stockHandlers });
      const onRoute = await sendFrame(server, framing, { ...call, path: "/test/v1/rooms/a%2Fb/say" });
      expect(messageOf(echo.say.output, onRoute)).toMatchObject({ room: "a/b", text: "hi" });
      const onRpc = await sendFrame(server, framing, { ...call, path: rpcPath(echo.say) });
      expect(messageOf(echo.say.output, onRpc)).toMatchObject({ room: "cellar", text: "hi" });
    }
  });
  it.each(framings)("refuses a bad escape and a NUL in $framing framing, with a grpc-status", async (framing) => {
    const server = await openEcho();
    const call = { desc: echo.say.input, message: {} };
    const nul = await sendFrame(server, framing, { ...call, path: "/test/v1/rooms/%00/say" });
    expect(outcomeOf(nul)).toMatchObject({ code: Code.InvalidArgument });
    const badEscape = await sendFrame(server, framing, { ...call, path: "/test/v1/rooms/%/say" });
    expect(outcomeOf(badEscape).code).toBeGreaterThan(0);
  });
  it("sets the path's values before any interceptor sees the message", async () => {
    const seen: unknown[] = [];
    const spy: Interceptor = (next) => (request) => {
      if (!request.stream) seen.push((request.message as { room?: string }).room);
      return next(request);
    };
    const server = await openEcho({ interceptors: [spy] });
    await exchange(server.url, { path: "/test/v1/rooms/kitchen/say", headers: json, body: '{"text":"hi"}' });
    for (const framing of framings) {
      const call = { desc: echo.say.input, message: { room: "cellar" } };
      await sendFrame(server, framing, { ...call, path: "/test/v1/rooms/kitchen/say" });
    }
    expect(seen).toEqual(["kitchen", "kitchen", "kitchen", "kitchen"]);
  });
});

describe("a GET route whose fields come from the path", () => {
  const get = async (values: readonly string[]) => {
    const { url } = await openEcho();
    return exchange(url, { method: "GET", path: `/test/v1/typed/${values.join("/")}` });
  };
  it.each([
    {
      values: ["a%20b", "-2147483648", "9223372036854775807", "true", "COLOR_RED"],
      received: { text: "a b", small: -2147483648, big: "9223372036854775807", flag: true, color: "COLOR_RED" },
    },
    {
      values: ["%F0%9F%98%80", "2147483647", "-9007199254740993", "false", "2"],
      received: { text: "😀", small: 2147483647, big: "-9007199254740993", flag: false, color: "COLOR_GREEN" },
    },
    // An open enum: its numbers need no name.
    { values: ["x", "0", "0", "false", "99"], received: { text: "x", small: 0, big: "0", flag: false, color: 99 } },
  ])("$values", async ({ values, received }) => {
    const reply = await get(values);
    expect({ status: reply.status, body: bodyJson(reply) }).toEqual({ status: 200, body: { received } });
  });
  it.each([
    { field: "small", values: ["x", "2147483648", "0", "true", "0"] },
    { field: "small", values: ["x", "1.5", "0", "true", "0"] },
    { field: "small", values: ["x", "0x10", "0", "true", "0"] },
    { field: "small", values: ["x", "1e10", "0", "true", "0"] },
    { field: "small", values: ["x", "%201", "0", "true", "0"] },
    { field: "small", values: ["x", "NaN", "0", "true", "0"] },
    { field: "big", values: ["x", "0", "9223372036854775808", "true", "0"] },
    { field: "big", values: ["x", "0", "x", "true", "0"] },
    { field: "flag", values: ["x", "0", "0", "TRUE", "0"] },
    { field: "flag", values: ["x", "0", "0", "1", "0"] },
    { field: "color", values: ["x", "0", "0", "true", "red"] },
    { field: "color", values: ["x", "0", "0", "true", "COLOR_BLUE"] },
    { field: "color", values: ["x", "0", "0", "true", "4294967296"] },
  ])("refuses $values for $field", async ({ field, values }) => {
    const reply = await get(values);
    expect(reply.status).toBe(400);
    expect(bodyJson(reply)).toMatchObject({
      code: 3,
      details: [{ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: [{ field }] }],
    });
  });
  it.each([
    ["", "0", "0", "true", "0"],
    ["x", "", "0", "true", "0"],
    ["x", "0", "0", "true"],
    ["x", "0", "0", "true", "0", ""],
  ])("does not match with a segment empty, missing or too many", async (...values) => {
    expect((await get(values)).status).toBe(404);
  });
  it("is served as a Connect GET too, and both verbs are allowed there", async () => {
    const { url } = await openEcho();
    const query = `?connect=v1&encoding=json&message=${encodeURIComponent('{"text":"x"}')}`;
    const reply = await exchange(url, { method: "GET", path: rpcPath(echo.typed) + query });
    expect(bodyJson(reply)).toMatchObject({ received: { text: "x" } });
    const put = await exchange(url, { method: "PUT", path: rpcPath(echo.typed) });
    expect(put).toMatchObject({ status: 405, headers: { allow: "GET, OPTIONS, POST" } });
    const options = await exchange(url, { method: "OPTIONS", path: rpcPath(echo.typed) });
    expect(options).toMatchObject({ status: 204, headers: { allow: "GET, OPTIONS, POST" } });
    const bad = await exchange(url, { method: "GET", path: rpcPath(echo.typed) });
    expect(bad.status).toBe(415);
    expect(bodyJson(bad)).toMatchObject({ code: "invalid_argument" });
  });
});

describe("routes that overlap", () => {
  it.each([
    { method: "POST", path: "/test/v1/rooms/lobby", body: { isLobby: true } },
    { method: "GET", path: "/test/v1/rooms/lobby", body: { room: "lobby" } },
    { method: "GET", path: "/test/v1/rooms/%6Cobby", body: { room: "lobby" } },
    { method: "GET", path: "/test/v1/rooms/say", body: { room: "say" } },
  ])("$method $path finds its own", async ({ method, path, body }) => {
    const { url } = await openEcho();
    expect(bodyJson(await exchange(url, { method, path }))).toEqual(body);
  });
  it("tell every verb of a path", async () => {
    const { url } = await openEcho();
    const reply = await exchange(url, { method: "PUT", path: "/test/v1/rooms/lobby" });
    expect(reply).toMatchObject({ status: 405, headers: { allow: "GET, HEAD, OPTIONS, POST" } });
  });
});

describe.each(transports.flatMap((transport) => paths.map((path) => ({ ...transport, ...path }))))(
  "$protocol on the $path path",
  ({ connect, stockHandlers }) => {
    it("serves an RPC with and one without an HTTP rule", async () => {
      const client = createClient(EchoService, connect((await openEcho({ stockHandlers })).url));
      expect(await client.say({ room: "kitchen", text: "hi" })).toMatchObject({ room: "kitchen", text: "hi" });
      expect(await client.bare({ text: "é" })).toMatchObject({ text: "é" });
      expect((await client.typed({ big: -1n, color: Color.RED })).received).toMatchObject({
        big: -1n,
        color: Color.RED,
      });
    });
    it("streams", async () => {
      const client = createClient(EchoService, connect((await openEcho({ stockHandlers })).url));
      const numbers: number[] = [];
      for await (const { number } of client.count({ to: 300 })) numbers.push(number);
      expect(numbers).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    });
    it("passes headers and trailers on", async () => {
      const client = createClient(EchoService, connect((await openEcho({ stockHandlers })).url));
      const seen: Record<string, string | null> = {};
      await client.mark(
        {},
        {
          onHeader: (header) => {
            seen["header"] = header.get("x-header");
          },
          onTrailer: (trailer) => {
            seen["trailer"] = trailer.get("x-trailer");
          },
        },
      );
      expect(seen).toEqual({ header: "h", trailer: "t" });
    });
    it("hides what a handler throws that is no ConnectError", async () => {
      const server = await openEcho({ stockHandlers });
      const error = await refusalOf(createClient(EchoService, connect(server.url)).fail({ how: "plain" }));
      expect(error).toMatchObject({ code: Code.Internal, rawMessage: "internal error", details: [] });
    });
    it("passes a ConnectError on, with its details and metadata", async () => {
      const server = await openEcho({ stockHandlers });
      const error = await refusalOf(createClient(EchoService, connect(server.url)).fail({ how: "connect" }));
      expect(error).toMatchObject({ code: Code.FailedPrecondition, rawMessage: "not like this: 100 % 'é'" });
      expect(error.metadata.get("x-metadata")).toBe("told");
      expect(error.metadata.get("x-before"), "a header that was set before").toBe("set");
      expect(error.details).toMatchObject([{ type: "google.rpc.BadRequest" }]);
    });
    it("answers unimplemented for an RPC that the implementation leaves out", async () => {
      const server = await openEcho({ stockHandlers });
      const error = await refusalOf(createClient(EchoService, connect(server.url)).missing({}));
      expect(error).toMatchObject({ code: Code.Unimplemented });
    });
    it("aborts the handler when the client cancels", async () => {
      const server = await openEcho({ stockHandlers });
      const controller = new AbortController();
      const began = server.nextWait();
      const call = createClient(EchoService, connect(server.url)).wait({}, { signal: controller.signal });
      const { aborted } = await began;
      controller.abort();
      await expect(call).rejects.toMatchObject({ code: Code.Canceled });
      await aborted;
      expect(server.failures).toEqual([]);
    });
    it("aborts the handler when its time is over", async () => {
      const server = await openEcho({ stockHandlers });
      const call = createClient(EchoService, connect(server.url)).wait({}, { timeoutMs: 50 });
      await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
      // Its own deadline, or the client's hanging up at the same moment.
      await server.waiting[0]?.aborted;
      expect(server.failures).toEqual([]);
    });
    it("asks the gate before it reads, for streams too", async () => {
      const names: string[] = [];
      const server = await openEcho({
        stockHandlers,
        gate: ({ method }) => {
          names.push(method.name);
          throw new ConnectError("closed", Code.PermissionDenied);
        },
      });
      const client = createClient(EchoService, connect(server.url));
      await expect(client.bare({ text: "x".repeat(5_000) })).rejects.toMatchObject({ code: Code.PermissionDenied });
      await expect(client.count({ to: 1 })[Symbol.asyncIterator]().next()).rejects.toMatchObject({
        code: Code.PermissionDenied,
      });
      expect(names).toEqual(["Bare", "Count"]);
    });
  },
);

describe("REST", () => {
  it("does not serve what has no HTTP rule", async () => {
    const { url } = await openEcho();
    expect((await exchange(url, { path: "/test/v1/bare", headers: json, body: "{}" })).status).toBe(404);
  });
  it("hides what a handler throws that is no ConnectError", async () => {
    const { url } = await openEcho();
    const reply = await exchange(url, { method: "GET", path: "/test/v1/fail/plain" });
    expect(reply.status).toBe(500);
    expect(bodyJson(reply)).toEqual({ code: 13, message: "internal error", details: [] });
  });
  it("passes a ConnectError on, with its details and metadata", async () => {
    const { url } = await openEcho();
    const reply = await exchange(url, { method: "GET", path: "/test/v1/fail/connect" });
    expect(reply).toMatchObject({ status: 400, headers: { "x-metadata": "told", "cache-control": "no-store" } });
    expect(bodyJson(reply)).toEqual({
      code: 9,
      message: "not like this: 100 % 'é'",
      details: [
        {
          "@type": "type.googleapis.com/google.rpc.BadRequest",
          fieldViolations: [expect.objectContaining({ field: "how", description: "wrong" })],
        },
      ],
    });
  });
  it("keeps the headers that a handler set before it threw", async () => {
    const { url } = await openEcho();
    const reply = await exchange(url, { method: "GET", path: "/test/v1/fail/connect" });
    expect(reply.headers).toMatchObject({ "x-before": "set" });
  });
  it("passes headers on, and trailers as headers", async () => {
    const { url } = await openEcho();
    const reply = await exchange(url, { method: "GET", path: "/test/v1/mark" });
    expect(reply).toMatchObject({ status: 200, headers: { "x-header": "h", "trailer-x-trailer": "t" }, trailers: {} });
    expect(bodyJson(reply)).toEqual({});
  });
  it.each([
    { name: "an unknown field", path: "/test/v1/rooms/kitchen/say", body: '{"nope":1}', field: "nope" },
    { name: "an unknown query parameter", path: "/test/v1/rooms/lobby?nope=1", body: "", field: "nope" },
    { name: "a body where none is mapped", path: "/test/v1/rooms/lobby", body: "{}", field: "body" },
  ])("refuses $name, so that nothing is lost without a word", async ({ path, body, field }) => {
    const { url } = await openEcho();
    const reply = await exchange(url, { path, headers: json, body });
    expect(reply.status).toBe(400);
    expect(bodyJson(reply)).toMatchObject({ code: 3, details: [{ fieldViolations: [{ field }] }] });
  });
  it.each([
    { accept: "text/html", status: 406 },
    { accept: "application/json;q=0, */*;q=0", status: 406 },
    { accept: "application/*", status: 200 },
    { accept: "text/html, */*;q=0.1", status: 200 },
  ])("answers $status where $accept is accepted", async ({ accept, status }) => {
    const { url } = await openEcho();
    const reply = await exchange(url, { method: "GET", path: "/test/v1/mark", headers: { accept } });
    expect(reply).toMatchObject({ status, headers: { "content-type": "application/json" } });
    if (status === 406) expect(bodyJson(reply)).toMatchObject({ code: 3, details: [] });
  });
  it("asks the gate before it looks at what is accepted", async () => {
    const { url } = await openEcho({
      gate: () => {
        throw new ConnectError("who?", Code.Unauthenticated);
      },
    });
    const reply = await exchange(url, { method: "GET", path: "/test/v1/mark", headers: { accept: "text/html" } });
    expect(reply.status).toBe(401);
  });
  it("challenges whom the gate does not know", async () => {
    const { url } = await openEcho({
      gate: () => {
        throw new ConnectError("who?", Code.Unauthenticated);
      },
    });
    const reply = await exchange(url, { method: "GET", path: "/test/v1/mark" });
    expect(reply).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
  });
  it("answers 501 for an RPC that the implementation leaves out", async () => {
    const { url } = await openEcho();
    const reply = await exchange(url, { method: "GET", path: "/test/v1/missing" });
    expect(reply.status).toBe(501);
    expect(bodyJson(reply)).toMatchObject({ code: 12, details: [] });
  });
  it("aborts the handler when the client goes, over HTTP/1.1", async () => {
    const server = await openEcho();
    for (const leave of ["reset", "destroy"] as const) {
      const began = server.nextWait();
      const client = await rawClient(server, "GET /test/v1/wait HTTP/1.1\r\nHost: h\r\n\r\n");
      const { aborted } = await began;
      if (leave === "reset") client.reset();
      else client.socket.destroy();
      expect(await aborted).toMatchObject({ code: Code.Canceled });
    }
    expect(server.failures).toEqual([]);
  });
  it("aborts the handler when the client resets the stream, over HTTP/2", async () => {
    const server = await openEcho();
    const session = session2(server);
    const began = server.nextWait();
    const stream = session.request({ ":path": "/test/v1/wait" });
    stream.on("error", () => {});
    const { aborted } = await began;
    stream.close(8);
    expect(await aborted).toMatchObject({ code: Code.Canceled });
    expect(server.failures).toEqual([]);
  }, 5_000);
  it("leaves the signal alone while the client waits, and fires it when the call is over", async () => {
    const signals: AbortSignal[] = [];
    const server = await openEcho({ gate: ({ signal }) => void signals.push(signal) });
    let duringCall: boolean | undefined;
    const spy: Interceptor = (next) => async (request) => {
      const answer = await next(request);
      duringCall = request.signal.aborted;
      return answer;
    };
    const watched = await openEcho({ interceptors: [spy], gate: ({ signal }) => void signals.push(signal) });
    await exchange(server.url, { method: "GET", path: "/test/v1/mark" });
    await exchange(watched.url, { method: "GET", path: "/test/v1/mark" });
    expect(duringCall).toBe(false);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  });
  it("tells the gate and the handler who asks for what", async () => {
    const seen: unknown[] = [];
    const { url } = await openEcho({
      gate: ({ protocolName, requestMethod, requestHeader, method, service }) => {
        seen.push([protocolName, requestMethod, requestHeader.get("x-own"), method.name, service.typeName]);
      },
    });
    await exchange(url, { method: "GET", path: "/test/v1/mark", headers: { "x-own": "1" } });
    await exchange(url, { version: 2, method: "GET", path: "/test/v1/mark", headers: { "x-own": "2" } });
    expect(seen).toEqual([
      ["rest", "GET", "1", "Mark", "portcullis.test.v1.EchoService"],
      ["rest", "GET", "2", "Mark", "portcullis.test.v1.EchoService"],
    ]);
  });
});

describe("a page of another origin", () => {
  const origin = "https://app.example";
  const framed = { "content-type": "application/grpc-web+proto", origin };
  const exposed = ({ headers }: Reply) => String(headers["access-control-expose-headers"]).toLowerCase().split(/, */);

  it.each([
    { name: "an unknown RPC", path: "/portcullis.test.v1.EchoService/Nope", status: "12" },
    { name: "an RPC that is left out", path: "/portcullis.test.v1.EchoService/Missing", status: "12" },
    { name: "an error of the handler", path: "/portcullis.test.v1.EchoService/Fail", status: "9" },
  ])("can read the gRPC-Web status of $name", async ({ path, status }) => {
    const { url } = await openEcho({ cors: { origins: [origin] } });
    for (const version of [1, 2] as const) {
      const reply = await exchange(url, { version, path, headers: framed, body: frame(Buffer.alloc(0)) });
      expect(reply.headers["access-control-allow-origin"]).toBe(origin);
      expect(exposed(reply)).toEqual(
        expect.arrayContaining(["grpc-status", "grpc-message", "grpc-status-details-bin"]),
      );
      expect(String(outcomeOf(reply).code)).toBe(status);
    }
  });
  it("can read a refusal in headers alone", async () => {
    const { url } = await openEcho({ cors: { origins: [origin] } });
    const reply = await exchange(url, { path: "/nope", headers: framed, body: frame(Buffer.alloc(0)) });
    expect(reply).toMatchObject({
      status: 200,
      headers: { "grpc-status": "12", "content-type": "application/grpc-web+proto" },
    });
    expect(reply.headers["grpc-message"]).toBeDefined();
    expect(reply.body).toHaveLength(0);
  });
  it.each([
    { name: "REST", request: { method: "GET", path: "/test/v1/fail/connect" } },
    { name: "Connect", request: { path: "/portcullis.test.v1.EchoService/Fail", headers: json, body: "{}" } },
    { name: "an unknown route", request: { method: "GET", path: "/nope" } },
    { name: "a wrong verb", request: { method: "PUT", path: "/test/v1/mark" } },
  ])("can read errors of $name", async ({ request }) => {
    const { url } = await openEcho({ cors: { origins: [origin] } });
    const headers = { ...("headers" in request && request.headers), origin };
    const reply = await exchange(url, { ...request, headers });
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.headers["access-control-allow-origin"]).toBe(origin);
    expect(reply.headers.vary).toMatch(/origin/i);
  });
});

describe("a deadline that only the server keeps", () => {
  it.each([
    { name: "gRPC", version: 2, headers: { "content-type": "application/grpc", "grpc-timeout": "30m" } },
    { name: "gRPC-Web", version: 1, headers: { "content-type": "application/grpc-web", "grpc-timeout": "30m" } },
    { name: "Connect", version: 1, headers: { "content-type": "application/proto", "connect-timeout-ms": "30" } },
  ] as const)("ends a call over $name", async ({ version, headers }) => {
    const body = headers["content-type"] === "application/proto" ? "" : frame(Buffer.alloc(0));
    for (const { stockHandlers } of paths) {
      const server = await openEcho({ stockHandlers });
      const reply = await exchange(server.url, { version, path: rpcPath(echo.wait), headers, body });
      expect(outcomeOf(reply)).toMatchObject({ code: Code.DeadlineExceeded });
      expect(await server.waiting[0]?.aborted).toMatchObject({ code: Code.DeadlineExceeded });
    }
  });
  it.each([
    { "grpc-timeout": "30m" },
    { "connect-timeout-ms": "30" },
    { "x-server-timeout": "0.03" },
    { "grpc-timeout": "1H", "connect-timeout-ms": "30", "x-server-timeout": "3600" },
  ])("ends a call over REST: %o", async (headers) => {
    const server = await openEcho();
    const reply = await exchange(server.url, { method: "GET", path: "/test/v1/wait", headers });
    expect(reply.status).toBe(504);
    expect(bodyJson(reply)).toMatchObject({ code: Code.DeadlineExceeded });
    expect(await server.waiting[0]?.aborted).toMatchObject({ code: Code.DeadlineExceeded });
  });
  it("that says no time is told once the gate has let the call pass", async () => {
    let isOpen = false;
    const server = await openEcho({
      gate: () => {
        if (!isOpen) throw new ConnectError("closed", Code.PermissionDenied);
      },
    });
    const send = () =>
      exchange(server.url, { method: "GET", path: "/test/v1/mark", headers: { "x-server-timeout": "soon" } });
    expect((await send()).status).toBe(403);
    isOpen = true;
    const reply = await send();
    expect(reply.status).toBe(400);
    expect(bodyJson(reply)).toMatchObject({
      message: expect.stringContaining("the header x-server-timeout is not a valid timeout"),
    });
  });
});

it("gRPC's status details are google.rpc.Status in grpc-status-details-bin", async () => {
  const { url } = await openEcho();
  const body = frame(toBinary(echo.fail.input, create(echo.fail.input, { how: "connect" })));
  const headers = { "content-type": "application/grpc", te: "trailers" };
  const reply = await exchange(url, { version: 2, path: rpcPath(echo.fail), headers, body });
  const details = { ...reply.headers, ...reply.trailers }["grpc-status-details-bin"];
  const status = fromBinary(StatusSchema, Buffer.from(String(details), "base64"));
  expect(status).toMatchObject({
    code: 9,
    message: "not like this: 100 % 'é'",
    details: [{ typeUrl: "type.googleapis.com/google.rpc.BadRequest" }],
  });
});

it.each(framings)("a malformed request of a stream is invalid_argument over $framing", async ({ version, type }) => {
  const { url } = await openEcho();
  const path = "/portcullis.test.v1.EchoService/Count";
  const reply = await exchange(url, {
    version,
    path,
    headers: { "content-type": type },
    body: frame(Buffer.from([0xff])),
  });
  expect(outcomeOf(reply)).toMatchObject({ code: Code.InvalidArgument });
});

it("a stream whose client goes away ends the handler", async () => {
  const server = await openEcho();
  const session = session2(server);
  const headers = {
    ":method": "POST",
    ":path": `/portcullis.test.v1.EchoService/Count`,
    "content-type": "application/grpc",
    te: "trailers",
  };
  const stream = session.request(headers, { endStream: false });
  stream.on("error", () => {});
  const { count } = EchoService.method;
  stream.end(frame(toBinary(count.input, create(count.input, { to: 1_000_000 }))));
  await once(stream, "data");
  stream.close(8);
  await new Promise((resolve) => stream.once("close", resolve));
  expect((await exchange(server.url, { method: "GET", path: "/test/v1/mark" })).status).toBe(200);
  expect(server.failures).toEqual([]);
});

it.each(framings)(
  "what a stream throws in its middle is reported, and not told, over $framing",
  async ({ version, type }) => {
    const bug = new TypeError("a secret in /etc/passwd");
    const server = await openEcho({
      implementation: {
        async *count() {
          yield { number: 1 };
          throw bug;
        },
      },
    });
    const path = "/portcullis.test.v1.EchoService/Count";
    const body = frame(new Uint8Array());
    const reply = await exchange(server.url, { version, path, headers: { "content-type": type }, body });
    expect(outcomeOf(reply)).toMatchObject({ code: Code.Internal, message: "internal error" });
    expect(server.failures).toEqual([bug]);
  },
);
