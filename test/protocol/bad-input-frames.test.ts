import { deflateSync, gzipSync } from "node:zlib";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import {
  AddCustomLoginPolicyRequestSchema,
  AddSecondFactorToLoginPolicyRequestSchema,
} from "../../gen/zitadel/management_pb.ts";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import { paths } from "../fixtures/server.ts";
import { expectNoInternals, factorsPath, policyPath, rpcPath, sturdyServer } from "../fixtures/sturdy.ts";
import { type Exchange, frame, outcomeOf, type Reply } from "../fixtures/wire.ts";

const factorMessage = (type: SecondFactorType) =>
  toBinary(AddSecondFactorToLoginPolicyRequestSchema, create(AddSecondFactorToLoginPolicyRequestSchema, { type }));
const sms = factorMessage(SecondFactorType.OTP_SMS);
const policyMessage = (init: MessageInitShape<typeof AddCustomLoginPolicyRequestSchema>) =>
  toBinary(AddCustomLoginPolicyRequestSchema, create(AddCustomLoginPolicyRequestSchema, init));

/** The ways to send a frame. */
const framings = [
  { framing: "gRPC", version: 2, type: "application/grpc", isText: false },
  { framing: "gRPC-Web over HTTP/1.1", version: 1, type: "application/grpc-web+proto", isText: false },
  { framing: "gRPC-Web over HTTP/2", version: 2, type: "application/grpc-web+proto", isText: false },
  { framing: "gRPC-Web text", version: 1, type: "application/grpc-web-text+proto", isText: true },
] as const;
type Framing = (typeof framings)[number];

const badFrames: readonly { name: string; body: Uint8Array; headers?: Record<string, string>; code: Code }[] = [
  { name: "a frame header cut short", body: Buffer.from([0, 0, 0]), code: Code.InvalidArgument },
  { name: "a length larger than the body", body: frame(sms, 0, 10), code: Code.InvalidArgument },
  { name: "bytes after the frame", body: Buffer.concat([frame(sms), Buffer.from([0, 0])]), code: Code.InvalidArgument },
  // Request cardinality is unimplemented in gRPC's own list of status codes.
  { name: "no message", body: Buffer.alloc(0), code: Code.Unimplemented },
  { name: "two messages", body: Buffer.concat([frame(sms), frame(sms)]), code: Code.Unimplemented },
  // As grpc-go and grpc-java answer.
  { name: "a reserved flag", body: frame(sms, 0x02), code: Code.Internal },
  // gRPC's compression document asks for internal.
  { name: "the compressed flag without an encoding", body: frame(sms, 1), code: Code.Internal },
  {
    name: "the compressed flag on identity",
    body: frame(sms, 1),
    headers: { "grpc-encoding": "identity" },
    code: Code.Internal,
  },
  {
    name: "bytes that are no gzip",
    body: frame(Buffer.from("no gzip"), 1),
    headers: { "grpc-encoding": "gzip" },
    code: Code.InvalidArgument,
  },
  {
    name: "gzip cut short",
    body: frame(gzipSync(sms).subarray(0, 12), 1),
    headers: { "grpc-encoding": "gzip" },
    code: Code.InvalidArgument,
  },
  { name: "a length of 64 KiB and a byte", body: frame(Buffer.alloc(65_537)), code: Code.ResourceExhausted },
  { name: "a length of 4 GiB", body: frame(Buffer.alloc(0), 0, 0xffffffff), code: Code.ResourceExhausted },
  {
    name: "gzip that expands to 10 MiB",
    body: frame(gzipSync(Buffer.alloc(10 << 20)), 1),
    headers: { "grpc-encoding": "gzip" },
    code: Code.ResourceExhausted,
  },
];

/** Binary messages that are none, or break a rule; the Connect protocol answers alike. */
const badMessages: readonly { name: string; rpc: string; message: Uint8Array; field?: string }[] = [
  { name: "a tag cut short", rpc: "AddSecondFactorToLoginPolicy", message: Buffer.from([0xff]) },
  { name: "a value cut short", rpc: "AddSecondFactorToLoginPolicy", message: Buffer.from([0x08]) },
  { name: "a wire type that does not exist", rpc: "AddSecondFactorToLoginPolicy", message: Buffer.from([0x0f]) },
  { name: "field number zero", rpc: "AddSecondFactorToLoginPolicy", message: Buffer.from([0x00, 0x01]) },
  { name: "a varint of eleven bytes", rpc: "AddSecondFactorToLoginPolicy", message: Buffer.alloc(11, 0xff) },
  { name: "a length past the end", rpc: "AddCustomLoginPolicy", message: Buffer.from([0x42, 0x7f, 0x61]) },
  { name: "an end of a group that has no start", rpc: "AddCustomLoginPolicy", message: Buffer.from([0x0c]) },
  { name: "groups 10,000 deep", rpc: "AddCustomLoginPolicy", message: Buffer.from("a306".repeat(10_000), "hex") },
  {
    name: "invalid UTF-8 in a string",
    rpc: "AddCustomLoginPolicy",
    message: Buffer.concat([Buffer.from([0x42, 0x03]), Buffer.from([0x61, 0xff, 0x62])]),
  },
  {
    name: "an unknown enum number",
    rpc: "AddSecondFactorToLoginPolicy",
    message: factorMessage(99 as SecondFactorType),
    field: "type",
  },
  ...[
    { name: "a duration past 10,000 years", duration: { seconds: 315_576_000_001n } },
    { name: "a duration of the largest number", duration: { seconds: 9_223_372_036_854_775_807n } },
    { name: "a duration before minus 10,000 years", duration: { seconds: -315_576_000_001n } },
    { name: "nanos of a whole second", duration: { nanos: 1_000_000_000 } },
    { name: "nanos of the other sign", duration: { seconds: 1n, nanos: -1 } },
  ].map(({ name, duration }) => ({
    name,
    rpc: "AddCustomLoginPolicy",
    message: policyMessage({ passwordCheckLifetime: duration }),
    field: "password_check_lifetime",
  })),
];

