import {
  type DescMessage,
  fromBinary,
  fromJsonString,
  type JsonReadOptions,
  type Message,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { compressionNegotiate } from "@connectrpc/connect/protocol";
import { admit } from "../call/admit.ts";
import { CallContext } from "../call/context.ts";
import type { Exchange } from "../call/exchange.ts";
import { invoke } from "../call/invoke.ts";
import type { Outcome } from "../call/outcome.ts";
import { readTimeout, type TimeHeaderName } from "../call/timeout.ts";
import type { Target } from "../codec.ts";
import { compress, compressions, decompress, knownEncodings } from "../http/content-coding.ts";
import type { Reply } from "../http/reply.ts";
import type { RequestHead } from "../http/request.ts";
import type { Sent } from "./envelope.ts";
import type { FramedOptions } from "./options.ts";

/** How one protocol carries the one message each way. */
export interface UnaryProtocol {
  readonly name: string;
  readonly timeHeader: TimeHeaderName;
  readonly acceptEncodingHeader: string;
  isJson(head: RequestHead): boolean;
  /** The encoding of the request message, and what the caller takes for the answer. */
  encodings(head: RequestHead): { readonly sent: string | null; readonly accepted: string | null };
  /** Reads the whole body. Rejects as soon as it is larger than a message may be. */
  read(exchange: Exchange, maxBytes: number): Promise<Buffer>;
  /** Takes the one message out of the body. */
  open(sent: Buffer, head: RequestHead, maxBytes: number): Sent;
  send(exchange: Exchange, answer: UnaryAnswer): void;
  /** `context` has the headers and trailers of the call when it failed. */
  sendError(exchange: Exchange, failure: { readonly context: CallContext; readonly error: ConnectError }): void;
}

/** A message on its way out. */
export interface UnaryAnswer {
  readonly context: CallContext;
  readonly bytes: Uint8Array;
  readonly isJson: boolean;
  /** Absent: the bytes are as they are. */
  readonly encoding?: string;
}

/**
 * Serves unary calls with the message read, decoded, called, encoded and written once, rather than through the pipeline of
 * asynchronous generators that Connect has for streams of any kind. Resolves when the answer is on its way, or the client is
 * gone.
 */
export const createUnary = (protocol: UnaryProtocol, options: FramedOptions) =>
  async function serveUnary(exchange: Exchange, { rpc, bindPath }: Target): Promise<Outcome> {
    const { spec } = rpc;
    if (spec.kind !== "unary") throw new Error(`${spec.method.name} is not unary`);
    const { head, reply, contextValues } = exchange;
    const { maxRequestBytes: maxBytes, interceptors, jsonOptions } = options;
    const { input, output } = spec.method;
    const isJson = protocol.isJson(head);
    const encodings = readEncodings(protocol, head);
    const timeout = readTimeout(head.headers, protocol.timeHeader);
    const { timeoutMs } = timeout;
    const context = new CallContext(exchange, { method: spec.method, protocolName: protocol.name, timeoutMs });
    const release = abortOnClose(reply, context);
    try {
      const message = await admit(context, options, async () => {
        if (encodings?.error !== undefined) {
          context.responseHeader.set(protocol.acceptEncodingHeader, knownEncodings.join(","));
          throw encodings.error;
        }
        if (timeout.error !== undefined) throw timeout.error;
        const body = await protocol.read(exchange, maxBytes);
        const sent = protocol.open(body, head, maxBytes);
        const bytes = sent.isCompressed
          ? await decompressMessage(sent.bytes, encodings?.request?.name, maxBytes)
          : sent.bytes;
        const request = decode(input, bytes, isJson && jsonOptions);
        bindPath?.(request);
        return await invoke(spec, { context, message: request, interceptors });
      });
      const bytes = isJson ? Buffer.from(toJsonString(output, message, jsonOptions)) : toBinary(output, message);
      const encoding = encodings?.response?.name;
      const compressing = encoding && compress(bytes, encoding);
      const answer = compressing ? { context, bytes: await compressing, isJson, encoding } : { context, bytes, isJson };
      if (reply.isGone()) return Code.Canceled;
      protocol.send(exchange, answer);
      return 0;
    } catch (reason) {
      if (reply.isGone()) return Code.Canceled;
      // Interceptors and gate have mapped what is expected.
      if (!(reason instanceof ConnectError)) options.onFailure(reason, contextValues);
      const error = toConnectError(reason);
      protocol.sendError(exchange, { context, error });
      return error.code;
    } finally {
      release();
      context.end();
    }
  };

/** Undefined where the headers name none. */
function readEncodings(protocol: UnaryProtocol, head: RequestHead) {
  const { sent, accepted } = protocol.encodings(head);
  if (sent === null && accepted === null) return undefined;
  return compressionNegotiate(compressions, sent, accepted, protocol.acceptEncodingHeader);
}

async function decompressMessage(
  bytes: Uint8Array,
  encoding: string | undefined,
  maxBytes: number,
): Promise<Uint8Array> {
  if (encoding === undefined) {
    throw new ConnectError("the message is compressed, and no header says how", Code.Internal);
  }
  const result = await decompress(bytes, encoding, maxBytes);
  if (result.kind === "bytes") return result.bytes;
  if (result.kind === "damaged") throw new ConnectError(`the request is not valid ${encoding}`, Code.InvalidArgument);
  throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** `json` are the options of JSON; false: the bytes are binary. */
function decode(desc: DescMessage, bytes: Uint8Array, json: Partial<JsonReadOptions> | false): Message {
  try {
    return json ? fromJsonString(desc, utf8.decode(bytes), json) : fromBinary(desc, bytes);
  } catch (cause) {
    throw malformedMessage(desc, { isJson: json !== false, cause });
  }
}

/** The parser's own words are for the log. */
export function malformedMessage(
  { typeName }: DescMessage,
  { isJson, cause }: { readonly isJson: boolean; readonly cause: unknown },
): ConnectError {
  const text = `the request is not a ${typeName} in ${isJson ? "JSON" : "binary form"}`;
  return new ConnectError(text, Code.InvalidArgument, undefined, undefined, cause);
}

/**
 * Aborts a context when the client goes, until it is released. The garbage collector frees a stream of HTTP/2 long after its
 * call, with all that its listeners reach, so they must not reach the context then. This is a function of its own because
 * closures of one function share the variables that any of them uses.
 */
function abortOnClose(reply: Reply, context: CallContext): () => void {
  let open: CallContext | undefined = context;
  reply.onClose(() => open?.abortAsGone());
  return () => {
    open = undefined;
  };
}

const toConnectError = (reason: unknown): ConnectError =>
  reason instanceof ConnectError
    ? reason
    : new ConnectError("internal error", Code.Internal, undefined, undefined, reason);
