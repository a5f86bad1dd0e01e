import { type DescMessage, fromBinary, fromJsonString, type JsonReadOptions } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeEnvelope, transformSplitEnvelope } from "@connectrpc/connect/protocol";
import { decompress } from "../http/content-coding.ts";
import { malformedMessage } from "./unary.ts";
import type { UniversalServerRequest } from "./universal.ts";

/** Node's timers, and with them Connect's deadlines, fire at once for more than this. It is nearly 25 days. */
const longestTimeoutMs = 2 ** 31 - 1;

/** A deadline beyond what a timer can measure is none: a caller that allows a year would be refused at once. */
export function withoutFarDeadline(request: UniversalServerRequest): UniversalServerRequest {
  const { header } = request;
  const grpc = /^(\d{1,8})([HMS])$/.exec(header.get("grpc-timeout") ?? "");
  const unitMs = { H: 3_600_000, M: 60_000, S: 1000 }[grpc?.[2] ?? ""] ?? 0;
  const connectMs = /^\d{1,10}$/.test(header.get("connect-timeout-ms") ?? "") ? header.get("connect-timeout-ms") : 0;
  const isFar = Number(grpc?.[1] ?? 0) * unitMs > longestTimeoutMs || Number(connectMs) > longestTimeoutMs;
  if (!isFar) return request;
  const kept = new Headers(header);
  kept.delete("grpc-timeout");
  kept.delete("connect-timeout-ms");
  return { ...request, header: kept };
}

/**
 * Looks at each message of a request before Connect's handlers do, so that one that is malformed is refused with
 * invalid_argument and a sentence of ours: theirs calls it an internal error, and repeats the parser's words. What is too
 * large, or cut short, gets Connect's own words.
 */
export function withCheckedMessages(
  request: UniversalServerRequest,
  desc: DescMessage,
  options: { readonly maxBytes: number; readonly jsonOptions: Partial<JsonReadOptions> },
): UniversalServerRequest {
  const { header } = request;
  const type = header.get("content-type") ?? "";
  const isEnveloped = !/^application\/(proto|json)$/.test(type);
  const isJson = /json$/.test(type);
  const encodingHeaders = isEnveloped ? ["grpc-encoding", "connect-content-encoding"] : ["content-encoding"];
  const encoding = encodingHeaders.map((name) => header.get(name)).find((value) => value !== null) ?? "identity";

  async function check(sent: Uint8Array, isCompressed: boolean): Promise<void> {
    const message = isCompressed ? await decompressed(sent, encoding, options.maxBytes) : sent;
    if (message === undefined) return;
    try {
      if (isJson) fromJsonString(desc, new TextDecoder("utf-8", { fatal: true }).decode(message), options.jsonOptions);
      else fromBinary(desc, message);
    } catch (cause) {
      throw malformedMessage(desc, { isJson, cause });
    }
  }

  async function* checkedEnvelopes(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const { flags, data } of transformSplitEnvelope(options.maxBytes)(body)) {
      if (flags > 1) throw new ConnectError("the flags of the message are not known", Code.Internal);
      await check(data, flags === 1);
      yield encodeEnvelope(flags, data);
    }
  }

  async function* checkedWhole(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      // Handed on at once, so that the limit is found out before the rest is read.
      if (length > options.maxBytes) yield* chunks.splice(0);
    }
    if (length > options.maxBytes) return;
    const whole = Buffer.concat(chunks);
    await check(whole, true);
    yield whole;
  }

  const body = request.body as AsyncIterable<Uint8Array>;
  return { ...request, body: isEnveloped ? checkedEnvelopes(body) : checkedWhole(body) };
}

/** The bytes before compression; undefined where only Connect's handlers can say what is wrong. */
async function decompressed(bytes: Uint8Array, encoding: string, maxBytes: number): Promise<Uint8Array | undefined> {
  const result = await decompress(bytes, encoding, maxBytes);
  if (result.kind === "damaged") throw new ConnectError(`the request is not valid ${encoding}`, Code.InvalidArgument);
  return result.kind === "bytes" ? result.bytes : undefined;
}