describe.each(paths)("the $path path", ({ stockHandlers }) => {
  const sturdy = sturdyServer({ stockHandlers });
  afterEach(() => sturdy.send({ method: "DELETE", path: policyPath }));

  /** A body of frames for AddSecondFactorToLoginPolicy. */
  async function sendFrames(
    { version, type, isText }: Framing,
    body: Uint8Array,
    options: { readonly headers?: Record<string, string>; readonly path?: string } = {},
  ): Promise<Reply> {
    const request: Exchange = {
      version,
      path: options.path ?? rpcPath("AddSecondFactorToLoginPolicy"),
      headers: { "content-type": type, te: "trailers", ...options.headers },
      body: isText ? Buffer.from(body).toString("base64") : body,
    };
    const reply = await sturdy.send(request);
    expectNoInternals(reply);
    return reply;
  }

  /** The effective policy, which no refused call may have changed. */
  async function factors(): Promise<unknown> {
    const read = await sturdy.send({ method: "GET", path: policyPath });
    return JSON.parse(read.body.toString()).policy.secondFactors;
  }

  describe.each(framings)("$framing", (framing) => {
    it.each(badFrames)("answers $code to $name, and nothing is written", async ({ body, headers, code }) => {
      const before = await factors();
      const reply = await sendFrames(framing, body, { ...(headers && { headers }) });
      expect(outcomeOf(reply)).toMatchObject({ code });
      expect(await factors()).toEqual(before);
    });

    it.each(badMessages)("answers invalid_argument to $name", async ({ rpc, message }) => {
      const reply = await sendFrames(framing, frame(message), { path: rpcPath(rpc) });
      expect(outcomeOf(reply)).toMatchObject({ code: Code.InvalidArgument });
    });

    it("answers invalid_argument to a malformed message that is compressed, and to one of 64 KiB", async () => {
      const headers = { "grpc-encoding": "gzip" };
      const small = await sendFrames(framing, frame(gzipSync(Buffer.from([0xff])), 1), { headers });
      expect(outcomeOf(small)).toMatchObject({ code: Code.InvalidArgument });
      const large = await sendFrames(framing, frame(Buffer.alloc(65_536, 0xff)));
      expect(outcomeOf(large)).toMatchObject({ code: Code.InvalidArgument });
    });

    it("takes a message of 64 KiB, and one of gzip or deflate", async () => {
      // An unknown field as filler: tag and length take four bytes.
      const filler = Buffer.alloc(65_536 - sms.length - 5);
      const whole = Buffer.concat([sms, Buffer.from([0xfa, 0x01]), varint(filler.length), filler]);
      expect(whole.length).toBe(65_536);
      for (const [body, headers] of [
        [frame(whole), {}],
        [frame(gzipSync(whole), 1), { "grpc-encoding": "gzip" }],
        [frame(deflateSync(whole), 1), { "grpc-encoding": "deflate" }],
      ] as const) {
        const reply = await sendFrames(framing, body, { headers });
        expect(outcomeOf(reply)).toMatchObject({ code: 0 });
        await sturdy.send({ method: "DELETE", path: policyPath });
      }
    });

    it("answers unimplemented to an unknown encoding, and says which are known", async () => {
      const reply = await sendFrames(framing, frame(sms), { headers: { "grpc-encoding": "zstd" } });
      expect(outcomeOf(reply)).toMatchObject({ code: Code.Unimplemented });
      expect({ ...reply.headers, ...reply.trailers }["grpc-accept-encoding"]).toBe("identity,gzip,br,deflate");
    });

    it.each(["", "1", "S", "-1S", "+1S", "1.5S", "1s", "1 S", "123456789S", "0x1S"])(
      "answers invalid_argument to the timeout %j",
      async (timeout) => {
        const reply = await sendFrames(framing, frame(sms), { headers: { "grpc-timeout": timeout } });
        expect(outcomeOf(reply)).toMatchObject({ code: Code.InvalidArgument });
      },
    );

    it("answers deadline_exceeded where the time was over at once, and nothing is written", async () => {
      const before = await factors();
      const reply = await sendFrames(framing, frame(sms), { headers: { "grpc-timeout": "0n" } });
      expect(outcomeOf(reply)).toMatchObject({ code: Code.DeadlineExceeded });
      expect(await factors()).toEqual(before);
    });

    it.each(["99999999H", "99999999S"])("takes the long timeout %s", async (timeout) => {
      const reply = await sendFrames(framing, frame(sms), { headers: { "grpc-timeout": timeout } });
      expect(outcomeOf(reply)).toMatchObject({ code: 0 });
    });

    it("serves a REST route in its framing, and refuses bad frames there alike", async () => {
      const good = await sendFrames(framing, frame(sms), { path: factorsPath });
      expect(outcomeOf(good)).toMatchObject({ code: 0 });
      const bad = await sendFrames(framing, Buffer.from([0, 0]), { path: factorsPath });
      expect(outcomeOf(bad)).toMatchObject({ code: Code.InvalidArgument });
    });
  });

  describe("gRPC-Web text", () => {
    const [text] = framings.filter(({ isText }) => isText);
    const good = frame(sms).toString("base64");
    it.each([
      ["characters that are not base64", "!!!!"],
      ["a length that is no multiple of four", `${good}A`],
      ["padding first", "===="],
      ["the alphabet for URLs", good.replace(/^AA/, "_-")],
      ["a line break", `${good.slice(0, 4)}\r\n${good.slice(4)}`],
      ["binary frames", frame(sms).toString("latin1")],
    ])("refuses %s", async (_, body) => {
      const reply = await sturdy.send({
        path: rpcPath("AddSecondFactorToLoginPolicy"),
        headers: { "content-type": text?.type ?? "" },
        body,
      });
      expectNoInternals(reply);
      expect(outcomeOf(reply)).toMatchObject({ code: Code.InvalidArgument });
    });

    it("takes each flush padded by itself, in any pieces", async () => {
      const parts = [frame(sms).subarray(0, 5), frame(sms).subarray(5)];
      const encoded = parts.map((part) => part.toString("base64")).join("");
      const reply = await sturdy.send({
        path: rpcPath("AddSecondFactorToLoginPolicy"),
        headers: { "content-type": text?.type ?? "" },
        body: Array.from(Buffer.from(encoded), (byte) => Buffer.of(byte)),
      });
      expect(outcomeOf(reply)).toMatchObject({ code: 0 });
    });
  });

  describe("Connect with proto", () => {
    const send = async (
      body: Uint8Array,
      headers: Record<string, string> = {},
      rpc = "AddSecondFactorToLoginPolicy",
    ) => {
      const reply = await sturdy.send({
        path: rpcPath(rpc),
        headers: { "content-type": "application/proto", ...headers },
        body,
      });
      expectNoInternals(reply);
      return outcomeOf(reply);
    };

    it.each(badMessages)("answers invalid_argument to $name", async ({ rpc, message }) => {
      expect(await send(message, {}, rpc)).toMatchObject({ code: Code.InvalidArgument, httpStatus: 400 });
    });
    it.each(["", "abc", "-1", "1.5", "1e3", "12345678901"])(
      "answers invalid_argument to the timeout %j",
      async (timeout) => {
        const outcome = await send(sms, { "connect-timeout-ms": timeout });
        expect(outcome).toMatchObject({ code: Code.InvalidArgument, httpStatus: 400 });
      },
    );
    it("answers deadline_exceeded where the time was over at once", async () => {
      const outcome = await send(sms, { "connect-timeout-ms": "0" });
      expect(outcome).toMatchObject({ code: Code.DeadlineExceeded, httpStatus: 504 });
    });
    it("takes the longest timeout", async () => {
      expect(await send(sms, { "connect-timeout-ms": "9999999999" })).toMatchObject({ code: 0 });
    });
    it("answers unimplemented to an unknown encoding", async () => {
      expect(await send(sms, { "content-encoding": "zstd" })).toMatchObject({
        code: Code.Unimplemented,
        httpStatus: 501,
      });
    });
    it("answers resource_exhausted to gzip that expands to 10 MiB", async () => {
      const outcome = await send(gzipSync(Buffer.alloc(10 << 20)), { "content-encoding": "gzip" });
      expect(outcome).toMatchObject({ code: Code.ResourceExhausted, httpStatus: 429 });
    });
    it("answers invalid_argument to a malformed message that is compressed", async () => {
      const outcome = await send(gzipSync(Buffer.from([0xff])), { "content-encoding": "gzip" });
      expect(outcome).toMatchObject({ code: Code.InvalidArgument, httpStatus: 400 });
    });
    it("answers invalid_argument to bytes that are no gzip", async () => {
      const outcome = await send(Buffer.from("no gzip"), { "content-encoding": "gzip" });
      expect(outcome).toMatchObject({ code: Code.InvalidArgument, httpStatus: 400 });
    });
  });
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}
