// The calls that the soak makes, and what each must come to.
import { once } from "node:events";
import { Agent, request as http1Request, type IncomingMessage } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { text as readText } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import type { Random } from "../fixtures/random-messages.ts";
import { type Exchange, exchange, frame, outcomeOf } from "../fixtures/wire.ts";
import type { Ready } from "./messages.ts";

/** One kind of call. It rejects where the call does not come to what it must. */
export interface Kind {
  readonly name: string;
  call(random: Random): Promise<void>;
  /** How many failures of the server's own it causes; default 0. */
  readonly failures?: number;
}

/** All kinds of calls, over connections that they share; `close` ends those. */
export interface Calls {
  readonly kinds: readonly Kind[];
  close(): Promise<void>;
}

const { bare, count, say } = EchoService.method;
const service = "/portcullis.test.v1.EchoService";
const encode = (text: string): Buffer => Buffer.from(toBinary(bare.input, create(bare.input, { text })));
const sayHi = Buffer.from(toBinary(say.input, create(say.input, { room: "r", text: "hi" })));

const grpcType = { "content-type": "application/grpc", te: "trailers" };
const webType = { "content-type": "application/grpc-web+proto" };
const textType = { "content-type": "application/grpc-web-text+proto" };
const protoType = { "content-type": "application/proto" };
const jsonType = { "content-type": "application/json" };
const post = { ":method": "POST", ":path": `${service}/Bare` };

