import {
  fromBinary,
  fromJsonString,
  type JsonReadOptions,
  type JsonWriteOptions,
  type Message,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { compressionNegotiate } from "@connectrpc/connect/protocol";
import { type CallOptions, callUnary, type UnarySpec } from "../call/call.ts";
import { CallContext } from "../call/context.ts";
import type { UnaryExchange } from "../call/exchange.ts";
import type { OnFailure, Outcome } from "../call/outcome.ts";
import { readTimeout, type TimeHeaderName } from "../call/timeout.ts";
import { compress, compressions, decompress, knownEncodings } from "../http/content-coding.ts";
import type { Reply } from "../http/reply.ts";
import type { RequestHead } from "../http/request.ts";
import type { Sent } from "./envelope.ts";

export interface UnaryOptions extends CallOptions {
  readonly jsonOptions: Partial<JsonReadOptions & JsonWriteOptions>;
  /** Told of a failure that is a bug and that nobody else reports. The caller is answered with `internal`. */
  onFailure: OnFailure;
}

/** How one protocol carries the one message each way. */
export interface UnaryProtocol {
  readonly name: string;
  readonly timeHeader: TimeHeaderName;
  readonly acceptEncodingHeader: string;
  isJson(head: RequestHead): boolean;
  /** The encoding of the request message, and what the caller takes for the answer. */
  encodings(head: RequestHead): { readonly sent: string | null; readonly accepted: string | null };
  /** What was sent, once all of it is there. It is refused as soon as it is larger than a message may be. */
  read(exchange: UnaryExchange, maxBytes: number): Promise<Buffer>;
  /** The one message of what was read. */
  open(sent: Buffer, head: RequestHead, maxBytes: number): Sent;
  send(exchange: UnaryExchange, answer: UnaryAnswer): void;
  /** `context` as it was when the call failed. */
  sendError(exchange: UnaryExchange, failure: { readonly context: CallContext; readonly error: ConnectError }): void;
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

/**
 * Serves unary calls with the message read, decoded, called, encoded and written once, rather than through the pipeline of
 * asynchronous generators that Connect has for streams of any kind.
 */
export const createUnary =
  (protocol: UnaryProtocol, options: UnaryOptions) =>
  (exchange: UnaryExchange): Promise<Outcome> => {
    const { spec } = exchange.rpc;
    if (spec.kind !== "unary") throw new Error(`${spec.method.name} is not unary`);
    return new UnaryCall(exchange, { spec, protocol, options }).serve();
  };

/** One call, from its head to its answer. */
class UnaryCall {
  readonly spec: UnarySpec;
  readonly context: CallContext;
  readonly #exchange: UnaryExchange;
  readonly #protocol: UnaryProtocol;
  readonly #options: UnaryOptions;
  readonly #timeoutError: ConnectError | undefined;
  readonly #isJson: boolean;
  readonly #encodings: ReturnType<typeof compressionNegotiate> | undefined;

  constructor(
    exchange: UnaryExchange,
    { spec, protocol, options }: { spec: UnarySpec; protocol: UnaryProtocol; options: UnaryOptions },
  ) {
    const { head } = exchange;
    this.spec = spec;
    this.#exchange = exchange;
    this.#protocol = protocol;
    this.#options = options;
    const { timeoutMs, error } = readTimeout(head.headers, protocol.timeHeader);
    this.#timeoutError = error;
    this.context = new CallContext({
      method: spec.method,
      protocolName: protocol.name,
      head,
      values: exchange.contextValues,
      timeoutMs,
    });
    this.#isJson = protocol.isJson(head);
    const { sent, accepted } = protocol.encodings(head);
    if (sent !== null || accepted !== null) {
      this.#encodings = compressionNegotiate(compressions, sent, accepted, protocol.acceptEncodingHeader);
    }
  }

  /** Resolves when the answer is on its way, or nobody is there to take it. */
  async serve(): Promise<Outcome> {
    const { context } = this;
    const { reply } = this.#exchange;
    const release = abortOnClose(reply, context);
    try {
      const message = await callUnary(this, this.#options);
      const answer = this.#encode(message);
      const sent = "then" in answer ? await answer : answer;
      if (reply.isGone()) return Code.Canceled;
      this.#protocol.send(this.#exchange, sent);
      return 0;
    } catch (reason) {
      if (reply.isGone()) return Code.Canceled;
      // Interceptors and gate have mapped what is expected.
      if (!(reason instanceof ConnectError)) this.#options.onFailure(reason, this.#exchange.contextValues);
      const error = toConnectError(reason);
      this.#protocol.sendError(this.#exchange, { context, error });
      return error.code;
    } finally {
      release();
      context.end();
    }
  }

  /** Called when the gate has let the call pass. */
  readMessage(): Promise<Message> {
    if (this.#encodings?.error !== undefined) {
      this.context.responseHeader.set(this.#protocol.acceptEncodingHeader, knownEncodings.join(","));
      throw this.#encodings.error;
    }
    if (this.#timeoutError !== undefined) throw this.#timeoutError;
    return this.#protocol.read(this.#exchange, this.#options.maxRequestBytes).then((sent) => this.#open(sent));
  }

  #open(sent: Buffer): Message | Promise<Message> {
    const { maxRequestBytes } = this.#options;
    const { bytes, isCompressed } = this.#protocol.open(sent, this.#exchange.head, maxRequestBytes);
    if (!isCompressed) return this.#decode(bytes);
    return decompressMessage(bytes, this.#encodings?.request?.name, maxRequestBytes).then((all) => this.#decode(all));
  }

  #decode(bytes: Uint8Array): Message {
    const { input } = this.spec.method;
    let message: Message;
    try {
      message = this.#isJson
        ? fromJsonString(input, utf8.decode(bytes), this.#options.jsonOptions)
        : fromBinary(input, bytes);
    } catch (cause) {
      const text = `the request is not a ${input.typeName} in ${this.#isJson ? "JSON" : "binary form"}`;
      throw new ConnectError(text, Code.InvalidArgument, undefined, undefined, cause);
    }
    this.#exchange.bindPath?.(message);
    return message;
  }

  #encode(message: Message): UnaryAnswer | Promise<UnaryAnswer> {
    const { output } = this.spec.method;
    const isJson = this.#isJson;
    const bytes = isJson
      ? Buffer.from(toJsonString(output, message, this.#options.jsonOptions))
      : toBinary(output, message);
    const answer = { context: this.context, bytes, isJson };
    const encoding = this.#encodings?.response?.name;
    if (encoding === undefined) return answer;
    return compress(bytes, encoding)?.then((compressed) => ({ ...answer, bytes: compressed, encoding })) ?? answer;
  }
}

async function decompressMessage(bytes: Buffer, encoding: string | undefined, maxBytes: number): Promise<Uint8Array> {
  if (encoding === undefined) {
    throw new ConnectError("the message is compressed, and no header says how", Code.Internal);
  }
  const result = await decompress(bytes, encoding, maxBytes);
  if (result.kind === "bytes") return result.bytes;
  if (result.kind === "damaged") throw new ConnectError(`the request is not valid ${encoding}`, Code.InvalidArgument);
  throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

/**
 * Aborts a context when the client goes, until it is released. To the garbage collector a stream of HTTP/2 lives much longer
 * than its call, with all that its listeners reach; they must reach no context of a call that is over. That is also why this
 * is a function of its own: closures of one function share what any of them uses.
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
