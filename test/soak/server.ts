// The process that the soak puts under load: the echo service, and the real server with a store in memory. `--leak KIND` makes it
// lose something with every call of the echo service, which the soak must find; see soak.ts.
import { readdirSync } from "node:fs";
import { IncomingMessage, ServerResponse } from "node:http";
import { Http2ServerRequest, Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import { createServer, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { queryObjects } from "node:v8";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { createDispatch, createRpcTable, openListener } from "@portcullis/rpc";
import { CallContext } from "../../src/rpc/call/context.ts";
import { RequestHeaders } from "../../src/rpc/call/request-headers.ts";
import type { ListenerHandler, StreamHandler } from "../../src/rpc/listener/handler.ts";
import { pathOptions, readPath } from "../conformance/path.ts";
import { EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { startTestServer } from "../fixtures/server.ts";
import type { Measures, Order, Ready } from "./messages.ts";

const { values } = parseArgs({ options: { path: { type: "string" }, leak: { type: "string" } } });
const path = pathOptions(readPath(values.path));
if (gc === undefined || process.send === undefined) throw new Error("the soak starts this, with --expose-gc");

const lost: unknown[] = [];
const leaks: Readonly<Record<string, (context: HandlerContext) => void>> = {
  heap: () => void lost.push(new Array(32).fill(lost.length)),
  buffer: () => void lost.push(Buffer.alloc(16_384)),
  context: (context) => void lost.push(context),
  timer: () => void setTimeout(() => {}, 2 ** 31 - 1),
  socket: () => void createServer().listen(0, "127.0.0.1"),
};
const { leak } = values;
if (leak !== undefined && leaks[leak] === undefined) {
  throw new Error(`there is no leak ${leak}: say ${Object.keys(leaks).join(", ")}`);
}
const lose = leaks[leak ?? ""] ?? (() => {});

const implementation: Partial<ServiceImpl<typeof EchoService>> = {
  say: ({ room, text }) => ({ room, text }),
  typed: (received) => ({ received }),
  async bare({ text }, context) {
    lose(context);
    // Looks neither at its signal nor at the time.
    if (text === "for ever") await new Promise(() => {});
    if (text === "slow") await delay(50);
    return { text };
  },
  async *count({ to }) {
    for (let number = 1; number <= to; number += 1) yield { number };
  },
  fail({ how }) {
    if (how === "plain") throw new Error("as asked for");
    throw new ConnectError("no", Code.FailedPrecondition, { "x-metadata": "told" });
  },
  wait: (_, { signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    }),
};

let failures = 0;
const onFailure = () => {
  failures += 1;
};
const dispatch = createDispatch(
  createRpcTable((router) => router.service(EchoService, implementation)),
  {
    interceptors: [(next) => (request) => next({ ...request })],
    maxRequestBytes: 1_000,
    onFailure,
    ...path,
  },
);
const streams = new Set<ServerHttp2Stream>();
function countStream(stream: ServerHttp2Stream): void {
  streams.add(stream);
  stream.once("close", () => streams.delete(stream));
}
const handle = (...[request, response]: Parameters<ListenerHandler>): void => {
  if ("stream" in request) countStream(request.stream);
  dispatch(request, response);
};
const streamHandler: StreamHandler = (stream, headers, rawHeaders) => {
  const isTaken = dispatch.streamHandler(stream, headers, rawHeaders);
  if (isTaken) countStream(stream);
  return isTaken;
};
const handler = Object.assign(handle, { streamHandler });
const listener = await openListener({ host: "127.0.0.1", port: 0, handler, onError: onFailure });
const real = await startTestServer(path);

async function measure(): Promise<Measures> {
  // Each collection lets go of what finalizers and weak references held until the one before.
  for (let count = 0; count < 4; count += 1) {
    await delay(10);
    gc?.();
  }
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const classes = {
    ...{ CallContext, RequestHeaders, AbortController, AbortSignal, IncomingMessage, ServerResponse },
    ...{ Http2ServerRequest, Http2ServerResponse, Socket },
  };
  const objects: Record<string, number> = { "open HTTP/2 streams": streams.size };
  for (const [name, one] of Object.entries(classes)) objects[name] = queryObjects(one) as number;
  return {
    heapBytes: heapUsed,
    bufferBytes: Math.max(external, arrayBuffers),
    resources,
    objects,
    ...(process.platform === "linux" && { files: readdirSync("/proc/self/fd").length }),
    failures: failures + real.failures.length,
  };
}

async function stop(): Promise<void> {
  await listener.close({ graceMs: 0 });
  await real.close();
  process.disconnect();
}

process.on("message", (order: Order) => {
  if (order === "stop") void stop();
  else void measure().then((measures) => process.send?.(measures));
});
process.on("disconnect", () => process.exit());
process.send({ echoUrl: listener.url, realUrl: real.url, token: real.adminToken } satisfies Ready);
