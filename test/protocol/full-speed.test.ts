// Clients that send or read as much as they can must never be taken for a flood. The limits are far below the default ones, so
// that one look of the listener finds what does not count as a call's; each test goes on until there have been some.
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { create, createRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import type { Listener } from "../../src/rpc/listener/listener.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import {
  CountRequestSchema,
  EchoService,
  SayRequestSchema,
  SayResponseSchema,
} from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import {
  dataFrame,
  headersFrame,
  initialWindowSetting,
  settingsFrame,
  windowUpdateFrame,
} from "../fixtures/http2-frames.ts";
import { isWhole } from "../fixtures/sample.ts";
import { paths } from "../fixtures/server.ts";
import { frame } from "../fixtures/wire.ts";
import { cutsOf, frameClient, open, tls } from "./listener-clients.ts";

const closing: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const paths2 = {
  say: `/${EchoService.typeName}/Say`,
  count: `/${EchoService.typeName}/Count`,
  talk: `/${ServerReflection.typeName}/ServerReflectionInfo`,
};

interface Options {
  readonly stockHandlers?: boolean;
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** Serves calls of every kind: unary, answers that stream, and both sides. */
function start({ stockHandlers = false, ...options }: Options = {}): Promise<Listener> {
  const rpcs = createRpcTable((router) => {
    router.service(EchoService, {
      say: ({ room, text }) => ({ room, text }),
      async *count({ to }) {
        for (let number = 1; number <= to; number += 1) yield { number };
      },
    });
    // The only stream of both sides that there is: what is said to a host comes back from it.
    router.service(ServerReflection, {
      async *serverReflectionInfo(requests) {
        for await (const { host, messageRequest } of requests) {
          if (messageRequest.case === undefined) yield { validHost: host };
        }
      },
    });
  });
  const handler = createDispatch(rpcs, {
    gate: () => {},
    interceptors: [],
    maxRequestBytes: 8_000_000,
    stockHandlers,
    registry: createRegistry(),
    onFailure: (reason) => expect.fail(String(reason)),
  });
  const limits = { controlBytesPerSecond: 30_000, controlFrameBurst: 50, controlFramesPerSecond: 10 };
  return open({ ...options, handler, limits });
}

/** Does it again and again, so many at once, until the listener has looked at the connection. */
async function keepOn(callers: number, call: () => Promise<void>): Promise<void> {
  const end = performance.now() + 1_200;
  const one = async () => {
    do await call();
    while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: callers }, one));
}

function foreignClient({ port }: Listener): grpc.Client {
  const options = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), options);
  closing.push(() => client.close());
  return client;
}

const asIs = (bytes: Buffer): Buffer => bytes;

const unary = (client: grpc.Client, path: string, request: Uint8Array): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, asIs, asIs, Buffer.from(request), (error, answer) =>
      error ? reject(error) : resolve(answer as Buffer),
    );
  });

function session(listener: Listener, settings: { initialWindowSize?: number } = {}): ClientHttp2Session {
  const one = connectHttp2(listener.url, { settings, ca: tls.cert });
  closing.push(() => one.destroy());
  return one;
}

function begin(on: ClientHttp2Session, path: string): ClientHttp2Stream {
  return on.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
}

