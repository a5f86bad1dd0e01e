import { join } from "node:path";
import { create, createFileRegistry, type DescFile, fromBinary, getOption, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { http } from "../../gen/google/api/annotations_pb.ts";
import { file_zitadel_management, ManagementService } from "../../gen/zitadel/management_pb.ts";
import { auth_option } from "../../gen/zitadel/options_pb.ts";
import { ServerReflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { exchange, frame, outcomeOf } from "../fixtures/wire.ts";

const versions = [{ version: "v1" }, { version: "v1alpha" }] as const;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** An answer as @grpc/proto-loader reads it: `messageResponse` names the member of the oneof. */
interface Answer {
  readonly validHost: string;
  readonly originalRequest: object;
  readonly messageResponse: string;
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly allExtensionNumbersResponse?: object;
  readonly listServicesResponse?: object;
  readonly errorResponse?: { readonly errorCode: number; readonly errorMessage: string };
}

/** One call by @grpc/grpc-js, which reads the .proto file itself. */
function open({ url }: TestServer, version: "v1" | "v1alpha" = "v1") {
  const root = join(import.meta.dirname, "../../src/rpc/proto");
  const definition = loadSync(`grpc/reflection/${version}/reflection.proto`, {
    includeDirs: [root],
    oneofs: true,
    arrays: true,
  });
  const service = definition[`grpc.reflection.${version}.ServerReflection`] as grpc.ServiceDefinition;
  const client = new (grpc.makeClientConstructor(service, "ServerReflection"))(
    new URL(url).host,
    grpc.credentials.createInsecure(),
  );
  closing.push(() => client.close());
  const call = (client["ServerReflectionInfo"] as () => grpc.ClientDuplexStream<object, Answer>).call(client);
  // Not `once`, which rejects with the error that tells the same.
  const ended = new Promise<{ code: number; details: string }>((resolve) => {
    call.on("status", ({ code, details }) => resolve({ code, details }));
  });
  call.on("error", () => {});
  const answers = call[Symbol.asyncIterator]() as AsyncIterator<Answer>;
  const ask = async (request: object): Promise<Answer> => {
    call.write(request);
    return (await answers.next()).value as Answer;
  };
  return {
    call,
    ended,
    ask,
    answers,
    /** The files of an answer, the one that was asked for first. */
    async files(request: object) {
      const { fileDescriptorResponse } = await ask(request);
      return (fileDescriptorResponse?.fileDescriptorProto ?? []).map((bytes) =>
        fromBinary(FileDescriptorProtoSchema, bytes),
      );
    },
  };
}

describe.each(versions)("grpc.reflection.$version", ({ version }) => {
  it("lists the services, itself among them, without a token", async () => {
    const names = [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "portcullis.v1.LoginPolicyService",
      "zitadel.admin.v1.AdminService",
      "zitadel.auth.v1.AuthService",
      "zitadel.management.v1.ManagementService",
    ];
    expect(await open(server, version).ask({ listServices: "*" })).toMatchObject({
      messageResponse: "listServicesResponse",
      listServicesResponse: { service: names.map((name) => ({ name })) },
    });
  });

  it("repeats the host and the request", async () => {
    const request = { host: "api.example", fileContainingExtension: { containingType: "a.B", extensionNumber: 7 } };
    const answer = await open(server, version).ask(request);
    expect(answer).toMatchObject({ validHost: "api.example", originalRequest: request });
  });

  it("sends a file with all that it imports, from which the service can be built again", async () => {
    const files = await open(server, version).files({ fileContainingSymbol: ManagementService.typeName });
    expect(files[0]?.name).toBe("zitadel/management.proto");
    const names = files.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const file of files) expect(names, file.name).toEqual(expect.arrayContaining(file.dependency));
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(files) }));
    const built = registry.getService(ManagementService.typeName);
    for (const method of ManagementService.methods) {
      const found = built?.method[method.localName];
      if (found === undefined) throw new Error(`${method} is lost`);
      // Its options are extensions.
      expect(getOption(found, auth_option)).toEqual(getOption(method, auth_option));
      expect(getOption(found, http)).toEqual(getOption(method, http));
    }
  });
});

/** Protobuf-ES takes files in this order only. */
function importsFirst(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const sorted = new Set<FileDescriptorProto>();
  const add = (file: FileDescriptorProto): void => {
    for (const imported of files) if (file.dependency.includes(imported.name)) add(imported);
    sorted.add(file);
  };
  for (const file of files) add(file);
  return [...sorted];
}

