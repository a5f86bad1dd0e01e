// Google's own services: whatever rules they have, src/rpc must serve them.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  create,
  createFileRegistry,
  type DescService,
  type FileRegistry,
  fromBinary,
  getOption,
  hasOption,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { beforeAll, describe, expect, it } from "vitest";
import { http } from "../../gen/google/api/annotations_pb.ts";
import { createRouteTable } from "../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { ruleOf, serviceOf } from "../fixtures/builders.ts";
import { expectStatus } from "../fixtures/sturdy.ts";
import { startRecorder, startServer } from "../fixtures/transcoding.ts";
import { exchange, frame } from "../fixtures/wire.ts";

const root = join(import.meta.dirname, "../..");
const require = createRequire(import.meta.url);

/** Descriptors of every file in the npm package google-proto-files; kept for the next run, since to build them takes a while. */
async function buildDescriptors(): Promise<FileRegistry> {
  const folder = "node_modules/google-proto-files";
  const { version } = require("google-proto-files/package.json") as { version: string };
  const kept = join(root, `node_modules/.cache/google-proto-files-${version}.binpb`);
  if (!existsSync(kept)) {
    mkdirSync(join(root, "node_modules/.cache"), { recursive: true });
    const built = `${kept}.${process.pid}`;
    // buf brings google/protobuf itself; the package's has files that only protoc's own tests can read.
    const modules = [{ path: folder, excludes: [`${folder}/google/protobuf`] }];
    const args = ["--as-file-descriptor-set", "--exclude-source-info", "--output", `${built}#format=binpb`];
    const config = JSON.stringify({ version: "v2", modules });
    const buf = require.resolve("@bufbuild/buf/bin/buf");
    await promisify(execFile)(process.execPath, [buf, "build", "--config", config, ...args], { cwd: root });
    renameSync(built, kept);
  }
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(kept)));
}

let registry: FileRegistry;
beforeAll(async () => {
  registry = await buildDescriptors();
});

const bigQuery = "google.cloud.bigquery.storage";
/**
 * Services with two rules of one method and shape. A rule "maps a gRPC method to one or more HTTP REST endpoints", and with two
 * for one endpoint a request says nothing of which it is for.
 */
const refused: Readonly<Record<string, readonly [rule: string, other: string]>> = {
  [`${bigQuery}.v1.BigQueryRead`]: ["SplitReadStream", "ReadRows"],
  [`${bigQuery}.v1.BigQueryWrite`]: ["GetWriteStream", "AppendRows"],
  [`${bigQuery}.v1beta1.BigQueryStorage`]: ["SplitReadStream", "ReadRows"],
  [`${bigQuery}.v1beta2.BigQueryRead`]: ["SplitReadStream", "ReadRows"],
  [`${bigQuery}.v1beta2.BigQueryWrite`]: ["GetWriteStream", "AppendRows"],
};

describe("every service of google-proto-files that has HTTP rules", () => {
  it("builds a route table, but for those with two rules of one method and shape", () => {
    const messages: Record<string, string> = {};
    const seen = { services: 0, rules: 0, routes: 0 };
    for (const service of servicesOf(registry)) {
      const rules = service.methods
        .filter((method) => hasOption(method, http))
        .map((method) => getOption(method, http));
      if (rules.length === 0) continue;
      seen.services += 1;
      seen.rules += rules.reduce((sum, { additionalBindings }) => sum + 1 + additionalBindings.length, 0);
      try {
        const table = createRpcTable((router) => router.service(service, {}));
        seen.routes += createRouteTable(table).routes.length;
      } catch (error) {
        messages[service.typeName] = (error as Error).message;
      }
    }
    process.stdout.write(
      `google-proto-files: ${seen.services} services with ${seen.rules} HTTP rules; ` +
        `${seen.routes} routes built, ${Object.keys(messages).length} services refused\n`,
    );
    expect(seen.services).toBeGreaterThan(1000);
    expect(seen.rules).toBeGreaterThan(10_000);
    const wanted = Object.entries(refused).map(([service, [rule, other]]) => [
      service,
      expect.stringMatching(
        `^the HTTP rule of /${service}/${rule}: .* has the method and shape of that of /${service}/${other}$`,
      ),
    ]);
    expect(messages).toEqual(Object.fromEntries(wanted));
  });
});

function* servicesOf({ files }: FileRegistry): Iterable<DescService> {
  for (const file of files) yield* file.services;
}

