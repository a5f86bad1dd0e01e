// A dispatch behind what has read the bodies already: without a check, a call would be served as if nothing had been sent.
import { once } from "node:events";
import { createServer as createHttp1, type RequestListener, type Server } from "node:http";
import { createServer as createHttp2, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import express from "express";
import fastify from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { createDispatch, type Dispatch } from "../../src/rpc/dispatch.ts";
import type { ListenerHandler } from "../../src/rpc/listener/handler.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { CountRequestSchema, EchoService, SayRequestSchema } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { paths } from "../fixtures/server.ts";
import { type Exchange, exchange, frame, outcomeOf } from "../fixtures/wire.ts";

const sentence = "the body of the request was read before it came here: put the dispatch before what parses bodies";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function createEcho({ stockHandlers = false }: { readonly stockHandlers?: boolean } = {}) {
  const failures: unknown[] = [];
  const outcomes: unknown[] = [];
  const rpcs = createRpcTable((router) => {
    router.service(EchoService, {
      say: ({ room, text }) => ({ room, text }),
      lobby: () => ({ isLobby: true }),
      async *count({ to }) {
        for (let number = 1; number <= to; number += 1) yield { number };
      },
    });
  });
  const dispatch = createDispatch(rpcs, {
    stockHandlers,
    observe: () => (outcome) => outcomes.push(outcome),
    onFailure: (reason) => failures.push(reason),
  });
  return { dispatch, failures, outcomes };
}

async function listen(server: Server | Http2Server): Promise<string> {
  closers.push(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serve = (handler: ListenerHandler, version: 1 | 2): Promise<string> =>
  listen(version === 1 ? createHttp1(handler) : createHttp2(handler));

/** Reads the body to its end before it hands the request on. */
const afterReading =
  (dispatch: Dispatch): ListenerHandler =>
  (request, response) => {
    request.resume().on("end", () => dispatch(request, response));
  };

const service = `/${EchoService.typeName}`;
const say = toBinary(SayRequestSchema, create(SayRequestSchema, { room: "hall", text: "hello" }));
const count = toBinary(CountRequestSchema, create(CountRequestSchema, { to: 3 }));
const typed = (type: string) => ({ "content-type": type });

const calls: readonly (Exchange & { readonly what: string; readonly version: 1 | 2 })[] = [
  ...([1, 2] as const).flatMap((version) => [
    {
      what: "REST",
      version,
      path: "/test/v1/rooms/hall/say",
      headers: typed("application/json"),
      body: '{"text":"hello"}',
    },
    { what: "Connect", version, path: `${service}/Say`, headers: typed("application/json"), body: '{"room":"hall"}' },
    { what: "Connect's binary form", version, path: `${service}/Say`, headers: typed("application/proto"), body: say },
    {
      what: "a stream of Connect",
      version,
      path: `${service}/Count`,
      headers: typed("application/connect+proto"),
      body: frame(count),
    },
    {
      what: "gRPC-Web",
      version,
      path: `${service}/Say`,
      headers: typed("application/grpc-web+proto"),
      body: frame(say),
    },
    {
      what: "gRPC-Web's text form",
      version,
      path: `${service}/Say`,
      headers: typed("application/grpc-web-text"),
      body: frame(say).toString("base64"),
    },
    {
      what: "a stream of gRPC-Web",
      version,
      path: `${service}/Count`,
      headers: typed("application/grpc-web+proto"),
      body: frame(count),
    },
  ]),
  { what: "gRPC", version: 2, path: `${service}/Say`, headers: typed("application/grpc"), body: frame(say) },
  {
    what: "gRPC on a route of REST",
    version: 2,
    path: "/test/v1/rooms/hall/say",
    headers: typed("application/grpc"),
    body: frame(say),
  },
  {
    what: "a stream of gRPC",
    version: 2,
    path: `${service}/Count`,
    headers: typed("application/grpc"),
    body: frame(count),
  },
];

describe.each(paths)("a body that was read before, $path path", ({ stockHandlers }) => {
  it.each(calls)("refuses $what over HTTP/$version with a sentence, and tells of it once", async (call) => {
    const { dispatch, failures, outcomes } = createEcho({ stockHandlers });
    const url = await serve(afterReading(dispatch), call.version);
    for (const _ of ["first", "second"]) {
      expect(outcomeOf(await exchange(url, call))).toMatchObject({ code: Code.Internal, message: sentence });
    }
    expect(failures).toEqual([expect.objectContaining({ code: Code.Internal, rawMessage: sentence })]);
    expect(outcomes).toEqual([Code.Internal, Code.Internal]);
  });

  it.each(calls)("serves $what over HTTP/$version where nobody has read", async (call) => {
    const { dispatch, failures } = createEcho({ stockHandlers });
    const url = await serve(dispatch, call.version);
    const reply = await exchange(url, call);
    expect([reply.status, failures]).toEqual([200, []]);
  });
});

describe("what has read before", () => {
  const post = {
    path: "/test/v1/rooms/hall/say",
    headers: { "content-type": "application/json" },
    body: '{"text":"hello"}',
  };
  const refused = { code: Code.Internal, message: sentence, httpStatus: 500 };

  it("is express.json()", async () => {
    const { dispatch } = createEcho();
    const app = express().use(express.json()).use(dispatch);
    const url = await listen(createHttp1(app as RequestListener));
    expect(outcomeOf(await exchange(url, post))).toEqual(refused);
    // Without a body there is nothing to lose.
    const lobby = await exchange(url, { path: "/test/v1/rooms/lobby" });
    expect([lobby.status, lobby.body.toString()]).toEqual([200, '{"isLobby":true}']);
  });

  it("is Fastify, to whose routes a body comes parsed", async () => {
    const { dispatch } = createEcho();
    const app = fastify();
    closers.push(() => app.close());
    app.all("/*", (request, reply) => {
      reply.hijack();
      dispatch(request.raw, reply.raw);
    });
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    expect(outcomeOf(await exchange(url, post))).toEqual(refused);
  });

  it.each([1, 2] as const)("is who takes the first bytes alone, over HTTP/%s", async (version) => {
    const { dispatch } = createEcho();
    const url = await serve((request, response) => {
      request.once("data", () => {
        request.pause();
        dispatch(request, response);
      });
    }, version);
    expect(outcomeOf(await exchange(url, { ...post, version }))).toEqual(refused);
  });

  it.each([1, 2] as const)("is who has the body come as text, over HTTP/%s", async (version) => {
    const { dispatch } = createEcho();
    const url = await serve((request, response) => {
      request.setEncoding("utf8");
      dispatch(request, response);
    }, version);
    expect(outcomeOf(await exchange(url, { ...post, version }))).toEqual(refused);
  });
});