describe("file_containing_symbol", () => {
  it.each([
    ["a service", "zitadel.admin.v1.AdminService", "zitadel/admin.proto"],
    ["a method", "zitadel.admin.v1.AdminService.GetLoginPolicy", "zitadel/admin.proto"],
    ["a message", "zitadel.policy.v1.LoginPolicy", "zitadel/policy.proto"],
    ["a nested message", "zitadel.management.v1.AddCustomLoginPolicyRequest.IDP", "zitadel/management.proto"],
    ["a field", "zitadel.policy.v1.LoginPolicy.is_default", "zitadel/policy.proto"],
    ["a oneof", "validate.FieldRules.type", "validate/validate.proto"],
    ["an enum", "zitadel.policy.v1.SecondFactorType", "zitadel/policy.proto"],
    ["an enum value", "zitadel.policy.v1.SECOND_FACTOR_TYPE_OTP", "zitadel/policy.proto"],
    ["a nested enum", "grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"],
    ["a value of a nested enum", "grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"],
    ["an extension", "zitadel.v1.auth_option", "zitadel/options.proto"],
    ["reflection", "grpc.reflection.v1alpha.ErrorResponse", "grpc/reflection/v1alpha/reflection.proto"],
    ["a well-known type", "google.protobuf.Timestamp", "google/protobuf/timestamp.proto"],
    ["the detail of an error", "zitadel.v1.ErrorDetail", "zitadel/message.proto"],
    ["Google's detail of an error", "google.rpc.BadRequest", "google/rpc/error_details.proto"],
  ])("finds %s", async (_, fileContainingSymbol, name) => {
    expect((await open(server).files({ fileContainingSymbol }))[0]?.name).toBe(name);
  });
});

describe("what was sent before in the call", () => {
  it("is left out of what a file imports, and sent again where it is asked for", async () => {
    const { files } = open(server);
    const names = async (fileByFilename: string) => (await files({ fileByFilename })).map(({ name }) => name);
    const policy = ["zitadel/policy.proto", ...policyImports()];
    expect(await names("zitadel/policy.proto")).toEqual(policy);
    const management = await names("zitadel/management.proto");
    expect(management[0]).toBe("zitadel/management.proto");
    expect(management.filter((name) => policy.includes(name))).toEqual([]);
    expect(await names("zitadel/policy.proto")).toEqual(["zitadel/policy.proto"]);
    const inAnother = (await open(server).files({ fileByFilename: "zitadel/policy.proto" })).map(({ name }) => name);
    expect(inAnother).toEqual(policy);
  });

  function policyImports(): string[] {
    const policy = file_zitadel_management.dependencies.find(({ name }) => name === "zitadel/policy");
    const found = new Set<DescFile>(policy?.dependencies);
    for (const file of found) for (const imported of file.dependencies) found.add(imported);
    return [...found].map(({ proto }) => proto.name);
  }
});

describe("extensions", () => {
  it("are found by number", async () => {
    const { files } = open(server);
    const of = (containingType: string, extensionNumber: number) =>
      files({ fileContainingExtension: { containingType, extensionNumber } });
    expect((await of("google.protobuf.MethodOptions", 50_000))[0]?.name).toBe("zitadel/options.proto");
    expect((await of("google.protobuf.FieldOptions", 1071))[0]?.name).toBe("validate/validate.proto");
  });

  it("are listed for a message, which may have none", async () => {
    const { ask } = open(server);
    const of = async (allExtensionNumbersOfType: string) =>
      (await ask({ allExtensionNumbersOfType })).allExtensionNumbersResponse;
    const methodOptions = "google.protobuf.MethodOptions";
    expect(await of(methodOptions)).toEqual({
      baseTypeName: methodOptions,
      extensionNumber: [50_000, 50_100, 50_101, 72_295_728],
    });
    const policy = "zitadel.policy.v1.LoginPolicy";
    expect(await of(policy)).toEqual({ baseTypeName: policy, extensionNumber: [] });
  });
});

