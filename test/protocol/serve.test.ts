// serve() with its defaults, called by clients that are not ours, and each of its parts turned off.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { type Listener, type ServeOptions, serve } from "@portcullis/rpc";
import { afterEach, describe, expect, it } from "vitest";
import { LibraryService } from "../../examples/own-service/gen/library_pb.ts";
import { createReadiness } from "../../src/process/readiness.ts";

const root = join(import.meta.dirname, "../..");
const buf = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const services: ServeOptions["services"] = (router) =>
  router.service(LibraryService, {
    getBook({ name }) {
      if (name === "shelves/1/books/broken") throw new Error("broken");
      return { name, title: "Emma" };
    },
    async *listBooks({ shelf }) {
      yield { name: `${shelf}/books/1`, title: "Emma" };
    },
  });

async function start(options: Partial<ServeOptions> = {}): Promise<Listener> {
  const server = await serve({ services, ...options });
  cleanups.push(() => server.close({ graceMs: 0 }));
  return server;
}

/** buf curl, which learns the schema from the server's reflection. */
async function bufCurl(url: string, rpc: string, { flags = [], data }: { flags?: readonly string[]; data: object }) {
  const all = [buf, "curl", ...flags, "--data", JSON.stringify(data), `${url}/${rpc}`];
  return promisify(execFile)(process.execPath, all, { timeout: 20_000 }).then(
    ({ stdout }) => ({ answer: JSON.parse(stdout) as object }),
    (error: { readonly stderr: string }) => ({ error: error.stderr }),
  );
}

interface HealthClient {
  check(service: string): Promise<{ readonly status: string }>;
  watch(service: string): grpc.ClientReadableStream<{ readonly status: string }>;
}

function healthClient(url: string): HealthClient {
  const definition = loadSync("grpc/health/v1/health.proto", {
    includeDirs: [join(root, "src/rpc/proto")],
    enums: String,
  });
  const Client = grpc.makeClientConstructor(definition["grpc.health.v1.Health"] as grpc.ServiceDefinition, "Health");
  const client = new Client(new URL(url).host, grpc.credentials.createInsecure());
  cleanups.push(() => client.close());
  type Check = (request: object, done: (error: grpc.ServiceError | null, answer: { status: string }) => void) => void;
  return {
    check: (service) =>
      new Promise((resolve, reject) => {
        (client["Check"] as Check).call(client, { service }, (error, answer) =>
          error ? reject(error) : resolve(answer),
        );
      }),
    watch: (service) => (client["Watch"] as HealthClient["watch"]).call(client, { service } as never),
  };
}

const getBook = "library.v1.LibraryService/GetBook";
const emma = { name: "shelves/1/books/1", title: "Emma" };

describe("serve", () => {
  it.each(["grpc", "grpcweb", "connect"])("serves %s and reflection to buf curl", async (protocol) => {
    const { url } = await start();
    // Reflection streams in both directions, which needs HTTP/2 in any protocol.
    const flags = ["--protocol", protocol, "--reflect-protocol", "grpc-v1", "--http2-prior-knowledge"];
    const data = { name: emma.name };
    expect(await bufCurl(url, getBook, { flags, data })).toEqual({ answer: emma });
  });

  it("serves REST and an OpenAPI document", async () => {
    const { url } = await start();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
    expect(await (await fetch(`${url}/v1/shelves/1/books/1`)).json()).toEqual(emma);
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as object;
    expect(document).toMatchObject({ info: { title: "LibraryService", version: "1" }, security: [] });
    expect((await fetch(`${url}/openapi.yaml`)).status).toBe(200);
  });

  it("says in the document what the program does", async () => {
    const openapi = { info: { title: "Library", version: "2.1" }, security: [{ bearer: [] }] };
    const { url } = await start({ openapi });
    expect(await (await fetch(`${url}/openapi.json`)).json()).toMatchObject(openapi);
  });

  it("answers health checks and reflection without asking the gate", async () => {
    const { url } = await start({
      gate({ requestHeader }) {
        if (requestHeader.get("authorization") !== "Bearer secret")
          throw new ConnectError("say the secret", Code.Unauthenticated);
      },
    });
    expect(await healthClient(url).check("library.v1.LibraryService")).toEqual({ status: "SERVING" });
    const refused = await fetch(`${url}/v1/shelves/1/books/1`);
    expect([refused.status, await refused.json()]).toEqual([401, { code: 16, message: "say the secret", details: [] }]);
    const flags = ["--protocol", "grpc", "--http2-prior-knowledge", "--header", "Authorization: Bearer secret"];
    expect(await bufCurl(url, getBook, { flags, data: { name: emma.name } })).toEqual({ answer: emma });
  });

  it("describes error details by reflection, so that tools can show them", async () => {
    const { url } = await start();
    const flags = ["--protocol", "grpc", "--http2-prior-knowledge"];
    const rpc = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    expect(await bufCurl(url, rpc, { flags, data: { fileContainingSymbol: "google.rpc.ErrorInfo" } })).toMatchObject({
      answer: { fileDescriptorResponse: { fileDescriptorProto: [expect.any(String), expect.any(String)] } },
    });
  });

  it("takes health from what it is given, and ends watches when it closes", async () => {
    const readiness = createReadiness();
    const server = await start({ health: readiness });
    const client = healthClient(server.url);
    await expect(client.check("unknown")).rejects.toMatchObject({ code: grpc.status.NOT_FOUND });
    const watch = client.watch("");
    const ended = new Promise((resolve) => watch.on("status", ({ code }) => resolve(code)));
    watch.on("error", () => {});
    const statuses = watch[Symbol.asyncIterator]();
    expect((await statuses.next()).value).toEqual({ status: "SERVING" });
    readiness.set("store", true);
    expect((await statuses.next()).value).toEqual({ status: "NOT_SERVING" });
    let drained = false;
    const closed = server.close({ onDrain: () => (drained = true) });
    expect([await ended, await closed, drained]).toEqual([grpc.status.UNAVAILABLE, undefined, true]);
  });

  it("bounds the streams of health and reflection, beside those that the program names", async () => {
    const { url } = await start({ publicStreams: { isPublic: () => false, mostOnConnection: 1 } });
    const client = healthClient(url);
    const first = client.watch("").on("error", () => {});
    await new Promise((resolve) => first.once("data", resolve));
    const second = client.watch("");
    const refused = await new Promise((resolve) => second.once("error", resolve));
    expect(refused).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
    first.cancel();
  });

  it("opens to the pages of origins, and over TLS", async () => {
    const tls = {
      cert: readFileSync(join(root, "test/fixtures/tls/localhost.cert.pem"), "utf8"),
      key: readFileSync(join(root, "test/fixtures/tls/localhost.key.pem"), "utf8"),
    };
    expect((await start({ tls, host: "localhost" })).url).toMatch(/^https:\/\/localhost:/);
    const { url } = await start({ cors: { origins: ["https://app.example"] } });
    const headers = { origin: "https://app.example" };
    for (const path of ["/v1/shelves/1/books/1", "/openapi.json"]) {
      const { headers: answered } = await fetch(url + path, { headers });
      expect(answered.get("access-control-allow-origin"), path).toBe("https://app.example");
    }
  });

  it("hands on the options of createDispatch", async () => {
    const failures: unknown[] = [];
    const { url } = await start({ onFailure: (reason) => failures.push(reason), ignoreUnknown: true });
    expect((await fetch(`${url}/v1/shelves/1/books/1?unknown=1`)).status).toBe(200);
    expect((await fetch(`${url}/v1/shelves/1/books/broken`)).status).toBe(500);
    expect(failures).toEqual([new Error("broken")]);
  });
});

