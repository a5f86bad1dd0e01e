import { once } from "node:events";
import { connect } from "node:http2";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterEach, describe, expect, it } from "vitest";
import { createReadiness } from "../../src/process/readiness.ts";
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../src/rpc/gen/grpc/health/v1/health_pb.ts";
import { createHealthService } from "../../src/rpc/services/health.ts";
import { paths, startTestServer, type TestServer, type TestServerOptions } from "../fixtures/server.ts";
import { exchange } from "../fixtures/wire.ts";

const serviceNames = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "portcullis.v1.LoginPolicyService",
  "zitadel.admin.v1.AdminService",
  "zitadel.auth.v1.AuthService",
  "zitadel.management.v1.ManagementService",
];
const [serving, notServing] = [{ status: "SERVING" }, { status: "NOT_SERVING" }];

const closing: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  closing.push(() => server.close());
  return server;
}

type Unary = (request: object, done: (error: grpc.ServiceError | null, answer: unknown) => void) => void;
type ServerStream = (request: object) => grpc.ClientReadableStream<unknown>;

/** @grpc/grpc-js, which reads the .proto file itself. */
function foreignClient({ url }: TestServer) {
  const root = join(import.meta.dirname, "../../src/rpc/proto");
  const definition = loadSync("grpc/health/v1/health.proto", { includeDirs: [root], enums: String, defaults: true });
  const Client = grpc.makeClientConstructor(definition[Health.typeName] as grpc.ServiceDefinition, "Health");
  const client = new Client(new URL(url).host, grpc.credentials.createInsecure());
  closing.push(() => client.close());
  const unary = (name: string, request: object) =>
    new Promise((resolve, reject) => {
      (client[name] as Unary).call(client, request, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  return {
    check: (service: string) => unary("Check", { service }),
    list: () => unary("List", {}),
    watch(service: string) {
      const call = (client["Watch"] as ServerStream).call(client, { service });
      // Not `once`, which rejects with the error that tells the same.
      const ended = new Promise<object>((resolve) => {
        call.on("status", ({ code, details }) => resolve({ code, details }));
      });
      call.on("error", () => {});
      const answers = call[Symbol.asyncIterator]();
      return { call, ended, next: async () => (await answers.next()).value as unknown };
    },
  };
}

describe.each(paths)("grpc.health.v1, served by the $path path", ({ stockHandlers }) => {
  it("is served without a token, and with one that is good for nothing", async () => {
    const server = await start({ stockHandlers });
    expect(await foreignClient(server).check("")).toEqual(serving);
    const headers = { "content-type": "application/json", authorization: "Bearer nonsense" };
    const path = "/grpc.health.v1.Health/Check";
    expect((await exchange(server.url, { path, headers, body: "{}" })).body.toString()).toBe('{"status":"SERVING"}');
  });

  it("checks the server and each of its services", async () => {
    const readiness = createReadiness();
    const client = foreignClient(await start({ stockHandlers, readiness }));
    for (const service of ["", ...serviceNames]) expect(await client.check(service)).toEqual(serving);
    readiness.set("store", true);
    for (const service of ["", ...serviceNames]) expect(await client.check(service)).toEqual(notServing);
  });

  it("answers not_found for a service that it does not have", async () => {
    const client = foreignClient(await start({ stockHandlers }));
    await expect(client.check("zitadel.management.v1")).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("lists them all", async () => {
    const readiness = createReadiness();
    const client = foreignClient(await start({ stockHandlers, readiness }));
    const all = (status: object) => ({ statuses: Object.fromEntries(["", ...serviceNames].map((n) => [n, status])) });
    expect(await client.list()).toEqual(all(serving));
    readiness.set("draining", true);
    expect(await client.list()).toEqual(all(notServing));
  });

  it.each([
    { protocol: "gRPC", connect: createGrpcTransport },
    { protocol: "gRPC-Web", connect: (o: { baseUrl: string }) => createGrpcWebTransport({ ...o, httpVersion: "1.1" }) },
    {
      protocol: "Connect with JSON",
      connect: (o: { baseUrl: string }) => createConnectTransport({ ...o, httpVersion: "1.1", useBinaryFormat: false }),
    },
  ])("checks and watches over $protocol", async ({ connect }) => {
    const readiness = createReadiness();
    const { url } = await start({ stockHandlers, readiness });
    const client = createClient(Health, connect({ baseUrl: url }));
    expect((await client.check({})).status).toBe(ServingStatus.SERVING);
    await expect(client.check({ service: "unknown" })).rejects.toMatchObject({ code: Code.NotFound });
    const seen: ServingStatus[] = [];
    for await (const { status } of client.watch({})) {
      seen.push(status);
      if (seen.length === 3) break;
      readiness.set("store", seen.length === 1);
    }
    expect(seen).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING, ServingStatus.SERVING]);
  });
});

describe("Watch", () => {
  it("tells the status at once, and each change", async () => {
    const readiness = createReadiness();
    const watch = foreignClient(await start({ readiness })).watch("zitadel.admin.v1.AdminService");
    expect(await watch.next()).toEqual(serving);
    readiness.set("store", true);
    expect(await watch.next()).toEqual(notServing);
    readiness.set("draining", true);
    readiness.set("store", false);
    readiness.set("draining", false);
    expect(await watch.next()).toEqual(serving);
  });

  it("tells SERVICE_UNKNOWN of a service that the server does not have, and goes on", async () => {
    const readiness = createReadiness();
    const client = foreignClient(await start({ readiness }));
    const watch = client.watch("unknown");
    expect(await watch.next()).toEqual({ status: "SERVICE_UNKNOWN" });
    readiness.set("store", true);
    expect(await client.check("")).toEqual(notServing);
    watch.call.cancel();
    expect(await watch.ended).toMatchObject({ code: Code.Canceled });
  });

  it("goes on while the server is not ready because it will drain, and ends when it closes", async () => {
    const readiness = createReadiness();
    const server = await start({ readiness });
    const watch = foreignClient(server).watch("");
    expect(await watch.next()).toEqual(serving);
    readiness.set("draining", true);
    expect(await watch.next()).toEqual(notServing);
    // The default grace would fail the test by its timeout.
    const [ended] = await Promise.all([watch.ended, server.close()]);
    expect(ended).toEqual({ code: Code.Unavailable, details: "the server is shutting down" });
    expect(server.failures).toEqual([]);
  });

  it("tells NOT_SERVING before it ends where nobody had said that the server would drain", async () => {
    const server = await start();
    const watches = Array.from({ length: 30 }, () => foreignClient(server).watch(""));
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    closing.push(() => void process.off("warning", onWarning));
    for (const watch of watches) expect(await watch.next()).toEqual(serving);
    const closed = server.close();
    for (const watch of watches) {
      expect(await watch.next()).toEqual(notServing);
      expect(await watch.ended).toMatchObject({ code: Code.Unavailable });
    }
    await closed;
    expect(warnings).toEqual([]);
  });

  it("ends after the connection was told to be used no more, so that who asks again does so elsewhere", async () => {
    const server = await start();
    const session = connect(server.url);
    closing.push(() => session.destroy());
    const path = `/${Health.typeName}/Watch`;
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const stream = session.request(headers);
    stream.end(Buffer.alloc(5)).resume();
    await once(stream, "data");
    const seen: string[] = [];
    session.on("goaway", () => seen.push("GOAWAY"));
    stream.on("trailers", () => seen.push("trailers"));
    // Readiness has told watchers long before; only the end comes after the lame-duck time.
    await Promise.all([once(stream, "close"), server.close({ lameDuckMs: 20 })]);
    expect(seen.slice(0, 2)).toEqual(["GOAWAY", "trailers"]);
  });

  it("ends over HTTP/1.1 too when the server closes", async () => {
    const server = await start();
    const transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" });
    const statuses = createClient(Health, transport).watch({})[Symbol.asyncIterator]();
    expect((await statuses.next()).value).toMatchObject({ status: ServingStatus.SERVING });
    const closed = server.close();
    expect((await statuses.next()).value).toMatchObject({ status: ServingStatus.NOT_SERVING });
    await expect(statuses.next()).rejects.toMatchObject({ code: Code.Unavailable });
    await closed;
  });

  it("leaves nothing behind when its client goes", async () => {
    const readiness = createReadiness();
    let listeners = 0;
    let left = () => {};
    const allLeft = new Promise<void>((resolve) => {
      left = resolve;
    });
    const server = await start({
      readiness: {
        get isReady() {
          return readiness.isReady;
        },
        reasons: [],
        onChange(listener) {
          listeners += 1;
          const leave = readiness.onChange(listener);
          return () => {
            leave();
            listeners -= 1;
            if (listeners === 0) left();
          };
        },
      },
    });
    const watches = [foreignClient(server).watch(""), foreignClient(server).watch("unknown")];
    for (const watch of watches) await watch.next();
    expect(listeners).toBe(2);
    for (const { call } of watches) call.cancel();
    await allLeft;
    expect(server.failures).toEqual([]);
  });

  it("leaves out what changed while its client did not read", async () => {
    const readiness = createReadiness();
    const { signal } = new AbortController();
    const { watch } = createHealthService({ readiness, serviceNames: [], closing: signal });
    const statuses = watch(create(HealthCheckRequestSchema), { signal } as never)[Symbol.asyncIterator]();
    expect((await statuses.next()).value).toEqual({ status: ServingStatus.SERVING });
    for (const isBlocked of [true, false, true]) readiness.set("store", isBlocked);
    expect((await statuses.next()).value).toEqual({ status: ServingStatus.NOT_SERVING });
    const next = statuses.next();
    readiness.set("store", false);
    expect((await next).value).toEqual({ status: ServingStatus.SERVING });
    await statuses.return?.();
  });
});
