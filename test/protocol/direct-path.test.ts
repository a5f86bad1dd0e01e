// Attacks on the direct path (src/rpc/framed/unary.ts): clients that go, stall, send too much or break off, and what must be true of
// the connection afterwards. That both paths answer alike is in both-paths.test.ts.
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import { gzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import type { Gate } from "../../src/rpc/call/admit.ts";
import { type EchoServer, openEcho } from "../fixtures/echo.ts";
import { type BareRequest, EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { dataFrame, headersFrame, resetFrame } from "../fixtures/http2-frames.ts";
import { exchange, frame, framesOf, outcomeOf, type Reply } from "../fixtures/wire.ts";
import { call1, http2Preface, type RawClient, rawClient, session2, settingsFrame } from "./listener-clients.ts";

const { bare } = EchoService.method;
const service = "/portcullis.test.v1.EchoService";

const encode = (text: string): Uint8Array => toBinary(bare.input, create(bare.input, { text }));

/** The forms of a unary call that frame a message differently. */
const forms = [
  { form: "gRPC", type: "application/grpc", isFramed: true, versions: [2] },
  { form: "gRPC-Web", type: "application/grpc-web+proto", isFramed: true, versions: [1, 2] },
  { form: "gRPC-Web text", type: "application/grpc-web-text+proto", isFramed: true, versions: [1, 2] },
  { form: "Connect", type: "application/proto", isFramed: false, versions: [1, 2] },
] as const;
type Form = (typeof forms)[number];
const ways = forms.flatMap((form) => form.versions.map((version) => ({ ...form, version })));
const over1 = ways.filter(({ version }) => version === 1);
const over2 = ways.filter(({ version }) => version === 2);

/** The body of a call of Bare. */
function bodyOf({ type, isFramed }: Form, message: Uint8Array): Buffer {
  const body = isFramed ? frame(message) : Buffer.from(message);
  return type.includes("text") ? Buffer.from(body.toString("base64")) : body;
}

/** The text in an answer of Bare. */
function textIn({ type, isFramed }: Form, body: Buffer): string {
  const binary = type.includes("text") ? Buffer.from(body.toString(), "base64") : body;
  const data = isFramed ? framesOf(binary).find(({ flags }) => flags === 0)?.data : binary;
  return data === undefined ? "" : fromBinary(bare.output, data).text;
}

/** A promise and what settles it. */
function held<T = void>() {
  return Promise.withResolvers<T>();
}

/** An echo server whose Bare tells of its calls, and holds those with the text `hold` until the test lets go. */
async function openHolding(options: { readonly gate?: Gate; readonly interceptors?: readonly Interceptor[] } = {}) {
  const texts: string[] = [];
  const contexts: HandlerContext[] = [];
  const reasons: Promise<unknown>[] = [];
  let watch = held<HandlerContext>();
  const release = held<string>();
  const server = await openEcho({
    ...options,
    implementation: {
      async bare({ text }, context) {
        texts.push(text);
        contexts.push(context);
        reasons.push(
          new Promise((resolve) => {
            context.signal.addEventListener("abort", () => resolve(context.signal.reason), { once: true });
          }),
        );
        const { resolve } = watch;
        watch = held();
        resolve(context);
        return { text: text === "hold" ? await release.promise : text };
      },
    },
  });
  return {
    server,
    /** Of the calls that reached the handler. */
    texts,
    contexts,
    /** Why the signal of each call was aborted. */
    reasons,
    nextCall: () => watch.promise,
    release: release.resolve,
  };
}

const headers2 = ({ type }: Pick<Form, "type">, rest: Record<string, string> = {}) => ({
  ":method": "POST",
  ":path": `${service}/Bare`,
  "content-type": type,
  te: "trailers",
  ...rest,
});

/** Opens a stream for a call of Bare; it says nothing of errors. */
function openStream(session: ClientHttp2Session, form: Pick<Form, "type">, rest: Record<string, string> = {}) {
  const stream = session.request(headers2(form, rest), { endStream: false });
  stream.on("error", () => {});
  return stream;
}

/** The whole answer on a stream; resolves when the server has ended it, whether or not the request has ended. */
async function replyOn(stream: ClientHttp2Stream): Promise<Reply> {
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (received) => {
    trailers = received;
  });
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const ended = once(stream, "end");
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status": number }];
  await ended;
  return { status: headers[":status"], headers, trailers, body: Buffer.concat(chunks) };
}

/** One good call of Bare on a session. */
async function callOn(session: ClientHttp2Session, form: Form, text: string): Promise<string> {
  const stream = openStream(session, form);
  stream.end(bodyOf(form, encode(text)));
  const reply = await replyOn(stream);
  expect(outcomeOf(reply)).toMatchObject({ code: 0 });
  return textIn(form, reply.body);
}

/** A connection on which answers are read one after the other. */
class Connection {
  readonly #client: RawClient;
  #read = 0;

  constructor(client: RawClient) {
    this.#client = client;
  }

  static async open(server: EchoServer): Promise<Connection> {
    return new Connection(await rawClient(server));
  }

  write(text: string | Uint8Array): void {
    this.#client.socket.write(text);
  }

  get client(): RawClient {
    return this.#client;
  }

  /** The next answer. Throws where the connection ends before. */
  async next(): Promise<Reply> {
    const rest = () => this.#client.text().slice(this.#read);
    await this.#until(() => rest().includes("\r\n\r\n"));
    const [head = ""] = rest().split("\r\n\r\n", 1);
    const [first = "", ...lines] = head.split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
    expect(status, first).toBeGreaterThan(99);
    const headers: IncomingHttpHeaders = {};
    for (const line of lines) headers[line.slice(0, line.indexOf(":")).toLowerCase()] = line.replace(/^[^:]*: */, "");
    this.#read += head.length + 4;
    const { "content-length": length } = headers;
    if (length === undefined) return { status, headers, trailers: {}, body: await this.#chunks() };
    await this.#until(() => rest().length >= Number(length));
    const body = Buffer.from(rest().slice(0, Number(length)), "latin1");
    this.#read += body.length;
    return { status, headers, trailers: {}, body };
  }

  async #chunks(): Promise<Buffer> {
    const chunks: string[] = [];
    const rest = () => this.#client.text().slice(this.#read);
    for (;;) {
      await this.#until(() => rest().includes("\r\n"));
      const [line = ""] = rest().split("\r\n", 1);
      const size = Number.parseInt(line, 16);
      await this.#until(() => rest().length >= line.length + size + 4);
      chunks.push(rest().slice(line.length + 2, line.length + 2 + size));
      this.#read += line.length + size + 4;
      if (size === 0) return Buffer.from(chunks.join(""), "latin1");
    }
  }

  async #until(isThere: () => boolean): Promise<void> {
    const { socket } = this.#client;
    while (!isThere()) {
      if (socket.closed) throw new Error(`the connection has ended: ${this.#client.text().slice(this.#read)}`);
      await Promise.race([once(socket, "data"), this.#client.closed]);
    }
  }
}

/** The head of a HTTP/1.1 request. */
const head1 = (path: string, headers: Record<string, string | number>, method = "POST"): string =>
  `${[`${method} ${path} HTTP/1.1`, "host: h", ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)].join("\r\n")}\r\n\r\n`;

/** A whole request of Bare. */
const request1 = (form: Form, text: string): Buffer => {
  const body = bodyOf(form, encode(text));
  return Buffer.concat([
    Buffer.from(head1(`${service}/Bare`, { "content-type": form.type, "content-length": body.length })),
    body,
  ]);
};
const chunk = (bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);

describe.each(over2)("a client of $form that resets its stream over HTTP/2", (form) => {
  const codes = ["NO_ERROR", "CANCEL", "INTERNAL_ERROR", "REFUSED_STREAM"] as const;
  /** A connection of which the test says every frame, with what opens a call of Bare on a stream. */
  async function openFrames(server: EchoServer) {
    const client = await rawClient(server, http2Preface);
    await client.until(settingsFrame);
    const call = (stream: number) => headersFrame(stream, { ":scheme": "http", ":authority": "h", ...headers2(form) });
    const next = () => Buffer.concat([call(3), dataFrame(3, bodyOf(form, encode("next")), true)]);
    return { client, call, next };
  }
  // What has come is a whole message of Connect by itself, and for the others a whole frame but for its last byte.
  const half = bodyOf(form, encode("half")).subarray(0, form.isFramed ? -1 : undefined);

  it.each(codes)("before the body, with %s: the handler is not called", async (code) => {
    const gated = held();
    const { server, texts, nextCall } = await openHolding({ gate: () => gated.resolve() });
    const { client, call, next } = await openFrames(server);
    client.socket.write(call(1));
    await gated.promise;
    const called = nextCall();
    client.socket.write(Buffer.concat([resetFrame(1, constants[`NGHTTP2_${code}`]), next()]));
    await called;
    expect(texts).toEqual(["next"]);
    expect(server.failures).toEqual([]);
  });

  it.each(codes)("in the middle of the body, with %s: the handler does not see half a message", async (code) => {
    for (const isAtOnce of [false, true]) {
      const gated = held();
      const { server, texts, nextCall } = await openHolding({ gate: () => gated.resolve() });
      const { client, call, next } = await openFrames(server);
      const start = Buffer.concat([call(1), dataFrame(1, half)]);
      const reset = resetFrame(1, constants[`NGHTTP2_${code}`]);
      const called = nextCall();
      if (isAtOnce) {
        client.socket.write(Buffer.concat([start, reset, next()]));
      } else {
        client.socket.write(start);
        await gated.promise;
        client.socket.write(Buffer.concat([reset, next()]));
      }
      await called;
      expect(texts).toEqual(["next"]);
      expect(server.failures).toEqual([]);
    }
  });

  it("while the gate looks for the caller: the handler is not called", async () => {
    const gated = held();
    const passed = held();
    let calls = 0;
    const { server, texts, nextCall } = await openHolding({
      async gate() {
        calls += 1;
        if (calls > 1) return;
        gated.resolve();
        await passed.promise;
      },
    });
    const { client, call, next } = await openFrames(server);
    client.socket.write(Buffer.concat([call(1), dataFrame(1, half)]));
    await gated.promise;
    const called = nextCall();
    client.socket.write(Buffer.concat([resetFrame(1, constants.NGHTTP2_CANCEL), next()]));
    await called;
    passed.resolve();
    const again = nextCall();
    client.socket.write(
      Buffer.concat([
        headersFrame(5, { ":scheme": "http", ":authority": "h", ...headers2(form) }),
        dataFrame(5, bodyOf(form, encode("again")), true),
      ]),
    );
    await again;
    expect(texts).toEqual(["next", "again"]);
    expect(server.failures).toEqual([]);
  });

  it("by data after the end of its body: the session goes on", async () => {
    const { server, texts, nextCall, reasons } = await openHolding();
    const { client, call, next } = await openFrames(server);
    const first = nextCall();
    client.socket.write(Buffer.concat([call(1), dataFrame(1, bodyOf(form, encode("hold")), true)]));
    await first;
    const second = nextCall();
    client.socket.write(Buffer.concat([dataFrame(1, Buffer.from("more")), next()]));
    await Promise.race([second, client.closed]);
    expect(await reasons[0]).toMatchObject({ code: Code.Canceled });
    expect(texts.slice(0, 1)).toEqual(["hold"]);
    expect(server.failures).toEqual([]);
  });

  it.each(codes)("while the handler runs, with %s: the signal says canceled, and nothing is written", async (code) => {
    const { server, nextCall, release, reasons } = await openHolding();
    const session = session2(server);
    const called = nextCall();
    const stream = openStream(session, form);
    stream.end(bodyOf(form, encode("hold")));
    const context = await called;
    expect(context.signal.aborted).toBe(false);
    stream.close(constants[`NGHTTP2_${code}`]);
    expect(await reasons[0]).toMatchObject({ code: Code.Canceled });
    release("too late");
    expect(await callOn(session, form, "next")).toBe("next");
    expect(server.failures).toEqual([]);
  });

  it("when it has its answer: nothing happens", async () => {
    const { server } = await openHolding();
    const session = session2(server);
    const stream = openStream(session, form);
    stream.write(bodyOf(form, encode("first")));
    stream.end();
    await replyOn(stream);
    stream.close(constants.NGHTTP2_CANCEL);
    expect(await callOn(session, form, "next")).toBe("next");
    expect(server.failures).toEqual([]);
  });

  it("while another call runs on the session: the other is answered", async () => {
    const { server, nextCall, release, reasons } = await openHolding();
    const session = session2(server);
    const streams: ClientHttp2Stream[] = [];
    for (let count = 0; count < 2; count += 1) {
      const called = nextCall();
      const stream = openStream(session, form);
      stream.end(bodyOf(form, encode("hold")));
      streams.push(stream);
      await called;
    }
    const [first, second] = streams as [ClientHttp2Stream, ClientHttp2Stream];
    const reply = replyOn(second);
    first.close(constants.NGHTTP2_CANCEL);
    expect(await reasons[0]).toMatchObject({ code: Code.Canceled });
    release("answered");
    expect(textIn(form, (await reply).body)).toBe("answered");
    expect(server.failures).toEqual([]);
  });

  it("in the middle of a large answer: the session goes on", async () => {
    const { server, nextCall, release } = await openHolding();
    const session = session2(server);
    const called = nextCall();
    const stream = openStream(session, form);
    stream.end(bodyOf(form, encode("hold")));
    await called;
    // Far more than the window of a stream.
    release("x".repeat(1_000_000));
    await once(stream, "data");
    stream.close(constants.NGHTTP2_CANCEL);
    expect(await callOn(session, form, "next")).toBe("next");
    expect(server.failures).toEqual([]);
  });

  it("by ending the connection: the signal says canceled", async () => {
    const { server, nextCall, reasons } = await openHolding();
    const session = session2(server);
    const called = nextCall();
    openStream(session, form).end(bodyOf(form, encode("hold")));
    await called;
    session.destroy();
    expect(await reasons[0]).toMatchObject({ code: Code.Canceled });
    expect(server.failures).toEqual([]);
  });
});

describe.each(over1)("a client of $form that goes over HTTP/1.1", (form) => {
  const leave = {
    "a reset": (client: RawClient) => client.reset(),
    "an end": (client: RawClient) => void client.socket.end(),
  };
  it.each(Object.entries(leave))("before the body, with %s: the handler is not called", async (_, go) => {
    const gated = held();
    const { server, texts } = await openHolding({ gate: () => gated.resolve() });
    const connection = await Connection.open(server);
    connection.write(head1(`${service}/Bare`, { "content-type": form.type, "content-length": 100 }));
    await gated.promise;
    go(connection.client);
    await connection.client.closed;
    const other = await Connection.open(server);
    other.write(request1(form, "next"));
    expect(textIn(form, (await other.next()).body)).toBe("next");
    expect(texts).toEqual(["next"]);
    expect(server.failures).toEqual([]);
  });
  it.each(Object.entries(leave))(
    "in the middle of a body, with %s: the handler does not see half of it",
    async (_, go) => {
      for (const isChunked of [false, true]) {
        const gated = held();
        const { server, texts } = await openHolding({ gate: () => gated.resolve() });
        const connection = await Connection.open(server);
        const body = bodyOf(form, encode("half"));
        const length = isChunked ? { "transfer-encoding": "chunked" } : { "content-length": body.length + 1 };
        connection.write(head1(`${service}/Bare`, { "content-type": form.type, ...length }));
        connection.write(isChunked ? chunk(body) : body);
        await gated.promise;
        go(connection.client);
        await connection.client.closed;
        const other = await Connection.open(server);
        other.write(request1(form, "next"));
        expect(textIn(form, (await other.next()).body)).toBe("next");
        expect(texts).toEqual(["next"]);
        expect(server.failures).toEqual([]);
      }
    },
  );
  it.each(Object.entries(leave))("while the handler runs, with %s: the signal says canceled", async (_, go) => {
    const { server, nextCall, release, reasons } = await openHolding();
    const connection = await Connection.open(server);
    const called = nextCall();
    connection.write(request1(form, "hold"));
    await called;
    go(connection.client);
    expect(await reasons[0]).toMatchObject({ code: Code.Canceled });
    release("too late");
    await connection.client.closed;
    expect(connection.client.text()).toBe("");
    expect(server.failures).toEqual([]);
  });
  it("with several pipelined requests: the signal of the one in its handler says canceled", async () => {
    const { server, nextCall, reasons } = await openHolding();
    const connection = await Connection.open(server);
    const called = nextCall();
    for (let count = 0; count < 3; count += 1) connection.write(request1(form, "hold"));
    await called;
    connection.client.reset();
    expect(reasons).toHaveLength(1);
    for (const reason of reasons) expect(await reason).toMatchObject({ code: Code.Canceled });
    expect(server.failures).toEqual([]);
  });
});

describe.each(ways)("a body of $form over HTTP/$version that never ends", (form) => {
  /** What the server answers to the start of a request, which is all it gets; and how to send the rest. */
  async function answerToStart(
    server: EchoServer,
    start: Uint8Array,
    headers: Record<string, string> = {},
  ): Promise<{ readonly reply: Reply; readonly goOn: (text: string) => Promise<string> }> {
    if (form.version === 2) {
      const session = session2(server);
      const stream = openStream(session, form, headers);
      stream.write(start);
      const reply = await replyOn(stream);
      return { reply, goOn: (text) => callOn(session, form, text) };
    }
    const connection = await Connection.open(server);
    const isDeclared = headers["content-length"] !== undefined;
    connection.write(
      head1(`${service}/Bare`, {
        "content-type": form.type,
        ...(!isDeclared && { "transfer-encoding": "chunked" }),
        ...headers,
      }),
    );
    if (start.length > 0) connection.write(isDeclared ? start : chunk(start));
    const reply = await connection.next();
    return {
      reply,
      async goOn(text) {
        // What belongs to the request that was answered before it had ended.
        const rest = Buffer.alloc(isDeclared ? Number(headers["content-length"]) - start.length : 20_000, "A");
        connection.write(isDeclared ? rest : Buffer.concat([chunk(rest), Buffer.from("0\r\n\r\n")]));
        connection.write(request1(form, text));
        return textIn(form, (await connection.next()).body);
      },
    };
  }

  it("is not waited for where the gate refuses", async () => {
    let isOpen = false;
    const { server, texts } = await openHolding({
      gate: () => {
        if (!isOpen) throw new ConnectError("who?", Code.Unauthenticated);
      },
    });
    const { reply, goOn } = await answerToStart(server, bodyOf(form, encode("half")).subarray(0, 4));
    expect(outcomeOf(reply)).toMatchObject({ code: Code.Unauthenticated, message: "who?" });
    isOpen = true;
    expect(await goOn("next")).toBe("next");
    expect(texts).toEqual(["next"]);
  });
  it("is not waited for where it says at its start that it is too large", async () => {
    const { server, texts } = await openHolding();
    const { reply, goOn } = form.isFramed
      ? await answerToStart(
          server,
          bodyOf(form, Buffer.alloc(0)).length > 5
            ? Buffer.from(frame(Buffer.alloc(1), 0, 1_001).toString("base64"))
            : frame(Buffer.alloc(0), 0, 1_001),
        )
      : await answerToStart(server, Buffer.alloc(0), { "content-length": "1001" });
    expect(outcomeOf(reply)).toMatchObject({ code: Code.ResourceExhausted });
    expect(await goOn("next")).toBe("next");
    expect(texts).toEqual(["next"]);
  });
  it("is not waited for where it is too large", async () => {
    const { server, texts } = await openHolding();
    const { reply, goOn } = await answerToStart(server, bodyOf(form, Buffer.alloc(5_000)));
    expect(outcomeOf(reply)).toMatchObject({ code: Code.ResourceExhausted });
    expect(await goOn("next")).toBe("next");
    expect(texts).toEqual(["next"]);
  });
  it("is not waited for where it is too large for what it says of itself", async () => {
    const { server, texts } = await openHolding();
    const broken = frame(Buffer.alloc(200_000), 0, 10);
    const body = form.type.includes("text") ? Buffer.from(broken.toString("base64")) : broken;
    const { reply, goOn } = await answerToStart(server, body);
    expect([Code.ResourceExhausted, Code.Unimplemented]).toContain(outcomeOf(reply).code);
    expect(await goOn("next")).toBe("next");
    expect(texts).toEqual(["next"]);
  });
  it("is not waited for where its encoding is not known", async () => {
    const { server, texts } = await openHolding();
    const encoding = { [form.isFramed ? "grpc-encoding" : "content-encoding"]: "zstd" };
    const { reply, goOn } = await answerToStart(server, Buffer.alloc(0), encoding);
    expect(outcomeOf(reply)).toMatchObject({ code: Code.Unimplemented });
    expect(await goOn("next")).toBe("next");
    expect(texts).toEqual(["next"]);
  });
  it("is not waited for where its timeout says no time, or none is left", async () => {
    const { server, texts } = await openHolding();
    for (const [timeout, code] of [
      ["soon", Code.InvalidArgument],
      [form.isFramed ? "0m" : "0", Code.DeadlineExceeded],
    ] as const) {
      const headers = { [form.isFramed ? "grpc-timeout" : "connect-timeout-ms"]: timeout };
      const { reply, goOn } = await answerToStart(server, Buffer.alloc(0), headers);
      expect(outcomeOf(reply)).toMatchObject({ code });
      expect(await goOn("next")).toBe("next");
    }
    expect(texts).toEqual(["next", "next"]);
  });
  it("is not waited for when its time is over", async () => {
    const { server, texts } = await openHolding();
    const headers = { [form.isFramed ? "grpc-timeout" : "connect-timeout-ms"]: form.isFramed ? "30m" : "30" };
    const { reply, goOn } = await answerToStart(server, bodyOf(form, encode("half")).subarray(0, 4), headers);
    expect(outcomeOf(reply)).toMatchObject({ code: Code.DeadlineExceeded });
    expect(await goOn("next")).toBe("next");
    expect(texts).toEqual(["next"]);
  });
  it("ends with the server: nothing is left", async () => {
    const gated = held();
    const { server } = await openHolding({ gate: () => gated.resolve() });
    if (form.version === 2) openStream(session2(server), form).write(Buffer.alloc(1));
    else
      (await Connection.open(server)).write(
        head1(`${service}/Bare`, { "content-type": form.type, "content-length": 9 }),
      );
    await gated.promise;
    await server.close({ graceMs: 0 });
    expect(server.failures).toEqual([]);
  });
});

describe("a session of gRPC", () => {
  const [form] = forms;

  it("outlives a burst of calls that are cancelled, more than it may have open", async () => {
    const { server, texts, nextCall } = await openHolding();
    const client = await rawClient(server, http2Preface);
    await client.until(settingsFrame);
    const call = (stream: number, text: string) => [
      headersFrame(stream, { ":scheme": "http", ":authority": "h", ...headers2(form) }),
      dataFrame(stream, bodyOf(form, encode(text)), true),
    ];
    const first = nextCall();
    client.socket.write(Buffer.concat(call(1, "hold")));
    const { signal } = await first;
    // Cancelled streams count until the server has torn them down: at once, they are more than are allowed.
    const burst = Array.from({ length: 290 }, (_, index) => 3 + 2 * index);
    client.socket.write(
      Buffer.concat(burst.flatMap((stream) => [...call(stream, "hold"), resetFrame(stream, constants.NGHTTP2_CANCEL)])),
    );
    // A turn later they are torn down.
    await call1(server, "/");
    const next = nextCall();
    client.socket.write(Buffer.concat(call(1003, "next")));
    await next;
    expect(texts.at(-1)).toBe("next");
    expect(signal.aborted).toBe(false);
    expect(server.failures).toEqual([]);
  });

  it("is told to go on where it expects that, and that nothing else is expected", async () => {
    const server = await openEcho();
    const session = session2(server);
    const stream = openStream(session, form, { expect: "100-continue" });
    const reply = replyOn(stream);
    await once(stream, "continue");
    stream.end(bodyOf(form, encode("x")));
    expect(textIn(form, (await reply).body)).toBe("x");
    const other = openStream(session, form, { expect: "something" });
    other.end();
    expect((await replyOn(other)).status).toBe(417);
  });
});

describe.each(ways)("a call of $form over HTTP/$version", (form) => {
  const timeout = form.isFramed ? { "grpc-timeout": "30m" } : { "connect-timeout-ms": "30" };
  const send = (server: EchoServer, text: string, headers: Record<string, string> = {}) =>
    exchange(server.url, {
      version: form.version,
      path: `${service}/Bare`,
      headers: { "content-type": form.type, te: "trailers", ...headers },
      body: bodyOf(form, encode(text)),
    });

  it("ends at its deadline, whether or not the handler looks at the signal", async () => {
    const { server, release, contexts, reasons } = await openHolding();
    const reply = await send(server, "hold", timeout);
    expect(outcomeOf(reply)).toMatchObject({ code: Code.DeadlineExceeded, message: "the operation timed out" });
    expect(await reasons[0]).toMatchObject({ code: Code.DeadlineExceeded });
    expect(contexts[0]?.timeoutMs()).toBeLessThanOrEqual(0);
    release("too late");
    expect(textIn(form, (await send(server, "next")).body)).toBe("next");
    expect(server.failures).toEqual([]);
  });
  it("ends at its deadline where an interceptor holds it", async () => {
    const server = await openEcho({ interceptors: [() => () => new Promise(() => {})] });
    expect(outcomeOf(await send(server, "x", timeout))).toMatchObject({ code: Code.DeadlineExceeded });
  });
  it("keeps to itself what a handler throws after the deadline", async () => {
    const thrown = held();
    const server = await openEcho({
      implementation: {
        async bare(_, { signal }) {
          await once(signal, "abort");
          thrown.resolve();
          throw new Error("too late");
        },
      },
    });
    expect(outcomeOf(await send(server, "x", timeout))).toMatchObject({ code: Code.DeadlineExceeded });
    await thrown.promise;
    expect(server.failures).toEqual([]);
  });
  it("leaves the signal alone while it runs, and aborts it when it is over", async () => {
    const { server, contexts, nextCall, release } = await openHolding();
    const called = nextCall();
    const reply = send(server, "hold", form.isFramed ? { "grpc-timeout": "1H" } : { "connect-timeout-ms": "3600000" });
    const { signal, timeoutMs } = await called;
    expect(signal.aborted).toBe(false);
    expect(timeoutMs()).toBeGreaterThan(3_000_000);
    release("done");
    await reply;
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: Code.Canceled, rawMessage: "the call has ended" });
    await send(server, "x");
    expect(contexts[1]?.signal.aborted).toBe(true);
    expect(contexts[1]?.timeoutMs()).toBeUndefined();
  });
  it("shows the gate and the handler one context, which can be spread", async () => {
    let gated: HandlerContext | undefined;
    let seen: HandlerContext | undefined;
    const key = createContextKey("unset");
    const server = await openEcho({
      gate: (context) => {
        gated = context;
        context.values.set(key, "by the gate");
      },
      implementation: {
        bare(_, context) {
          seen = { ...context, values: createContextValues().set(key, "by the handler") };
          seen.responseHeader.set("x-spread", "1");
          return { text: context.values.get(key) };
        },
      },
    });
    const reply = await send(server, "x", { "x-own": "1" });
    expect(textIn(form, reply.body)).toBe("by the gate");
    expect(reply.headers["x-spread"]).toBe("1");
    expect(seen?.values.get(key)).toBe("by the handler");
    expect(seen?.requestHeader.get("x-own")).toBe("1");
    for (const name of [
      ...["method", "service", "protocolName", "requestMethod", "url", "requestHeader"],
      ...["responseHeader", "responseTrailer", "timeoutMs", "signal"],
    ] as const) {
      expect(seen?.[name], name).toBe(gated?.[name]);
    }
    expect(new URL(seen?.url ?? "").href).toBe(`${server.url}${service}/Bare`);
  });
  it("hands on what interceptors replace of a request", async () => {
    const key = createContextKey("unset");
    const controller = new AbortController();
    const outer: Interceptor = (next) => (request) =>
      next({
        ...request,
        header: new Headers({ "x-replaced": "1" }),
        contextValues: createContextValues().set(key, "replaced"),
        signal: controller.signal,
      });
    const inner: Interceptor = (next) => (request) => {
      if (request.stream) return next(request);
      const message = create(bare.input, { text: `${(request.message as BareRequest).text}!` });
      return next({ ...request, message } as never);
    };
    let seen: HandlerContext | undefined;
    const server = await openEcho({
      interceptors: [outer, inner],
      implementation: {
        bare({ text }, context) {
          seen = context;
          context.responseHeader.set("x-header", "set");
          return { text };
        },
      },
    });
    const reply = await send(server, "x", { "x-own": "1" });
    expect(textIn(form, reply.body)).toBe("x!");
    expect(reply.headers["x-header"]).toBe("set");
    expect([...(seen?.requestHeader ?? [])]).toEqual([["x-replaced", "1"]]);
    expect(seen?.values.get(key)).toBe("replaced");
    expect(seen?.signal).toBe(controller.signal);
    expect(seen?.timeoutMs()).toBeUndefined();
  });
  it("hands on what interceptors replace of an answer", async () => {
    const interceptor: Interceptor = (next) => async (request) => {
      const answer = await next(request);
      if (answer.stream) return answer;
      const header = new Headers({ "x-replaced": "1" });
      header.append("set-cookie", "a=1");
      header.append("set-cookie", "b=2");
      const trailer = new Headers({ "x-trailer": "replaced" });
      return { ...answer, header, trailer, message: create(bare.output, { text: "replaced" }) } as never;
    };
    const server = await openEcho({
      interceptors: [interceptor],
      implementation: {
        bare(_, { responseHeader, responseTrailer }) {
          responseHeader.set("x-header", "gone");
          responseTrailer.set("x-trailer-too", "gone");
          return {};
        },
      },
    });
    const reply = await send(server, "x");
    expect(textIn(form, reply.body)).toBe("replaced");
    expect(reply.headers).toMatchObject({ "x-replaced": "1", "set-cookie": ["a=1", "b=2"] });
    expect(reply.headers["x-header"]).toBeUndefined();
    const ended = { ...reply.trailers, ...Object.fromEntries(trailersIn(form, reply)) };
    expect(ended[form.isFramed ? "x-trailer" : "trailer-x-trailer"]).toBe("replaced");
    expect(JSON.stringify(ended)).not.toContain("gone");
  });
  it("calls the interceptors in their order, once each", async () => {
    const order: string[] = [];
    const named =
      (name: string): Interceptor =>
      (next) =>
      async (request) => {
        order.push(`${name} in`);
        const answer = await next(request);
        order.push(`${name} out`);
        return answer;
      };
    const server = await openEcho({
      gate: () => void order.push("gate"),
      interceptors: [named("first"), named("second")],
    });
    await send(server, "x");
    expect(order).toEqual(["gate", "first in", "second in", "second out", "first out"]);
  });
  it("is answered with internal where a handler sets what cannot be sent, and the server goes on", async () => {
    const server = await openEcho({
      implementation: {
        bare({ text }, { responseHeader }) {
          if (text === "bad") responseHeader.set("x-bad", "\u0001");
          return { text };
        },
      },
    });
    const { code } = outcomeOf(await send(server, "bad").catch(() => badReply));
    expect([0, Code.Internal]).toContain(code);
    expect(textIn(form, (await send(server, "next")).body)).toBe("next");
  });
  it.each([
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
  ])("keeps the %s that a handler passes on to itself, in headers, trailers and errors", async (name) => {
    const foreign = new Headers({ [name]: "3", "x-own": "kept" });
    for (const stockHandlers of [false, true]) {
      const server = await openEcho({
        stockHandlers,
        implementation: {
          bare({ text }, { responseHeader, responseTrailer }) {
            if (text !== "trailer") responseHeader.set("x-before", "set");
            if (text === "header") responseHeader.set(name, "3");
            if (text === "trailer") responseTrailer.set(name, "3");
            if (text === "error") throw new ConnectError("no", Code.FailedPrecondition, foreign);
            return { text };
          },
        },
      });
      for (const text of ["header", "trailer"]) {
        // What the bytes are, Connect's own handlers let an implementation say.
        if (stockHandlers && name === "content-encoding") continue;
        const reply = await send(server, text);
        expect([text, textIn(form, reply.body)]).toEqual([text, text]);
        expect([reply.headers[name], reply.trailers[name]]).not.toContain("3");
      }
      const { code } = outcomeOf(await send(server, "error"));
      expect(code).toBe(Code.FailedPrecondition);
      expect(server.failures).toEqual([]);
    }
  });
  it("is finished when the server closes", async () => {
    const { server, nextCall, release } = await openHolding();
    const called = nextCall();
    const reply = send(server, "hold");
    const { signal } = await called;
    const closing = server.close({ graceMs: 1_000_000 });
    expect(signal.aborted).toBe(false);
    release("finished");
    expect(textIn(form, (await reply).body)).toBe("finished");
    await closing;
    expect(server.failures).toEqual([]);
  });
  it("is cut off when the server has waited long enough", async () => {
    const { server, nextCall, reasons } = await openHolding();
    const called = nextCall();
    const reply = send(server, "hold").catch(() => "cut off");
    await called;
    await server.close({ graceMs: 0 });
    expect(await reasons[0]).toMatchObject({ code: Code.Canceled });
    if (form.version === 1) expect(await reply).toBe("cut off");
    expect(server.failures).toEqual([]);
  });
});

