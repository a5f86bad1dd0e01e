// What a dispatch, and what is around one, makes of requests in a server where others have paths too.
import { once } from "node:events";
import { createServer as createHttp1, type Server } from "node:http";
import { createServer as createHttp2, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import express from "express";
import fastify from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import { withCors } from "../../src/rpc/http/cors.ts";
import type { ListenerHandler } from "../../src/rpc/listener/handler.ts";
import { withOpenApi } from "../../src/rpc/openapi/serve.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { type Exchange, exchange } from "../fixtures/wire.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const observed: string[] = [];
const dispatch = createDispatch(
  createRpcTable((router) => {
    router.service(EchoService, {
      say: ({ room, text }) => ({ room, text }),
      async *count({ to }) {
        for (let number = 1; number <= to; number += 1) yield { number };
      },
    });
  }),
  {
    observe({ head }) {
      observed.push(head.url ?? "");
      return () => {};
    },
  },
);

/** Serves a handler whose `next` answers 299. */
async function serve(handler: ListenerHandler, version: 1 | 2): Promise<string> {
  const handle: ListenerHandler = (request, response) =>
    handler(request, response, () => {
      response.statusCode = 299;
      response.end();
    });
  const server: Server | Http2Server = version === 1 ? createHttp1(handle) : createHttp2(handle);
  closers.push(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const service = `/${EchoService.typeName}`;
const typed = (type: string) => ({ "content-type": type });

describe.each([1, 2] as const)("over HTTP/%s a dispatch", (version) => {
  it.each<Exchange>([
    { method: "GET", path: "/" },
    { method: "GET", path: "/test/v1/nothing" },
    { method: "GET", path: "/test/v1/rooms/a/b/c" },
    { method: "GET", path: "/test/v1/rooms/" },
    { method: "OPTIONS", path: "/nothing" },
    { method: "OPTIONS", path: "*" },
    { method: "GET", path: "/a/../b" },
    { method: "GET", path: "/a%" },
    { method: "GET", path: "/a?b#c" },
    { method: "POST", path: "/other.Service/Call", headers: typed("application/json"), body: "{}" },
    { method: "POST", path: "/other.Service/Call", headers: typed("application/grpc-web+proto"), body: "" },
    { method: "POST", path: "/other.Service/Call", headers: typed("application/grpc"), body: "" },
    { method: "POST", path: "/nothing", headers: { "connect-protocol-version": "1", ...typed("application/json") } },
    { method: "GET", path: `/nothing/${"x".repeat(10_000)}` },
  ])("passes on $method $path", async (request) => {
    const url = await serve(dispatch, version);
    observed.length = 0;
    expect((await exchange(url, { ...request, version })).status).toBe(299);
    expect(observed).toEqual([]);
  });

  it.each<Exchange & { readonly status: number }>([
    { method: "POST", path: "/test/v1/rooms/a/say", headers: typed("application/json"), body: "{}", status: 200 },
    { method: "PUT", path: "/test/v1/rooms/a/say", status: 405 },
    { method: "OPTIONS", path: "/test/v1/rooms/a/say", status: 204 },
    { method: "POST", path: "/test/v1/rooms/%ff/say", headers: typed("application/json"), body: "{}", status: 400 },
    { method: "POST", path: `${service}/Say`, headers: typed("application/json"), body: "{}", status: 200 },
    { method: "PUT", path: `${service}/Say`, status: 405 },
    { method: "POST", path: `${service}/Nope`, headers: typed("application/json"), body: "{}", status: 404 },
    { method: "POST", path: `${service}/Nope`, headers: typed("application/grpc-web+proto"), body: "", status: 200 },
  ])("answers $method $path", async ({ status, ...request }) => {
    const url = await serve(dispatch, version);
    observed.length = 0;
    expect((await exchange(url, { ...request, version })).status).toBe(status);
    expect(observed).toEqual([request.path]);
  });

  it("passes on through withCors and withOpenApi", async () => {
    const page = "https://app.example";
    const documented = withOpenApi(dispatch, { document: () => ({ openapi: "3.1.0" }) });
    const url = await serve(withCors(documented, { origins: [page] }), version);
    const headers = { origin: page };
    const other = await exchange(url, { version, method: "GET", path: "/nothing", headers });
    expect([other.status, other.headers["access-control-allow-origin"]]).toEqual([299, page]);
    expect((await exchange(url, { version, method: "GET", path: "/openapi.json", headers })).status).toBe(200);
    expect((await exchange(url, { version, method: "PUT", path: "/test/v1/rooms/a/say", headers })).status).toBe(405);
  });
});

it("serves below a prefix in Express", async () => {
  const app = express();
  app.use("/api", dispatch);
  app.use((_, response) => {
    response.status(299).end();
  });
  const server = app.listen(0, "127.0.0.1");
  closers.push(() => server.close());
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const say = { headers: typed("application/json"), body: '{"text":"hello"}' };
  const reply = await exchange(url, { ...say, path: "/api/test/v1/rooms/hall/say" });
  expect(reply.body.toString()).toBe('{"room":"hall","text":"hello"}');
  for (const path of ["/test/v1/rooms/hall/say", "/api/nothing"]) {
    expect((await exchange(url, { ...say, path })).status).toBe(299);
  }
});

it("serves gRPC in a Fastify on HTTP/2, calls and streams", async () => {
  const app = fastify({ http2: true });
  closers.push(() => app.close());
  app.addHook("onRequest", (request, reply, next) => dispatch(request.raw, reply.raw, next));
  app.get("/own", () => "own\n");
  const baseUrl = await app.listen({ host: "127.0.0.1", port: 0 });
  const client = createClient(EchoService, createGrpcTransport({ baseUrl }));
  expect(await client.say({ room: "hall", text: "hello" })).toMatchObject({ room: "hall", text: "hello" });
  const numbers: number[] = [];
  for await (const { number } of client.count({ to: 3 })) numbers.push(number);
  expect(numbers).toEqual([1, 2, 3]);
  expect((await exchange(baseUrl, { version: 2, method: "GET", path: "/own" })).body.toString()).toBe("own\n");
});