export function openCalls({ echoUrl, realUrl, token }: Ready): Calls {
  let session: ClientHttp2Session | undefined;
  /** One for many calls; a new one where the last has ended. */
  function shared(): ClientHttp2Session {
    if (session === undefined || session.closed || session.destroyed) {
      session = connectHttp2(echoUrl);
      session.on("error", () => {});
      session.setMaxListeners(0);
    }
    return session;
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const { hostname: host, port } = new URL(echoUrl);
  const grpcJs = new grpc.Client(`${host}:${port}`, grpc.credentials.createInsecure());

  /** Expects a code of one request on a connection of its own. */
  const expectCode = async (request: Exchange, ...codes: readonly number[]): Promise<void> => {
    const { code } = outcomeOf(await exchange(echoUrl, request));
    if (!codes.includes(code)) throw new Error(`code ${code} instead of ${codes.join(" or ")}`);
  };

  /** A request on a kept-alive connection of HTTP/1.1. */
  async function onAgent(path: string, headers: Record<string, string>, body: Uint8Array): Promise<IncomingMessage> {
    const request = http1Request({ host, port, path: `${service}/${path}`, method: "POST", headers, agent });
    const answered = once(request, "response");
    request.on("error", () => {});
    request.end(body);
    const [response] = (await answered) as [IncomingMessage];
    return response;
  }

  const openStream = (headers: Record<string, string>) => {
    const stream = shared().request({ ...post, ...headers }, { endStream: false });
    stream.on("error", () => {});
    return stream;
  };

  const sessionManager = new Http2SessionManager(echoUrl);
  const over1 = { baseUrl: echoUrl, httpVersion: "1.1", nodeOptions: { agent } } as const;
  const over2 = { baseUrl: echoUrl, httpVersion: "2", sessionManager } as const;
  const transports: readonly { readonly name: string; readonly transport: Transport }[] = [
    { name: "gRPC", transport: createGrpcTransport({ baseUrl: echoUrl, sessionManager }) },
    { name: "gRPC-Web over HTTP/1.1", transport: createGrpcWebTransport(over1) },
    { name: "gRPC-Web over HTTP/2", transport: createGrpcWebTransport(over2) },
    { name: "Connect over HTTP/1.1", transport: createConnectTransport(over1) },
    {
      name: "Connect with JSON over HTTP/2",
      transport: createConnectTransport({ ...over2, useBinaryFormat: false, useHttpGet: true }),
    },
  ];

  /** The framings in which bad requests are sent. */
  const framings = [
    { version: 2, headers: grpcType },
    { version: 1, headers: webType },
    { version: 2, headers: webType },
  ] as const;
  const toBare = { path: `${service}/Bare` };

  const kinds: readonly Kind[] = [
    ...transports.map(
      ({ name, transport }): Kind => ({
        name: `good calls of ${name}`,
        async call({ below }) {
          const text = `text ${below(1_000)}`;
          const { text: answered } = await createClient(EchoService, transport).bare({ text });
          if (answered !== text) throw new Error(`${answered} instead of ${text}`);
        },
      }),
    ),
    {
      name: "good calls of grpc-js",
      call: () =>
        new Promise((resolve, reject) => {
          const serialize = (value: Uint8Array) => Buffer.from(value);
          const done = (error: grpc.ServiceError | null) => (error === null ? resolve() : reject(error));
          grpcJs.makeUnaryRequest(`${service}/Bare`, serialize, (bytes: Buffer) => bytes, encode("x"), done);
        }),
    },
    {
      name: "errors of grpc-js",
      call: () =>
        new Promise((resolve, reject) => {
          const serialize = (value: Uint8Array) => Buffer.from(value);
          const done = (error: grpc.ServiceError | null) =>
            error?.code === grpc.status.FAILED_PRECONDITION ? resolve() : reject(error ?? new Error("it succeeded"));
          grpcJs.makeUnaryRequest(`${service}/Fail`, serialize, (bytes: Buffer) => bytes, encode("connect"), done);
        }),
    },
    {
      name: "good calls on connections of their own",
      async call({ pick }) {
        const { version, headers } = pick(framings);
        await expectCode({ version, headers, ...toBare, body: frame(encode("x")) }, 0);
      },
    },
    {
      name: "compressed calls",
      async call() {
        const headers = { ...protoType, "content-encoding": "gzip", "accept-encoding": "gzip" };
        await expectCode({ ...toBare, headers, body: gzipSync(encode("x".repeat(900))) }, 0);
      },
    },
    {
      name: "text calls",
      async call() {
        await expectCode({ ...toBare, headers: textType, body: frame(encode("x")).toString("base64") }, 0);
      },
    },
    {
      name: "calls of REST",
      async call({ chance }) {
        const path = "/test/v1/rooms/r/say";
        const isGood = chance(0.5);
        await expectCode({ path, headers: jsonType, body: isGood ? '{"text":"hi"}' : '{"text":' }, isGood ? 0 : 3);
      },
    },
    {
      name: "calls of a HTTP rule in gRPC framing",
      async call() {
        await expectCode({ version: 2, path: "/test/v1/rooms/r/say", headers: grpcType, body: frame(sayHi) }, 0);
      },
    },
    {
      name: "malformed messages",
      async call({ pick }) {
        const { version, headers } = pick(framings);
        await expectCode({ version, headers, ...toBare, body: frame(Buffer.from([0xff])) }, Code.InvalidArgument);
        await expectCode({ ...toBare, headers: jsonType, body: "{" }, Code.InvalidArgument);
      },
    },
    {
      name: "malformed frames",
      async call({ pick }) {
        const { version, headers } = pick(framings);
        const [body, code] = pick([
          [Buffer.alloc(3), Code.InvalidArgument],
          [Buffer.alloc(0), Code.Unimplemented],
          [frame(encode("x"), 7), Code.Internal],
          [frame(encode("x"), 1), Code.Internal],
          [Buffer.concat([frame(encode("x")), frame(encode("y"))]), Code.Unimplemented],
        ] as const);
        await expectCode({ version, headers, ...toBare, body }, code);
      },
    },
    {
      name: "messages that are too large",
      async call({ pick }) {
        const { version, headers } = pick(framings);
        await expectCode({ version, headers, ...toBare, body: frame(Buffer.alloc(20_000)) }, Code.ResourceExhausted);
        await expectCode({ ...toBare, headers: protoType, body: Buffer.alloc(20_000) }, Code.ResourceExhausted);
        const gzip = { ...protoType, "content-encoding": "gzip" };
        await expectCode({ ...toBare, headers: gzip, body: gzipSync(Buffer.alloc(1_000_000)) }, Code.ResourceExhausted);
      },
    },
    {
      name: "large bodies in frames that are broken",
      async call() {
        const body = frame(Buffer.alloc(100_000), 0, 10);
        await expectCode(
          { version: 2, headers: grpcType, ...toBare, body },
          Code.Unimplemented,
          Code.ResourceExhausted,
        );
      },
    },
    {
      name: "unknown encodings, timeouts and RPCs",
      async call({ pick }) {
        const { version, headers } = pick(framings);
        const body = frame(encode("x"));
        const unknown = { ...headers, "grpc-encoding": "zstd" };
        await expectCode({ version, headers: unknown, ...toBare, body }, Code.Unimplemented);
        await expectCode(
          { version, headers: { ...headers, "grpc-timeout": "x" }, ...toBare, body },
          Code.InvalidArgument,
        );
        await expectCode(
          { version, headers: { ...headers, "grpc-timeout": "0n" }, ...toBare, body },
          Code.DeadlineExceeded,
        );
        await expectCode({ version, headers, path: `${service}/Nope`, body }, Code.Unimplemented);
      },
    },
    {
      name: "headers that are too large",
      async call() {
        await expectCode({ ...toBare, headers: { ...jsonType, "x-large": "x".repeat(20_000) }, body: "{}" }, 8);
      },
    },
    {
      name: "failing handlers",
      failures: 1,
      async call({ pick }) {
        const { version, headers } = pick(framings);
        const body = frame(encode("plain"));
        await expectCode({ version, headers, path: `${service}/Fail`, body }, Code.Internal);
      },
    },
    {
      name: "slow handlers",
      async call({ pick }) {
        const { version, headers } = pick(framings);
        await expectCode({ version, headers, ...toBare, body: frame(encode("slow")) }, 0);
      },
    },
    {
      name: "bodies that come slowly",
      async call({ chance }) {
        const body = frame(encode("slowly"));
        if (chance(0.5)) {
          const stream = openStream(grpcType);
          const ended = new Promise<void>((resolve) => stream.once("close", () => resolve()));
          stream.resume();
          for (const byte of body) {
            stream.write(Buffer.of(byte));
            await delay(1);
          }
          stream.end();
          await ended;
        } else {
          const request = http1Request({
            host,
            port,
            path: `${service}/Bare`,
            method: "POST",
            headers: webType,
            agent,
          });
          const answered = once(request, "response");
          for (const byte of body) {
            request.write(Buffer.of(byte));
            await delay(1);
          }
          request.end();
          const [response] = (await answered) as [IncomingMessage];
          await readText(response);
          if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
        }
      },
    },
    {
      name: "deadlines of handlers that look at their signal, and of others",
      async call({ pick, chance }) {
        const { version, headers } = pick(framings);
        const [path, body] = chance(0.5)
          ? [`${service}/Wait`, frame(Buffer.alloc(0))]
          : [`${service}/Bare`, frame(encode("for ever"))];
        await expectCode(
          { version, headers: { ...headers, "grpc-timeout": "20m" }, path, body },
          Code.DeadlineExceeded,
        );
      },
    },
    {
      name: "deadlines on kept-alive connections",
      async call() {
        const response = await onAgent("Bare", { ...protoType, "connect-timeout-ms": "20" }, encode("for ever"));
        await readText(response);
        if (response.statusCode !== 504) throw new Error(`status ${response.statusCode}`);
      },
    },
    {
      name: "refusals on kept-alive connections",
      async call({ pick }) {
        const [body, status] = pick([
          [Buffer.from([0xff]), 400],
          [Buffer.alloc(300_000), 429],
        ] as const);
        const response = await onAgent("Bare", protoType, body);
        await readText(response);
        if (response.statusCode !== status) throw new Error(`status ${response.statusCode}`);
      },
    },
    {
      name: "streams reset before, in and after their body",
      async call({ pick, below }) {
        const code = pick([constants.NGHTTP2_CANCEL, constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_INTERNAL_ERROR]);
        const stream = openStream(pick([grpcType, webType, protoType]));
        const closed = new Promise<void>((resolve) => stream.once("close", () => resolve()));
        const body = frame(encode(pick(["x", "slow", "for ever"])));
        const sent = below(body.length + 1);
        if (sent === body.length) stream.end(body);
        else if (sent > 0) stream.write(body.subarray(0, sent));
        await delay(below(20));
        stream.resume();
        stream.close(code);
        await closed;
      },
    },
    {
      name: "connections reset before, in and after a body",
      async call({ below, pick, chance }) {
        const socket = connectTcp({ host, port: Number(port) });
        socket.on("error", () => {});
        socket.resume();
        const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
        await once(socket, "connect");
        const body = frame(encode(pick(["x", "slow", "for ever"])));
        const head = `POST ${service}/Bare HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc-web\r\ncontent-length: ${body.length}\r\n\r\n`;
        const whole = Buffer.concat([Buffer.from(head), body, Buffer.from(head), body]);
        socket.write(whole.subarray(0, 1 + below(whole.length)));
        await delay(below(20));
        if (chance(0.5)) socket.resetAndDestroy();
        else socket.destroy();
        await closed;
      },
    },
    {
      name: "sessions that end in the middle of calls",
      async call({ below }) {
        const own = connectHttp2(echoUrl);
        own.on("error", () => {});
        const closed = new Promise<void>((resolve) => own.once("close", () => resolve()));
        for (const text of ["x", "slow", "for ever"]) {
          const stream = own.request({ ...post, ...grpcType }, { endStream: false });
          stream.on("error", () => {});
          stream.resume();
          stream.end(frame(encode(text)));
        }
        await delay(below(20));
        own.destroy();
        await closed;
      },
    },
    {
      name: "streams of answers, read and given up",
      async call({ chance, pick }) {
        const { transport } = pick(transports);
        const isWhole = chance(0.5);
        let last = 0;
        for await (const { number } of createClient(EchoService, transport).count({ to: 20 })) {
          last = number;
          if (!isWhole && last === 3) break;
        }
        if (last !== (isWhole ? 20 : 3)) throw new Error(`${last} answers`);
      },
    },
    {
      name: "streams refused in the middle of their request",
      async call() {
        const headers = { "content-type": "application/grpc-web+proto" };
        const request = { path: `${service}/${count.name}`, headers, body: frame(Buffer.alloc(5_000)) };
        await expectCode(request, Code.ResourceExhausted);
      },
    },
    {
      name: "calls of the real server",
      async call({ pick }) {
        const [authorization, status] = pick([
          [`Bearer ${token}`, 200],
          ["Bearer nonsense", 401],
        ] as const);
        const path = "/zitadel.management.v1.ManagementService/GetLoginPolicy";
        const reply = await exchange(realUrl, { path, headers: { ...jsonType, authorization }, body: "{}" });
        if (reply.status !== status) throw new Error(`status ${reply.status}`);
      },
    },
    {
      name: "gRPC and REST calls of the real server",
      async call({ pick }) {
        const authorization = pick([`Bearer ${token}`, "Bearer nonsense"]);
        const path = "/zitadel.management.v1.ManagementService/GetLoginPolicy";
        const headers = { ...grpcType, authorization };
        const framed = await exchange(realUrl, { version: 2, path, headers, body: frame(Buffer.alloc(0)) });
        const rest = await exchange(realUrl, {
          method: "GET",
          path: "/management/v1/policies/login",
          headers: { authorization },
        });
        const codes = [outcomeOf(framed).code, outcomeOf(rest).code];
        const wanted = authorization.includes("nonsense") ? Code.Unauthenticated : 0;
        if (codes.some((code) => code !== wanted)) throw new Error(`codes ${codes.join()}`);
      },
    },
  ];

  return {
    kinds,
    async close() {
      agent.destroy();
      sessionManager.abort();
      grpcJs.close();
      if (session !== undefined && !session.destroyed) {
        const closed = once(session, "close");
        session.destroy();
        await closed;
      }
    },
  };
}