/** Stands for a connection that broke. */
const badReply: Reply = {
  status: 200,
  headers: { "content-type": "application/grpc", "grpc-status": "13" },
  trailers: {},
  body: Buffer.alloc(0),
};

/** The trailers of an answer, wherever its protocol has them. */
function trailersIn({ type, isFramed }: Form, { headers, body }: Reply): readonly [string, string][] {
  if (!isFramed) return Object.entries(headers).filter(([name]) => name.startsWith("trailer-")) as [string, string][];
  if (!type.includes("web")) return [];
  const last = framesOf(type.includes("text") ? Buffer.from(body.toString(), "base64") : body).at(-1);
  const lines = last?.data.toString("latin1").trimEnd().split("\r\n") ?? [];
  return lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
}

describe("an HTTP/1.1 connection", () => {
  const [web] = over1 as unknown as [Form];
  const json = { "content-type": "application/json" };
  const framed = { "content-type": "application/grpc-web+proto" };
  const text = { "content-type": "application/grpc-web-text+proto" };
  const proto = { "content-type": "application/proto" };
  const gzip = { "content-encoding": "gzip" };
  const large = Buffer.alloc(100_000, "x");
  const rows: readonly {
    name: string;
    path?: string;
    method?: string;
    headers: Record<string, string>;
    body: Uint8Array;
  }[] = [
    { name: "a malformed message", headers: proto, body: Buffer.from([0xff]) },
    { name: "malformed JSON", headers: json, body: Buffer.from("{") },
    { name: "a Connect body that is too large", headers: json, body: large },
    { name: "gzip that expands too far", headers: { ...json, ...gzip }, body: gzipSync(large) },
    { name: "no gzip", headers: { ...json, ...gzip }, body: large.subarray(0, 100) },
    { name: "an encoding nobody knows", headers: { ...json, "content-encoding": "zstd" }, body: large },
    { name: "a timeout that says no time", headers: { ...json, "connect-timeout-ms": "soon" }, body: large },
    { name: "no time left", headers: { ...json, "connect-timeout-ms": "0" }, body: large },
    { name: "another content type", headers: { "content-type": "text/plain" }, body: large },
    { name: "another verb", method: "PUT", headers: json, body: large },
    { name: "an RPC there is not", path: `${service}/Nope`, headers: json, body: large },
    { name: "an RPC there is not in gRPC-Web", path: `${service}/Nope`, headers: framed, body: frame(large) },
    { name: "an unimplemented RPC", path: `${service}/Missing`, headers: framed, body: frame(Buffer.alloc(0)) },
    { name: "a frame that is too large", headers: framed, body: frame(large) },
    { name: "a frame longer than it says", headers: framed, body: frame(large, 0, 10) },
    { name: "a frame shorter than it says", headers: framed, body: frame(Buffer.alloc(10), 0, 11) },
    { name: "two frames", headers: framed, body: Buffer.concat([frame(encode("a")), frame(encode("b"))]) },
    { name: "bad flags", headers: framed, body: frame(encode("a"), 7) },
    { name: "no frame", headers: framed, body: Buffer.alloc(0) },
    { name: "a subtype nobody knows", headers: { "content-type": "application/grpc-web+thrift" }, body: frame(large) },
    { name: "text that is none", headers: text, body: Buffer.from("!!!") },
    { name: "text that is too large", headers: text, body: Buffer.from(frame(large).toString("base64")) },
    { name: "a failing handler", path: `${service}/Fail`, headers: json, body: Buffer.from('{"how":"plain"}') },
    { name: "a refusing handler", path: `${service}/Fail`, headers: json, body: Buffer.from('{"how":"connect"}') },
    { name: "a GET with a body", path: `${service}/Typed?encoding=json`, method: "GET", headers: json, body: large },
    { name: "a GET without an encoding", path: `${service}/Typed`, method: "GET", headers: json, body: large },
    { name: "a HEAD", path: `${service}/Typed?encoding=json`, method: "HEAD", headers: {}, body: Buffer.alloc(0) },
    {
      name: "a stream whose request is malformed",
      path: `${service}/Count`,
      headers: framed,
      body: frame(Buffer.from([0xff])),
    },
    { name: "a stream whose request is too large", path: `${service}/Count`, headers: framed, body: frame(large) },
    {
      name: "a stream whose request is longer than it says",
      path: `${service}/Count`,
      headers: framed,
      body: frame(large, 0, 10),
    },
    {
      name: "a stream of Connect whose request is too large",
      path: `${service}/Count`,
      headers: { "content-type": "application/connect+proto" },
      body: frame(large),
    },
    { name: "a stream of Connect in the form of a unary call", path: `${service}/Count`, headers: proto, body: large },
  ];

  it.each(rows)("goes on after $name", async ({ path = `${service}/Bare`, method, headers, body }) => {
    const server = await openEcho();
    for (const isChunked of [false, true]) {
      const connection = await Connection.open(server);
      const length = isChunked ? { "transfer-encoding": "chunked" } : { "content-length": body.length };
      connection.write(head1(path, { ...headers, ...(method === "HEAD" ? {} : length) }, method));
      if (method !== "HEAD") {
        if (!isChunked) connection.write(body);
        else connection.write(Buffer.concat([body.length > 0 ? chunk(body) : body, Buffer.from("0\r\n\r\n")]));
      }
      connection.write(request1(web, "next"));
      if (method === "HEAD") await connection.client.until(/\r\n\r\n/);
      else expect((await connection.next()).headers["connection"]).not.toBe("close");
      if (method === "HEAD") return;
      expect(textIn(web, (await connection.next()).body)).toBe("next");
    }
  });

  it.each(rows.filter(({ body }) => body.length >= 100_000))(
    "goes on after $name, where the answer came before the end of the body",
    async ({ path = `${service}/Bare`, method, headers, body }) => {
      const server = await openEcho();
      const connection = await Connection.open(server);
      connection.write(head1(path, { ...headers, "transfer-encoding": "chunked" }, method));
      connection.write(chunk(body));
      await connection.next();
      for (let count = 0; count < 10; count += 1) connection.write(chunk(body));
      connection.write("0\r\n\r\n");
      connection.write(request1(web, "next"));
      expect(textIn(web, (await connection.next()).body)).toBe("next");
    },
  );

  it("goes on after a call that its deadline ended", async () => {
    const { server, release } = await openHolding();
    const connection = await Connection.open(server);
    const body = encode("hold");
    connection.write(head1(`${service}/Bare`, { ...proto, "connect-timeout-ms": 30, "content-length": body.length }));
    connection.write(body);
    expect(outcomeOf(await connection.next())).toMatchObject({ code: Code.DeadlineExceeded });
    release("too late");
    connection.write(request1(web, "next"));
    expect(textIn(web, (await connection.next()).body)).toBe("next");
    expect(server.failures).toEqual([]);
  });

  it.each(over1)("answers 200 pipelined requests of $form in their order", async (form) => {
    const server = await openEcho();
    const connection = await Connection.open(server);
    const texts = Array.from({ length: 200 }, (_, index) => `number ${index}`);
    connection.write(Buffer.concat(texts.map((one) => request1(form, one))));
    const answered: string[] = [];
    for (const _ of texts) answered.push(textIn(form, (await connection.next()).body));
    expect(answered).toEqual(texts);
  });

  it("answers pipelined requests in their order, good and bad, quick and slow", async () => {
    const { server, release, nextCall } = await openHolding();
    const connection = await Connection.open(server);
    const bad = Buffer.concat([
      Buffer.from(head1(`${service}/Bare`, { ...proto, "content-length": 1 })),
      Buffer.from([0xff]),
    ]);
    const called = nextCall();
    connection.write(Buffer.concat([request1(web, "hold"), bad, request1(web, "second"), bad, request1(web, "third")]));
    await called;
    release("first");
    const codes: unknown[] = [];
    for (let count = 0; count < 5; count += 1) {
      const reply = await connection.next();
      codes.push(reply.status === 200 ? textIn(web, reply.body) : outcomeOf(reply).code);
    }
    expect(codes).toEqual(["first", Code.InvalidArgument, "second", Code.InvalidArgument, "third"]);
  });
});

