// Random messages, by Connect and by REST: handlers get the same, and callers.
import {
  createRegistry,
  type DescField,
  type DescMessage,
  type DescMethodUnary,
  type JsonObject,
  type JsonValue,
  type Message,
  toJson,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService, file_zitadel_admin } from "../../gen/zitadel/admin_pb.ts";
import { file_zitadel_management, ManagementService } from "../../gen/zitadel/management_pb.ts";
import { TranscodingService } from "../fixtures/gen/portcullis/test/v1/transcoding_pb.ts";
import { type Binding, bindingsOf, randomMessage, randomOf, say } from "../fixtures/random-messages.ts";
import { registry as ownTypes, type Recorder, startRecorder } from "../fixtures/transcoding.ts";
import { exchange } from "../fixtures/wire.ts";

/** Set it to see a failure again: each message follows from it, the binding and the round. */
const seed = process.env["PORTCULLIS_SEED"] ?? "1";
const rounds = 20;

const apis = [
  { api: "the test service", services: [TranscodingService], files: [], ignoreUnknown: false, count: 75 },
  {
    api: "the login-policy services",
    services: [ManagementService, AdminService],
    files: [file_zitadel_management, file_zitadel_admin],
    ignoreUnknown: true,
    count: 27,
  },
] as const;

describe.each(apis)("$api", ({ services, files, ignoreUnknown, count }) => {
  const registry = createRegistry(ownTypes, ...files);
  const bindings = bindingsOf(services);
  let server: Recorder;
  let transport: Transport;
  beforeAll(async () => {
    server = await startRecorder(services, { ignoreUnknown, files });
    transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1", useBinaryFormat: true });
  });
  afterAll(() => server.close({ graceMs: 0 }));

  it("has the bindings that are looked at here", () => {
    expect(bindings).toHaveLength(count);
  });

  /** What a message says, in a form to compare: field by field, presence told. */
  const saysOf = (desc: DescMessage, message: Message | undefined) => message && toJson(desc, message, { registry });

  async function compare(binding: Binding, round: number): Promise<void> {
    const random = randomOf(seed, binding.name, round);
    const { input, output } = binding.rpc;
    const said = say(random, binding, randomMessage(random, input), registry);
    const answer = randomMessage(random, output);
    server.answer = answer;
    server.received.length = 0;

    const viaConnect = await transport.unary(binding.rpc as DescMethodUnary, undefined, undefined, {}, said.message);
    const reply = await exchange(server.url, {
      // Parsers of HTTP/1.1 know no method of one's own.
      version: round % 2 === 0 || binding.method === "LAUNCH" ? 2 : 1,
      method: binding.method,
      path: said.path,
      ...(said.body !== undefined && { headers: { "content-type": "application/json" }, body: said.body }),
    });
    expect(reply.status, reply.body.toString()).toBe(200);
    const [byConnect, byRest] = server.received;
    expect(server.received).toHaveLength(2);
    expect(saysOf(input, byConnect)).toEqual(saysOf(input, said.message));
    expect(saysOf(input, byRest)).toEqual(saysOf(input, said.message));
    const whole = toJson(output, viaConnect.message, { registry, alwaysEmitImplicit: true });
    expect(JSON.parse(reply.body.toString())).toEqual(partOf(whole, binding.responseBody));
    expect(server.failures).toEqual([]);
  }

  it.each(bindings)("$name", async (binding) => {
    for (let round = 0; round < rounds; round += 1) {
      try {
        await compare(binding, round);
      } catch (cause) {
        const { message } = cause as Error;
        throw new Error(`with PORTCULLIS_SEED=${seed}, round ${round}: ${message}`, { cause });
      }
    }
  });
});

/** The field that is the answer; where it is not set, nothing in the words of its type. */
function partOf(whole: JsonValue, field: DescField | undefined): JsonValue {
  if (field === undefined) return whole;
  const value = (whole as JsonObject)[field.jsonName];
  if (value !== undefined) return value;
  if (field.fieldKind !== "message") return null;
  if (field.message.typeName === "google.protobuf.ListValue") return [];
  const isText = /^google\.protobuf\.(?:Timestamp|Duration|FieldMask|\w*Value)$/.test(field.message.typeName);
  return isText ? null : {};
}