describe("Google's standard update, whose path sets a field within the body", () => {
  const update = { method: "PATCH", path: "/v1/shelves/1/books/2", headers: { "content-type": "application/json" } };

  async function send(body: string, { ignoreUnknown = false, query = "" } = {}) {
    const service = registry.getService("google.example.library.v1.LibraryService") as DescService;
    const server = await startRecorder([service], { ignoreUnknown, files: [] });
    try {
      const reply = await exchange(server.url, { ...update, path: update.path + query, body });
      const { input } = service.methods.find(({ name }) => name === "UpdateBook") as DescService["methods"][number];
      return { reply, received: server.received.map((message) => toJson(input, message)) };
    } finally {
      await server.close({ graceMs: 0 });
    }
  }

  const name = "shelves/1/books/2";
  it.each([
    ["that leaves it out", '{"title":"Emma"}', { title: "Emma", name }],
    ["that says the same", `{"title":"Emma","name":"${name}"}`, { title: "Emma", name }],
    ["that says its default", '{"title":"Emma","name":""}', { title: "Emma", name }],
    ["that is empty", "", { name }],
    ["that is null", "null", { name }],
  ])("takes a body %s", async (_, body, book) => {
    const { reply, received } = await send(body, { query: "?updateMask=title" });
    expect(reply.status, reply.body.toString()).toBe(200);
    expect(received).toEqual([{ book, updateMask: "title" }]);
  });

  it("refuses a body that contradicts the path, unless what is unknown is ignored: then the path counts", async () => {
    const other = '{"title":"Emma","name":"shelves/1/books/3"}';
    const { reply, received } = await send(other);
    const message = expectStatus(reply, { http: 400, code: 3, field: "book.name" });
    expect(message).toContain("the body has another value than the path");
    expect(received).toEqual([]);
    const ignoring = await send(other, { ignoreUnknown: true });
    expect(ignoring.received).toEqual([{ book: { title: "Emma", name } }]);
  });

  it("refuses the field in the query", async () => {
    const { reply } = await send("", { query: "?book.title=Emma" });
    expect(expectStatus(reply, { http: 400, code: 3, field: "book.title" })).toContain("the body sets this field");
  });
});

describe("an RPC that takes a stream of requests", () => {
  it("is called in gRPC framing on the path of its rule, which each message gets", async () => {
    const service = serviceOf({
      name: "Upload",
      rule: ruleOf("post", "/x/{inner.name}", { body: "inner" }),
      clientStreaming: true,
    });
    const [method] = service.methods;
    const thing = (method as (typeof service.methods)[number]).input;
    const received: JsonValue[] = [];
    const upload = async (messages: AsyncIterable<Message>) => {
      for await (const message of messages) received.push(toJson(thing, message));
      return create(thing);
    };
    const table = createRpcTable((router) => router.service(service, { upload } as never));
    const { listener } = await startServer(table, { registry });
    try {
      const messages = [{ count: 1 }, { count: 2, inner: { name: "b" } }].map((init) =>
        frame(toBinary(thing, create(thing, init as never))),
      );
      const headers = { "content-type": "application/grpc", te: "trailers" };
      const body = Buffer.concat(messages);
      const reply = await exchange(listener.url, { version: 2, path: "/x/a", headers, body });
      expect({ ...reply.headers, ...reply.trailers }["grpc-status"]).toBe("0");
      expect(received).toEqual([
        { count: 1, inner: { name: "a" } },
        { count: 2, inner: { name: "a" } },
      ]);
    } finally {
      await listener.close({ graceMs: 0 });
    }
  });

  it("is refused by name where JSON calls it, and does not keep its service from starting", async () => {
    const service = registry.getService("google.logging.v2.LoggingServiceV2") as DescService;
    const server = await startRecorder([service], { ignoreUnknown: false, files: [] });
    try {
      const headers = { "content-type": "application/json" };
      const reply = await exchange(server.url, { path: "/v2/entries:tail", headers, body: "{}" });
      expect(expectStatus(reply, { http: 501, code: 12 })).toBe(
        "TailLogEntries takes a stream of requests, which JSON over HTTP cannot send: call it by gRPC or Connect",
      );
      const listed = await exchange(server.url, { path: "/v2/entries:list", headers, body: "{}" });
      expect(listed.status).toBe(200);
    } finally {
      await server.close({ graceMs: 0 });
    }
  });
});
