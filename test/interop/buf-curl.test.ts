// buf curl, which has the Go implementations of gRPC, gRPC-Web and Connect.
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorDetailSchema } from "../../gen/zitadel/message_pb.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { certificatePath, defineClientSuite, type FactorClient, type PortName, type Target } from "./client-suite.ts";
import { type Ended, run } from "./run.ts";

const buf = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
const root = fileURLToPath(new URL("../..", import.meta.url));

// In plaintext it speaks HTTP/1.1 unless told otherwise, and gRPC always over HTTP/2; with TLS the server's choice, HTTP/2.
const ways: readonly { name: string; over: PortName; args: readonly string[] }[] = [
  { name: "gRPC over HTTP/2", over: "plaintext", args: ["--protocol", "grpc"] },
  { name: "gRPC-Web over HTTP/1.1", over: "plaintext", args: ["--protocol", "grpcweb"] },
  { name: "gRPC-Web over HTTP/2", over: "plaintext", args: ["--protocol", "grpcweb", "--http2-prior-knowledge"] },
  { name: "Connect over HTTP/1.1", over: "plaintext", args: ["--protocol", "connect"] },
  { name: "Connect over HTTP/2", over: "plaintext", args: ["--protocol", "connect", "--http2-prior-knowledge"] },
  { name: "gRPC over HTTP/2", over: "TLS", args: ["--protocol", "grpc"] },
  { name: "gRPC-Web over HTTP/2", over: "TLS", args: ["--protocol", "grpcweb"] },
  { name: "Connect over HTTP/2", over: "TLS", args: ["--protocol", "connect"] },
];
for (const { name, over, args } of ways) {
  defineClientSuite({ name: `buf curl, ${name}`, over: [over], open: (target) => factorClient(target, args) });
}

function factorClient({ url, token }: Target, args: readonly string[]): FactorClient {
  const ca = url.startsWith("https:") ? ["--cacert", certificatePath] : [];
  const call = (rpc: string, message: object): Promise<Ended> => {
    const request = ["-H", `authorization: Bearer ${token}`, "--data", JSON.stringify(message)];
    const rpcUrl = `${url}/zitadel.management.v1.ManagementService/${rpc}`;
    const command = [buf, "curl", "--schema", "proto", ...args, ...ca, ...request, rpcUrl];
    return run(process.execPath, command, { cwd: root });
  };
  return {
    async list() {
      const { status, stdout, stderr } = await call("ListLoginPolicySecondFactors", {});
      if (status !== 0) throw new Error(stderr);
      return (JSON.parse(stdout) as { result: string[] }).result;
    },
    async add(factor) {
      const { status, stderr } = await call("AddSecondFactorToLoginPolicy", { type: factor });
      return status === 0 ? undefined : refused(stderr);
    },
  };
}

/** Reads the error that buf curl prints as Connect JSON. */
function refused(printed: string) {
  if (!printed.startsWith("{")) throw new Error(printed);
  const { code, message, details } = JSON.parse(printed) as {
    code: string;
    message: string;
    details?: readonly { type: string; value: string }[];
  };
  const detail = details?.find(({ type }) => type === ErrorDetailSchema.typeName);
  return {
    code: codeFromString(code) ?? Number.NaN,
    message,
    detailId: detail && fromBinary(ErrorDetailSchema, base64Decode(detail.value)).id,
  };
}

describe("buf curl without a schema", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.close());

  it.each(
    ["grpc-v1", "grpc-v1alpha"].flatMap((reflection) => ["grpc", "grpcweb", "connect"].map((p) => [p, reflection])),
  )("calls over %s what it learns by %s", async (protocol, reflection) => {
    const rpcUrl = `${server.url}/zitadel.management.v1.ManagementService/ListLoginPolicySecondFactors`;
    const how = ["--protocol", protocol as string, "--reflect-protocol", reflection as string];
    const request = ["-H", `authorization: Bearer ${server.adminToken}`, "--http2-prior-knowledge"];
    const { stdout, stderr } = await run(process.execPath, [buf, "curl", ...how, ...request, rpcUrl], {
      cwd: tmpdir(),
    });
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toMatchObject({ result: ["SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_U2F"] });
  });
});