describe("a part of serve that is turned off", () => {
  it("openapi: the path is free for a rule", async () => {
    const { url } = await start({ openapi: false });
    expect((await fetch(`${url}/openapi.json`)).status).toBe(404);
    await start({ openapi: false, reservedPaths: ["/else"] });
  });

  it("health", async () => {
    const { url } = await start({ health: false });
    await expect(healthClient(url).check("")).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED });
  });

  it("reflection", async () => {
    const { url } = await start({ reflection: false });
    const flags = ["--protocol", "grpc", "--http2-prior-knowledge"];
    expect(await bufCurl(url, getBook, { flags, data: {} })).toEqual({
      error: expect.stringContaining("failed to find service"),
    });
  });
});

describe("an option that cannot be used", () => {
  it.each([
    [{}, "serve needs the option services, a function that registers them"],
    [{ service: services }, /^serve has no option service: it has services, port, .*, gate, /],
    [{ services, gaet: () => {} }, /^serve has no option gaet: /],
    [{ services, port: "8081" }, "the option port of serve must be a whole number from 0 to 65535, and not '8081'"],
    [{ services, reusePort: true }, "reusePort needs a port: with 0, each process gets another one"],
    [{ services, host: "" }, "the option host of serve must be a string that is not empty, and not ''"],
    [
      { services, cors: ["https://app.example"] },
      /^the option cors of serve must be an object with an array of origins/,
    ],
    [{ services, openapi: true }, "the option openapi of serve must be an object, or false, and not true"],
    [{ services, health: true }, /^the option health of serve must be an object with isReady and onChange, or false/],
    [
      { services, cors: { origins: ["https://app.example/"] } },
      /^the option origins of cors of serve must be .*"https/,
    ],
    [{ services, cors: { origins: ["app.example"] } }, /^the option origins of cors of serve/],
    [{ services, cors: { origins: ["*"], headers: [] } }, /^cors of serve has no option headers: it has origins, /],
    [{ services, openapi: { titel: "Books" } }, /^openapi of serve has no option titel: it has info, /],
    [{ services, openapi: { info: { title: "Books" } } }, /^the option info of openapi of serve must be .* a version/],
    [
      { services, limits: { maxConnection: 1 } },
      /^limits of serve has no option maxConnection: it has maxConnections, /,
    ],
    [{ services, limits: { maxConnections: -1 } }, /^the option maxConnections of limits of serve must be a number/],
    [{ services, tls: { certFile: "c.pem" } }, "tls of serve has no option certFile: it has cert, key, clientCa"],
    [{ services, tls: { cert: "c.pem", key: "k.pem" } }, /^the option cert of tls must be the contents of a PEM file/],
    [{ services, reflection: "off" }, "the option reflection of serve must be true or false, and not 'off'"],
    [{ services, gate: "Bearer" }, "the option gate of serve must be a function, and not 'Bearer'"],
  ])("%o is refused", async (options, message) => {
    const refused = serve(options as unknown as ServeOptions);
    await expect(refused).rejects.toThrow(TypeError);
    await expect(refused).rejects.toThrow(message);
  });

  it("takes origins of every kind", async () => {
    const origins = ["https://app.example", "http://[::1]:8080", "chrome-extension://abc", "null", "*"];
    await start({ cors: { origins } });
  });

  it("refuses services that register none, such as those of an async function that waits first", async () => {
    await expect(serve({ services: () => {} })).rejects.toThrow(/registered no service/);
  });

  it("refuses a service that is registered twice, and a port in use", async () => {
    const twice: ServeOptions["services"] = (router) => {
      services(router);
      services(router);
    };
    await expect(serve({ services: twice })).rejects.toThrow("library.v1.LibraryService is registered twice");
    const { port } = await start();
    await expect(serve({ services, port })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});