/** The bytes of an answer whose status is OK. */
async function answerOf(stream: ClientHttp2Stream): Promise<Buffer> {
  let status: unknown;
  stream.on("trailers", (trailers) => {
    status = trailers["grpc-status"];
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(status).toBe("0");
  return Buffer.concat(chunks);
}

const say = (length: number): Uint8Array =>
  toBinary(SayRequestSchema, create(SayRequestSchema, { text: "x".repeat(length) }));
const said = (answer: Uint8Array): number => fromBinary(SayResponseSchema, answer).text.length;

const sizes = [
  { length: 10, callers: 50 },
  { length: 1_000_000, callers: 4 },
  { length: 4_000_000, callers: 2 },
];

// The listener, which tells floods, is the same for both paths.
describe.each(isWhole ? paths : paths.slice(0, 1))(
  "at full speed, no call of an honest client fails ($path path)",
  ({ stockHandlers }) => {
    it.each(sizes)("unary calls of grpc-js, $length bytes each way, $callers at once", async ({ length, callers }) => {
      const listener = await start({ stockHandlers });
      const client = foreignClient(listener);
      const request = say(length);
      await keepOn(callers, async () => expect(said(await unary(client, paths2.say, request))).toBe(length));
      expect(cutsOf(listener)).toEqual({});
    });

    it.each(sizes.slice(1))(
      "unary calls over TLS, $length bytes each way, $callers at once",
      async ({ length, callers }) => {
        const listener = await start({ stockHandlers, tls });
        const client = session(listener);
        const request = frame(say(length));
        await keepOn(callers, async () => {
          const stream = begin(client, paths2.say);
          stream.end(request);
          expect(said((await answerOf(stream)).subarray(5))).toBe(length);
        });
        expect(cutsOf(listener)).toEqual({});
      },
    );

    it.each([{ windowSize: 1 }, { windowSize: 64 }])(
      "a client with windows of $windowSize bytes",
      async ({ windowSize }) => {
        const listener = await start({ stockHandlers });
        const client = session(listener, { initialWindowSize: windowSize });
        const request = frame(say(500));
        await keepOn(10, async () => {
          const stream = begin(client, paths2.say);
          stream.end(request);
          expect(said((await answerOf(stream)).subarray(5))).toBe(500);
        });
        expect(cutsOf(listener)).toEqual({});
      },
    );

    it("a client that opens both windows by the byte", async () => {
      const listener = await start({ stockHandlers });
      const client = await frameClient(listener, { settings: settingsFrame([[initialWindowSetting, 1]]) });
      client.socket.setNoDelay();
      await client.next("settings");
      const headers = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "h",
        ":path": paths2.say,
        "content-type": "application/grpc",
      };
      // The answer has the same bytes.
      const request = frame(say(500));
      let stream = -1;
      await keepOn(1, async () => {
        stream += 2;
        client.write(headersFrame(stream, headers));
        client.write(dataFrame(stream, request, true));
        for (let missing = request.length; missing > 0; ) {
          const { payload } = await client.next("data");
          missing -= payload.length;
          client.write(
            Buffer.concat([windowUpdateFrame(stream, payload.length), windowUpdateFrame(0, payload.length)]),
          );
        }
      });
      expect(cutsOf(listener)).toEqual({});
    });

    it("a client that measures the link with each answer", async () => {
      const listener = await start({ stockHandlers });
      const client = session(listener);
      let pings = 0;
      await keepOn(1, async () => {
        const stream = begin(client, paths2.say);
        stream.end(frame(say(1)));
        stream.once("data", () => void client.ping(() => (pings += 1)));
        await answerOf(stream);
      });
      expect(pings).toBeGreaterThan(100);
      expect(cutsOf(listener)).toEqual({});
    });

    it("long answers, to several callers", async () => {
      const listener = await start({ stockHandlers });
      const client = foreignClient(listener);
      const request = Buffer.from(toBinary(CountRequestSchema, create(CountRequestSchema, { to: 2_000 })));
      await keepOn(4, async () => {
        const call = client.makeServerStreamRequest(paths2.count, asIs, asIs, request);
        let count = 0;
        for await (const _ of call) count += 1;
        expect(count).toBe(2_000);
      });
      expect(cutsOf(listener)).toEqual({});
    });

    it("a long upload of small messages", async () => {
      const listener = await start({ stockHandlers });
      const client = session(listener);
      const stream = begin(client, paths2.talk);
      // Nobody answers these.
      const message = frame(
        toBinary(
          ServerReflectionRequestSchema,
          create(ServerReflectionRequestSchema, { messageRequest: { case: "listServices", value: "" } }),
        ),
      );
      await keepOn(1, async () => {
        if (!stream.write(message)) await once(stream, "drain");
        else await new Promise(setImmediate);
      });
      stream.end();
      await answerOf(stream);
      expect(cutsOf(listener)).toEqual({});
    });

    it("a talk, by grpc-js", async () => {
      const listener = await start({ stockHandlers });
      const call = foreignClient(listener).makeBidiStreamRequest(paths2.talk, asIs, asIs);
      const answers = call[Symbol.asyncIterator]();
      const request = create(ServerReflectionRequestSchema, { host: "h".repeat(100) });
      await keepOn(1, async () => {
        call.write(Buffer.from(toBinary(ServerReflectionRequestSchema, request)));
        const { value } = await answers.next();
        expect(fromBinary(ServerReflectionResponseSchema, value as Buffer).validHost).toHaveLength(100);
      });
      call.end();
      expect((await answers.next()).done).toBe(true);
      expect(cutsOf(listener)).toEqual({});
    });
  },
);
