// The program that the runner of Connect's conformance suite starts for each kind of server it wants; see run.ts. It reads on
// standard input what to serve, says on standard output where it listens, and serves until SIGTERM. (Not until standard input
// ends: the runner closes it at once.)
import { buffer } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createDispatch, createRpcTable, openListener } from "@portcullis/rpc";
import {
  type ServerCompatRequest,
  ServerCompatRequestSchema,
  ServerCompatResponseSchema,
} from "./gen/connectrpc/conformance/v1/server_compat_pb.ts";
import { ConformanceService } from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { pathOptions, readPath } from "./path.ts";
import { conformanceService } from "./service.ts";

const { values } = parseArgs({ options: { path: { type: "string" } } });
const options = pathOptions(readPath(values.path));

const { useTls, serverCreds, messageReceiveLimit, clientTlsCert } = readRequest(await buffer(process.stdin));
if (clientTlsCert.length > 0) throw new Error("the listener does not ask for client certificates: see config.yaml");
if (useTls && serverCreds === undefined) throw new Error("TLS is asked for, and no certificate is given");

const rpcs = createRpcTable((router) => router.service(ConformanceService, conformanceService));
const dispatch = createDispatch(rpcs, {
  maxRequestBytes: messageReceiveLimit || 16 * 1024 * 1024,
  onFailure: report,
  ...options,
});

const listener = await openListener({
  host: "127.0.0.1",
  port: 0,
  ...(serverCreds && { tls: { cert: text(serverCreds.cert), key: text(serverCreds.key) } }),
  handler: dispatch,
  onError: report,
});
function stop(): void {
  listener.close({ graceMs: 0 }).then(() => process.exit(), report);
}
process.once("SIGTERM", stop);
// A runner that is killed tells nobody, and leaves its servers to another parent.
const runner = process.ppid;
setInterval(() => process.ppid !== runner && stop(), 1_000).unref();

const response = toBinary(
  ServerCompatResponseSchema,
  create(ServerCompatResponseSchema, {
    host: "127.0.0.1",
    port: listener.port,
    ...(serverCreds && { pemCert: serverCreds.cert }),
  }),
);
const length = Buffer.alloc(4);
length.writeUInt32BE(response.length);
process.stdout.write(Buffer.concat([length, response]));

/** The one message, after its length in four bytes. */
function readRequest(input: Buffer): ServerCompatRequest {
  const end = 4 + input.readUInt32BE();
  if (input.length < end) throw new Error("standard input ended before the request was whole");
  return fromBinary(ServerCompatRequestSchema, input.subarray(4, end));
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function report(reason: unknown): void {
  process.stderr.write(`${reason instanceof Error ? reason.stack : String(reason)}\n`);
}
