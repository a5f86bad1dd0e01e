import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { type DescMessage, fromBinary, fromJsonString, type JsonReadOptions } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";

/** Node's timers, and with them Connect's deadlines, fire at once for more than this. It is nearly 25 days. */
const longestTimeoutMs = 2 ** 31 - 1;

/** A deadline beyond what a timer can measure is none: a caller who allows a year would be refused at once. */
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
 * Looks at the one message of a request before Connect's handlers do, so that one that is malformed is refused with
 * invalid_argument and a sentence of ours: theirs calls it an internal error, and repeats the parser's words. What is too
 * large goes on unseen, and so does a frame that is cut short: what they say of those is right.
 */
export function withCheckedMessage(
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

  function check(sent: Buffer, isCompressed: boolean): void {
    const message = isCompressed ? decompress(sent, encoding, options.maxBytes) : sent;
    if (message === undefined) return;
    try {
      if (isJson) fromJsonString(desc, new TextDecoder("utf-8", { fatal: true }).decode(message), options.jsonOptions);
      else fromBinary(desc, message);
    } catch (cause) {
      throw malformed(`the request is not a ${desc.typeName} in ${isJson ? "JSON" : "binary form"}`, cause);
    }
  }

  async function* checked(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const limit = options.maxBytes + (isEnveloped ? envelopeBytes : 0);
    const chunks: Uint8Array[] = [];
    let start = Buffer.alloc(0);
    let length = 0;
    let isTooLarge = false;
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      if (isEnveloped && start.length < envelopeBytes) start = Buffer.concat([start, chunk]).subarray(0, envelopeBytes);
      isTooLarge ||= length > limit || (start.length === envelopeBytes && start.readUInt32BE(1) > options.maxBytes);
      // Handed on at once, so that the limit is found out before the rest is read.
      if (isTooLarge) yield* chunks.splice(0);
    }
    if (isTooLarge) return;
    const whole = Buffer.concat(chunks);
    if (isEnveloped) for (const { flags, message } of envelopes(whole)) check(message, flags === 1);
    else check(whole, true);
    yield whole;
  }
  return { ...request, body: checked(request.body as AsyncIterable<Uint8Array>) };
}

/** Of an envelope: one byte of flags, four of length. */
const envelopeBytes = 5;

/** The whole envelopes of a body; what follows the last of them is left to Connect. Throws for flags that mean nothing. */
function* envelopes(body: Buffer): Iterable<{ readonly flags: number; readonly message: Buffer }> {
  for (let at = 0; at + envelopeBytes <= body.length; ) {
    const flags = body.readUInt8(at);
    if (flags > 1) throw new ConnectError("the flags of the message are not known", Code.Internal);
    const end = at + envelopeBytes + body.readUInt32BE(at + 1);
    if (end > body.length) return;
    yield { flags, message: body.subarray(at + envelopeBytes, end) };
    at = end;
  }
}

/** The bytes as they were before compression; undefined where only Connect's handlers can say what is wrong. */
function decompress(bytes: Buffer, encoding: string, maxBytes: number): Buffer | undefined {
  const limit = { maxOutputLength: maxBytes };
  try {
    if (encoding === "identity") return bytes;
    if (encoding === "gzip") return gunzipSync(bytes, limit);
    return encoding === "br" ? brotliDecompressSync(bytes, limit) : undefined;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw malformed(`the request is not valid ${encoding}`, cause);
  }
}

function malformed(text: string, cause: unknown): ConnectError {
  return new ConnectError(text, Code.InvalidArgument, undefined, undefined, cause);
}