describe("grpc-js", () => {
  const clients: grpc.Client[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  async function fail(implementation: NonNullable<Parameters<typeof openEcho>[0]>["implementation"]) {
    const server = await openEcho({ implementation: implementation ?? {} });
    const client = new grpc.Client(new URL(server.url).host, grpc.credentials.createInsecure());
    clients.push(client);
    let received: grpc.Metadata | undefined;
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      const call = client.makeUnaryRequest(
        `${service}/Bare`,
        (value: Uint8Array) => Buffer.from(value),
        (bytes: Buffer) => bytes,
        encode("x"),
        new grpc.Metadata(),
        resolve,
      );
      call.on("metadata", (metadata: grpc.Metadata) => {
        received = metadata;
      });
    });
    return { error, header: received };
  }
  const violation = { fieldViolations: [{ field: "text", description: "wrong" }] };
  const details = [{ desc: BadRequestSchema, value: violation }];

  it("gets an error in headers alone, with its code, text, details and metadata", async () => {
    const { error } = await fail({
      bare() {
        throw new ConnectError("not like this: 100 % 'é'", Code.FailedPrecondition, { "x-metadata": "told" }, details);
      },
    });
    expect(error).toMatchObject({ code: grpc.status.FAILED_PRECONDITION, details: "not like this: 100 % 'é'" });
    expect(error?.metadata.get("x-metadata")).toEqual(["told"]);
    const [bytes] = error?.metadata.get("grpc-status-details-bin") ?? [];
    expect(fromBinary(StatusSchema, bytes as Buffer)).toMatchObject({
      code: 9,
      message: "not like this: 100 % 'é'",
      details: [{ typeUrl: "type.googleapis.com/google.rpc.BadRequest" }],
    });
  });
  it("gets an error after headers of the call's own, and both", async () => {
    const { error, header } = await fail({
      bare(_, { responseHeader, responseTrailer }) {
        responseHeader.set("x-header", "h");
        responseTrailer.set("x-trailer", "t");
        throw new ConnectError("no", Code.NotFound, {}, details);
      },
    });
    expect(error).toMatchObject({ code: grpc.status.NOT_FOUND, details: "no" });
    expect(header?.get("x-header")).toEqual(["h"]);
    expect(error?.metadata.get("x-trailer")).toEqual(["t"]);
    expect(error?.metadata.get("grpc-status-details-bin")).toHaveLength(1);
  });
  it.each(Object.values(Code).filter((code) => typeof code === "number"))("gets code %d", async (code) => {
    const { error } = await fail({
      bare() {
        throw new ConnectError("text", code);
      },
    });
    expect(error).toMatchObject({ code, details: "text" });
  });
  it("gets every binary value of a header and of an error", async () => {
    const values = [Buffer.from([0, 255, 44]), Buffer.from("two")];
    const { error, header } = await fail({
      bare(_, { responseHeader }) {
        const metadata = new Headers();
        for (const value of values) {
          responseHeader.append("x-header-bin", value.toString("base64"));
          metadata.append("x-error-bin", value.toString("base64"));
        }
        throw new ConnectError("no", Code.NotFound, metadata);
      },
    });
    expect(header?.get("x-header-bin")).toEqual(values);
    expect(error?.metadata.get("x-error-bin")).toEqual(values);
  });
});