describe("an error", () => {
  it.each([
    ["an unknown file", { fileByFilename: "zitadel/management" }, Code.NotFound],
    ["no file", { fileByFilename: "" }, Code.NotFound],
    ["an unknown symbol", { fileContainingSymbol: "zitadel.management.v1.Nothing" }, Code.NotFound],
    ["a package", { fileContainingSymbol: "zitadel.management.v1" }, Code.NotFound],
    ["a name of JavaScript", { fileContainingSymbol: "__proto__" }, Code.NotFound],
    [
      "an unknown extension",
      { fileContainingExtension: { containingType: "google.protobuf.MethodOptions", extensionNumber: 1 } },
      Code.NotFound,
    ],
    [
      "an extension of an unknown message",
      { fileContainingExtension: { containingType: "a.B", extensionNumber: 1 } },
      Code.NotFound,
    ],
    ["extensions of an enum", { allExtensionNumbersOfType: "zitadel.policy.v1.SecondFactorType" }, Code.NotFound],
    ["nothing", { host: "h" }, Code.InvalidArgument],
  ])("answers a request for %s, and the call goes on", async (_, request, errorCode) => {
    const { ask, call, ended } = open(server);
    const { messageResponse, errorResponse } = await ask(request);
    expect(messageResponse).toBe("errorResponse");
    expect(errorResponse).toEqual({ errorCode, errorMessage: expect.stringMatching(/^the /) });
    expect((await ask({ listServices: "" })).messageResponse).toBe("listServicesResponse");
    call.end();
    expect((await ended).code).toBe(0);
  });

  it("ends the call where the request is larger than requests may be", async () => {
    const { call, ended } = open(server);
    call.write({ fileContainingSymbol: "a".repeat(70_000) });
    expect((await ended).code).toBe(Code.ResourceExhausted);
  });

  it("ends the call where the request is no message, and the server takes it for no failure of its own", async () => {
    const headers = { "content-type": "application/grpc", te: "trailers" };
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const reply = await exchange(server.url, { version: 2, path, headers, body: frame(Buffer.from([0x3a, 9])) });
    expect(outcomeOf(reply).code).toBe(Code.InvalidArgument);
    expect(server.failures).toEqual([]);
  });
});

describe("a call", () => {
  it("is answered in order, however many questions wait", async () => {
    const { call, answers, ended } = open(server);
    const hosts = Array.from({ length: 500 }, (_, index) => `host ${index}`);
    for (const host of hosts) call.write({ host, fileContainingSymbol: "zitadel.policy.v1.LoginPolicy" });
    call.end();
    const seen: string[] = [];
    for (let next = await answers.next(); !next.done; next = await answers.next()) seen.push(next.value.validHost);
    expect(seen).toEqual(hosts);
    expect((await ended).code).toBe(0);
  });

  it("ends when its client has asked all, also nothing", async () => {
    const { call, ended } = open(server);
    call.end();
    // A stream that nobody reads never ends.
    call.resume();
    expect((await ended).code).toBe(0);
  });

  it("is forgotten when its client goes", async () => {
    const own = await startTestServer();
    const { ask, call, ended } = open(own);
    await ask({ listServices: "" });
    call.cancel();
    expect((await ended).code).toBe(Code.Canceled);
    await own.close();
    expect(own.failures).toEqual([]);
  });

  it("ends when the server closes, though its client would ask more", async () => {
    const own = await startTestServer();
    const { ask, ended } = open(own);
    await ask({ listServices: "" });
    // The default grace would fail the test by its timeout.
    const [end] = await Promise.all([ended, own.close()]);
    expect(end).toEqual({ code: Code.Unavailable, details: "the server is shutting down" });
    expect(own.failures).toEqual([]);
  });

  it.each([
    { protocol: "Connect", connect: createConnectTransport, useBinaryFormat: true },
    { protocol: "Connect with JSON", connect: createConnectTransport, useBinaryFormat: false },
    { protocol: "gRPC-Web", connect: createGrpcWebTransport, useBinaryFormat: true },
  ])("goes over $protocol too, where that goes over HTTP/2", async ({ connect, useBinaryFormat }) => {
    const client = createClient(ServerReflection, connect({ baseUrl: server.url, httpVersion: "2", useBinaryFormat }));
    async function* questions() {
      yield { messageRequest: { case: "fileByFilename" as const, value: "zitadel/management.proto" } };
    }
    for await (const { messageResponse } of client.serverReflectionInfo(questions())) {
      if (messageResponse.case !== "fileDescriptorResponse") throw new Error(messageResponse.case);
      const [bytes] = messageResponse.value.fileDescriptorProto;
      expect(new Uint8Array(bytes ?? [])).toEqual(toBinary(FileDescriptorProtoSchema, file_zitadel_management.proto));
    }
  });

  it("is refused over HTTP/1.1, which has no streams in both directions", async () => {
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const headers = { "content-type": "application/connect+json" };
    expect((await exchange(server.url, { path, headers, body: frame(Buffer.from("{}")) })).status).toBe(505);
  });
});

it.each(versions)(
  "refuses a malformed message in the middle of a call of $version, after its answer",
  async ({ version }) => {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const { input } = ServerReflection.method.serverReflectionInfo;
    const listing = frame(toBinary(input, create(input, { messageRequest: { case: "listServices", value: "*" } })));
    const body = Buffer.concat([listing, frame(Buffer.from([0xff]))]);
    const reply = await exchange(server.url, {
      version: 2,
      path,
      headers: { "content-type": "application/grpc" },
      body,
    });
    expect(reply.body.length).toBeGreaterThan(100);
    expect(outcomeOf(reply)).toMatchObject({
      code: Code.InvalidArgument,
      message: `the request is not a grpc.reflection.${version}.ServerReflectionRequest in binary form`,
    });
  },
);
