import {
  fromBinary,
  fromJsonString,
  type JsonReadOptions,
  type JsonWriteOptions,
  type Message,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type MethodImplSpec } from "@connectrpc/connect";
import { compressionNegotiate } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { type CallOptions, callUnary } from "./call.ts";
import { CallContext } from "./context.ts";
import { compress, decompress } from "./encoding.ts";
import type { Sent } from "./envelope.ts";
import type { RpcExchange } from "./exchange.ts";
import { type HttpRequest, isGone, onClose } from "./http.ts";
import { readTimeout, type TimeHeaderName } from "./timeout.ts";

export interface UnaryOptions extends CallOptions {
  readonly jsonOptions: Partial<JsonReadOptions & JsonWriteOptions>;
  /** Told of a failure that is a bug and that nobody else reports. The caller is answered with `internal`. */
  onFailure(reason: unknown): void;
}

/** How one protocol carries the one message each way. */
export interface UnaryProtocol {
  readonly name: string;
  readonly isJson: (request: HttpRequest) => boolean;
  readonly timeHeader: TimeHeaderName;
  /** The encoding of the request message, and what the caller takes for the answer. */
  readonly encodings: (request: HttpRequest) => { readonly sent: string | null; readonly accepted: string | null };
  readonly acceptEncodingHeader: string;
  readMessage(request: HttpRequest, maxBytes: number): Sent | Promise<Sent>;
  send(exchange: RpcExchange, answer: UnaryAnswer): void;
  /** `context` as it was when the call failed. */
  sendError(exchange: RpcExchange, failure: { readonly context: CallContext; readonly error: ConnectError }): void;
}

/** A message on its way out. */
export interface UnaryAnswer {
  readonly context: CallContext;
  readonly bytes: Uint8Array;
  readonly isJson: boolean;
  /** Absent: the bytes are as they are. */
  readonly encoding?: string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
const compressions = [compressionGzip, compressionBrotli];
const acceptable = ["identity", ...compressions.map(({ name }) => name)].join(",");

/**
 * Serves unary calls with the message read, decoded, called, encoded and written once, rather than through the pipeline of
 * asynchronous generators that Connect has for streams of any kind.
 */
export function createUnary(protocol: UnaryProtocol, options: UnaryOptions): (exchange: RpcExchange) => Promise<void> {
  const { jsonOptions, maxRequestBytes: maxBytes } = options;

  function parse({ input }: MethodImplSpec["method"], bytes: Buffer, isJson: boolean): Message {
    try {
      if (!isJson) return fromBinary(input, bytes);
      return fromJsonString(input, utf8.decode(bytes), jsonOptions);
    } catch (cause) {
      const text = `the request is not a ${input.typeName} in ${isJson ? "JSON" : "binary form"}`;
      throw new ConnectError(text, Code.InvalidArgument, undefined, undefined, cause);
    }
  }

  async function decompressed({ bytes, isCompressed }: Sent, encoding: string | undefined): Promise<Buffer> {
    if (!isCompressed) return bytes;
    if (encoding === undefined) {
      throw new ConnectError("the message is compressed, and no header says how", Code.Internal);
    }
    const result = await decompress(bytes, encoding, maxBytes);
    if (result.kind === "bytes") return result.bytes;
    if (result.kind === "damaged") throw new ConnectError(`the request is not valid ${encoding}`, Code.InvalidArgument);
    throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
  }

  return async (exchange) => {
    const { rpc, request, response } = exchange;
    const { spec } = rpc;
    if (spec.kind !== "unary") throw new Error(`${spec.method.name} is not unary`);
    const timeout = readTimeout(request.headers, [protocol.timeHeader]);
    const context = new CallContext({
      method: spec.method,
      protocolName: protocol.name,
      request,
      values: exchange.contextValues,
      timeoutMs: timeout.timeoutMs,
    });
    onClose(request, response, () => context.abort(clientGone));
    const isJson = protocol.isJson(request);
    const { sent, accepted } = protocol.encodings(request);
    const encodings =
      sent === null && accepted === null
        ? undefined
        : compressionNegotiate(compressions, sent, accepted, protocol.acceptEncodingHeader);

    async function readMessage(): Promise<Message> {
      if (encodings?.error !== undefined) {
        context.responseHeader.set(protocol.acceptEncodingHeader, acceptable);
        throw encodings.error;
      }
      if (timeout.error !== undefined) throw timeout.error;
      const sent = await protocol.readMessage(request, maxBytes);
      const bytes = sent.isCompressed ? await decompressed(sent, encodings?.request?.name) : sent.bytes;
      const message = parse(spec.method, bytes, isJson);
      exchange.bindPath?.(message);
      return message;
    }

    try {
      const message = await callUnary({ spec, context, readMessage }, options);
      const { output } = spec.method;
      const bytes = isJson ? Buffer.from(toJsonString(output, message, jsonOptions)) : toBinary(output, message);
      const encoding = encodings?.response?.name;
      const compressed = encoding === undefined ? undefined : await compress(bytes, encoding);
      if (isGone(response)) return;
      if (compressed === undefined || encoding === undefined) protocol.send(exchange, { context, bytes, isJson });
      else protocol.send(exchange, { context, bytes: compressed, isJson, encoding });
    } catch (reason) {
      if (isGone(response)) return;
      // Interceptors and gate have mapped what is expected.
      if (!(reason instanceof ConnectError)) options.onFailure(reason);
      protocol.sendError(exchange, { context, error: toConnectError(reason) });
    } finally {
      context.end();
    }
  };
}

const clientGone = new ConnectError("the client is gone", Code.Canceled);

const toConnectError = (reason: unknown): ConnectError =>
  reason instanceof ConnectError
    ? reason
    : new ConnectError("internal error", Code.Internal, undefined, undefined, reason);
