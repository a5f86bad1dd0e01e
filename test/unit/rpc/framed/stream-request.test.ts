import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { describe, expect, it } from "vitest";
import { AddSecondFactorToLoginPolicyRequestSchema as Schema } from "../../../../gen/zitadel/management_pb.ts";
import { withCheckedMessages } from "../../../../src/rpc/framed/stream-request.ts";

const good = Buffer.from([0x08, 0x01]);
const malformed = Buffer.from([0x00, 0x00]);

function envelope(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

async function* inChunks(body: Buffer, size: number, onRead: () => void = () => {}): AsyncIterable<Uint8Array> {
  for (let at = 0; at < body.length; at += size) {
    onRead();
    yield body.subarray(at, at + size);
  }
}

function check(body: AsyncIterable<Uint8Array>, type: string, maxBytes = 64): AsyncIterable<Uint8Array> {
  const request = { header: new Headers({ "content-type": type }), body } as UniversalServerRequest;
  return withCheckedMessages(request, Schema, { maxBytes, jsonOptions: {} }).body as AsyncIterable<Uint8Array>;
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("withCheckedMessages", () => {
  it.each([
    ["an envelope", "application/grpc", envelope(good)],
    [
      "two envelopes, of which Connect says that it is one too many",
      "application/grpc",
      Buffer.concat([envelope(good), envelope(good)]),
    ],
    ["nothing, of which Connect says so", "application/grpc", Buffer.alloc(0)],
    ["a message without an envelope", "application/proto", good],
    ["an empty JSON object", "application/json", Buffer.from("{}")],
  ])("hands on %s as it is", async (_, type, body) => {
    for (const size of [1, 3, 1000]) expect(await collect(check(inChunks(body, size), type))).toEqual(body);
  });

  it.each([
    ["a malformed message", "application/grpc", envelope(malformed)],
    ["one with a byte after it", "application/grpc", Buffer.concat([envelope(malformed), Buffer.from([1])])],
    ["one with an envelope after it", "application/grpc", Buffer.concat([envelope(malformed), envelope(good)])],
    ["one after a good envelope", "application/grpc", Buffer.concat([envelope(good), envelope(malformed)])],
    ["JSON that is none", "application/grpc+json", envelope(Buffer.from('{"a'))],
    ["a malformed message without an envelope", "application/proto", malformed],
  ])("refuses %s in words of its own", async (_, type, body) => {
    const refusal = await collect(check(inChunks(body, 4), type)).catch((reason: unknown) => reason);
    expect(refusal).toBeInstanceOf(ConnectError);
    expect(refusal).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(/^the request is not a zitadel\.management\.v1\.\w+ in (JSON|binary form)$/),
    });
  });

  it("hands on each message of a stream before the next has come", async () => {
    let read = 0;
    const body = inChunks(Buffer.concat([envelope(good), envelope(malformed)]), envelope(good).length, () => read++);
    const messages = check(body, "application/grpc")[Symbol.asyncIterator]();
    expect((await messages.next()).value).toEqual(new Uint8Array(envelope(good)));
    expect(read).toBe(1);
    await expect(messages.next()).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  it.each([
    ["cut short", Buffer.from([0, 0, 0, 0, 9, 8]), Code.InvalidArgument],
    ["larger than allowed", Buffer.from([0, 0, 0, 0, 65]), Code.ResourceExhausted],
  ])("says of an envelope that is %s what Connect says", async (_, body, code) => {
    await expect(collect(check(inChunks(body, 6), "application/grpc-web+proto"))).rejects.toMatchObject({ code });
  });

  it("hands on what is too large before it is read whole, whatever its bytes are", async () => {
    let read = 0;
    const body = Buffer.alloc(1000, 0xff);
    const iterator = check(
      inChunks(body, 50, () => read++),
      "application/proto",
    )[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toHaveLength(50);
    expect(read).toBe(2);
    let rest = 50;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) rest += next.value.length;
    expect(rest).toBe(1000);
  });

  it("does no more for many small pieces than for one", async () => {
    // Putting the pieces together again at each of 60,000 would take more than a minute.
    const body = Buffer.concat([envelope(good), Buffer.alloc(60_000)]);
    expect(await collect(check(inChunks(body, 1), "application/grpc", 64 * 1024))).toEqual(body);
  });
});
