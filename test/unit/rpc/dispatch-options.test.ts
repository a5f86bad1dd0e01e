import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { create, createRegistry } from "@bufbuild/protobuf";
import { anyPack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it, vi } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { createDispatch } from "../../../src/rpc/dispatch.ts";
import { type DispatchOptions, readOptions } from "../../../src/rpc/dispatch-options.ts";
import { createRpcTable, type RpcTable } from "../../../src/rpc/rpc-table.ts";
import { EchoService } from "../../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { TranscodingService } from "../../fixtures/gen/portcullis/test/v1/transcoding_pb.ts";

const rpcs = createRpcTable((router) => router.service(EchoService, {}));

const publicStreamsForm = "an object whose isPublic is a function, and whose bounds are whole numbers up to 2147483647";

describe("createDispatch", () => {
  it("needs no option", () => {
    expect(createDispatch(rpcs)).toBeTypeOf("function");
    expect(createDispatch(rpcs, {})).toBeTypeOf("function");
    expect(createDispatch(rpcs, { interceptors: [] })).toBeTypeOf("function");
  });

  it.each<[name: string, value: unknown, wanted: string, shown: string]>([
    ["gate", "open", "a function", "'open'"],
    ["gate", null, "a function", "null"],
    ["interceptors", () => {}, "an array of functions", "[Function (anonymous)]"],
    ["interceptors", ["log"], "an array of functions", "[ 'log' ]"],
    ["maxRequestBytes", 0, "a whole number of bytes from 1 to 4294967295", "0"],
    ["maxRequestBytes", 1.5, "a whole number of bytes from 1 to 4294967295", "1.5"],
    ["maxRequestBytes", "64k", "a whole number of bytes from 1 to 4294967295", "'64k'"],
    ["maxRequestBytes", Number.POSITIVE_INFINITY, "a whole number of bytes from 1 to 4294967295", "Infinity"],
    ["registry", {}, "a registry, as createRegistry of @bufbuild/protobuf makes it", "{}"],
    ["ignoreUnknown", "false", "true, false or a function", "'false'"],
    ["etags", 1, "true or false", "1"],
    ["stockHandlers", "yes", "true or false", "'yes'"],
    ["reservedPaths", "/openapi.json", "an array of paths that start with a slash", "'/openapi.json'"],
    ["reservedPaths", ["openapi.json"], "an array of paths that start with a slash", "[ 'openapi.json' ]"],
    ["turns", {}, "a CallerTurns", "{}"],
    ["publicStreams", {}, publicStreamsForm, "{}"],
    [
      "publicStreams",
      { isPublic: () => true, most: -1 },
      publicStreamsForm,
      "{ isPublic: [Function: isPublic], most: -1 }",
    ],
    ["publicStreams", { isPublic: () => true, maxAgeMs: 2 ** 31 }, publicStreamsForm, "{ isPublic: [Function"],
    ["observe", {}, "a function", "{}"],
    ["onFailure", { log: 1 }, "a function", "{ log: 1 }"],
  ])("refuses %s: %j", (name, value, wanted, shown) => {
    const attempt = () => createDispatch(rpcs, { [name]: value } as DispatchOptions);
    expect(attempt).toThrow(TypeError);
    expect(attempt).toThrow(`the option ${name} of createDispatch must be ${wanted}, and not ${shown}`);
  });

  it("refuses an option that it does not have, and names those that there are", () => {
    const attempt = () => createDispatch(rpcs, { onFaliure: () => {} } as DispatchOptions);
    expect(attempt).toThrow(TypeError);
    expect(attempt).toThrow(/^createDispatch has no option onFaliure: it has gate, .*onFailure/);
  });

  it("takes an option that is undefined for one that is left out", () => {
    expect(createDispatch(rpcs, { gate: undefined, onFailure: undefined } as unknown as DispatchOptions)).toBeTypeOf(
      "function",
    );
  });

  it.each([null, "gate", () => {}])("refuses options that are no object: %s", (options) => {
    expect(() => createDispatch(rpcs, options as DispatchOptions)).toThrow(
      new TypeError("createDispatch takes its options as an object"),
    );
  });

  it("refuses what is no table", () => {
    expect(() => createDispatch([EchoService] as unknown as RpcTable)).toThrow(
      new TypeError("createDispatch takes a table that createRpcTable made"),
    );
  });
});

it("writes failures to standard error, with their stack, where nobody else is told", async () => {
  const written: string[] = [];
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  const failing = createRpcTable((router) => {
    router.service(EchoService, {
      say() {
        throw new Error("a bug");
      },
    });
  });
  const server = createServer(createDispatch(failing)).listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const headers = { "content-type": "application/json" };
    const url = `http://127.0.0.1:${port}/test/v1/rooms/hall/say`;
    const answer = await fetch(url, { method: "POST", headers, body: "{}" });
    expect(await answer.json()).toEqual({ code: 13, message: "internal error", details: [] });
  } finally {
    spy.mockRestore();
    server.close();
  }
  expect(written).toEqual([expect.stringMatching(/^request [0-9a-f]{24}: Error: a bug\n {4}at .*say/)]);
});

describe("readOptions", () => {
  const transcoding = createRpcTable((router) => router.service(TranscodingService, {}));

  it("admits everybody, with messages of 4 MiB, by default", () => {
    const { gate, interceptors, maxRequestBytes } = readOptions(rpcs, {});
    expect(gate({} as never)).toBe(undefined);
    expect([interceptors, maxRequestBytes]).toEqual([[], 4 * 1024 * 1024]);
  });

  it("knows the messages of the services' files, of what these import, and error details", () => {
    const { registry } = readOptions(transcoding, {});
    const names = ["portcullis.test.v1.Everything", "google.protobuf.StringValue", BadRequestSchema.typeName];
    for (const name of names) expect(registry.getMessage(name)?.typeName).toBe(name);
    expect(registry.getMessage(StatusSchema.typeName)).toBe(undefined);
    expect(registry.getMessage(anyPack(StringValueSchema, create(StringValueSchema)).$typeName)).toBeDefined();
  });

  it("knows them beside the registry that is given", () => {
    const { registry } = readOptions(transcoding, { registry: createRegistry(StatusSchema) });
    expect(registry.getMessage(StatusSchema.typeName)).toBe(StatusSchema);
    expect(registry.getMessage("portcullis.test.v1.Everything")).toBeDefined();
  });
});
