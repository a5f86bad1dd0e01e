import type { OutgoingHttpHeaders } from "node:http";
import { create, type DescMessage, type Message, type Registry } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import { type CallOptions, callServerStream, callUnary } from "../call/call.ts";
import type { Codec } from "../call/codec.ts";
import { CallContext } from "../call/context.ts";
import type { RpcExchange } from "../call/exchange.ts";
import type { OnFailure, Outcome } from "../call/outcome.ts";
import { readTimeout } from "../call/timeout.ts";
import { compress, responseEncodings } from "../http/content-coding.ts";
import { type RequestHead, rawQuery } from "../http/request.ts";
import { isGone, onClose, send } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import { answerHeaders, answerJson, isHeld, weakEtag, withVary } from "./answer.ts";
import { mergeBody } from "./body.ts";
import { isHttpBody, rawAnswer } from "./http-body.ts";
import { chooseEncoding, chooseMediaType } from "./negotiation.ts";
import { bindPath } from "./path-binding.ts";
import { bindQuery } from "./query.ts";
import type { Route } from "./route-table.ts";
import { codeOf, HttpRefusalError, sendStatus, toStatusJson } from "./status.ts";
import { streamTypes, writeRawStream, writeStream } from "./stream.ts";

export interface RestExchange extends RpcExchange {
  /** The request as its call is told of it. */
  readonly head: RequestHead;
  readonly route: Route;
  /** The path's values, percent-decoded, in the order of the route's variables. */
  readonly pathValues: readonly string[];
}

/** What the REST codec shares between its requests. */
export interface RestOptions extends CallOptions {
  /** The message types that `google.protobuf.Any` may hold, in requests and answers. */
  readonly registry: Registry;
  /**
   * Whether what no field takes is passed over: fields of a body, parameters of a query, and a body where the rule has none.
   * Default false: it is refused, because a misspelt name would be lost without a word.
   */
  readonly ignoreUnknown?: boolean;
  /**
   * Whether a request header `Grpc-Metadata-X` counts as `X`, as it does to grpc-gateway and the clients that were made for it.
   * Default false: to filters in front, it is a header that they do not know. Where both are sent with different values, the
   * answer is 400.
   */
  readonly grpcMetadataHeaders?: boolean;
  /** Paths that are served by others: a rule that has one of them is an error at start. */
  readonly reservedPaths?: readonly string[];
  /** Whether answers to GET carry an ETag and may be kept by the caller for comparison. Default false: `no-store`. */
  readonly etags?: boolean;
  /** Told of a failure that is a bug and that nobody else reports. The caller is answered with `internal`. */
  readonly onFailure: OnFailure;
}

/** REST JSON as google.api.http rules describe it: a request becomes the same in-process call as in any other protocol. */
export interface RestCodec extends Pick<Codec, "protocol" | "refuse"> {
  serve(exchange: RestExchange): Promise<Outcome>;
}

const json = "application/json";

/** REST has no such header of its own, so those that callers know are all taken. */
const timeHeaders = ["grpc-timeout", "connect-timeout-ms", "x-server-timeout"] as const;

export function createRestCodec(options: RestOptions): RestCodec {
  const { registry, maxRequestBytes: maxBytes, ignoreUnknown = false, etags = false } = options;

  /** Body, then query, then path: nothing overrides what the path says. */
  async function readMessage({ route, request, pathValues }: RestExchange): Promise<Message> {
    // Told no sooner, as on every protocol: the gate comes first.
    const { error } = readTimeout(request.headers, ...timeHeaders);
    if (error !== undefined) throw error;
    const { input } = route.rpc.spec.method;
    const message = create(input);
    const target = reflect(input, message);
    await mergeBody(target, route, request, { maxBytes, registry, ignoreUnknown });
    const query = rawQuery(request);
    if (query !== "") bindQuery(target, route, query, { registry, ignoreUnknown });
    bindPath(target, route, { pathValues, overrides: ignoreUnknown, registry });
    return message;
  }

  async function serveUnary(exchange: RestExchange, context: CallContext): Promise<void> {
    const { route, request, response } = exchange;
    const { spec } = route.rpc;
    if (spec.kind !== "unary") throw new Error(`${spec.method.name} is not unary`);
    const { output } = spec.method;
    const isRaw = isRawAnswer(route);
    const readAcceptable = () => {
      if (!isRaw) requireAcceptable(request.headers.accept, [json]);
      return readMessage(exchange);
    };
    const answer = await callUnary({ spec, context, readMessage: async () => readAcceptable() }, options);
    const headers = { "cache-control": "no-store", ...answerHeaders(context) };
    if (isRaw) {
      const { contentType, data } = rawAnswer(rawPart(answer, route));
      const body = Buffer.from(data);
      return sendBody(exchange, {
        body,
        headers: { ...headers, "content-type": contentType, "x-content-type-options": "nosniff" },
      });
    }
    const value = answerJson(answer, output, { registry, field: route.responseBody });
    const body = Buffer.from(JSON.stringify(value));
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (!etags || !isRead) return sendCompressed(exchange, body, { ...headers, "content-type": json });
    const etag = context.responseHeader.get("etag") ?? weakEtag(body);
    const kept = { "cache-control": "private, no-cache", ...answerHeaders(context), etag };
    if (isHeld(request, etag)) return send(response, { status: 304, header: withVary(kept, "Accept-Encoding") });
    return sendCompressed(exchange, body, { ...kept, "content-type": json });
  }

  async function serveStream(exchange: RestExchange, context: CallContext): Promise<Outcome> {
    const { route, request, response } = exchange;
    const { spec } = route.rpc;
    if (spec.kind !== "server_streaming") throw new Error(`${spec.method.name} does not stream`);
    const isRaw = isRawAnswer(route);
    let type = "";
    const readAcceptable = () => {
      if (!isRaw) type = requireAcceptable(request.headers.accept, streamTypes);
      return readMessage(exchange);
    };
    const answers = callServerStream({ spec, context, readMessage: async () => readAcceptable() }, options);
    const headers = () => withVary(answerHeaders(context), "Accept");
    const isHead = request.method === "HEAD";
    let outcome: Outcome = 0;
    const onFailure = (reason: unknown): void => {
      outcome = codeOf(reason);
      if (!(reason instanceof ConnectError)) options.onFailure(reason, exchange.contextValues);
    };
    if (isRaw) {
      const chunks = map(answers, (answer) => rawAnswer(rawPart(answer, route)));
      await writeRawStream({ response, isHead, chunks, headers, onFailure, signal: context.signal });
      return outcome;
    }
    const { output } = spec.method;
    const toJson = (answer: Message) => answerJson(answer, output, { registry, field: route.responseBody });
    await writeStream({
      response,
      isHead,
      type: () => type,
      signal: context.signal,
      headers,
      messages: map(answers, toJson),
      toStatus(reason) {
        onFailure(reason);
        return toStatusJson(reason, registry);
      },
    });
    return outcome;
  }

  return {
    protocol: "rest",
    refuse: (response, { error, status, header }) => {
      sendStatus(response, new HttpRefusalError({ error, status, ...(header && { header }) }), { registry });
    },

    async serve(exchange) {
      const { route, request, response, head } = exchange;
      const { timeoutMs } = readTimeout(request.headers, ...timeHeaders);
      const { method } = route.rpc.spec;
      const context = new CallContext({
        method,
        protocolName: "rest",
        head,
        values: exchange.contextValues,
        timeoutMs,
      });
      onClose(request, response, () => context.abortAsGone());
      if (exchange.end !== undefined) abortWith(context, exchange.end);
      try {
        let outcome: Outcome = 0;
        if (route.rpc.spec.kind === "unary") await serveUnary(exchange, context);
        else outcome = await serveStream(exchange, context);
        return isCut(response) ? Code.Canceled : outcome;
      } catch (reason) {
        // Interceptors and gate have mapped what is expected: the rest comes from an answer that cannot be encoded.
        const isExpected = reason instanceof ConnectError || reason instanceof HttpRefusalError;
        if (!isExpected && !isGone(response)) options.onFailure(reason, exchange.contextValues);
        const isHead = request.method === "HEAD";
        sendStatus(response, reason, { registry, isHead, header: answerHeaders(context) });
        return isGone(response) ? Code.Canceled : codeOf(reason);
      } finally {
        context.end();
      }
    },
  };
}

function abortWith(context: CallContext, signal: AbortSignal): void {
  if (signal.aborted) context.abort(signal.reason);
  else signal.addEventListener("abort", () => context.abort(signal.reason), { once: true });
}

/** Whether the client went before its answer was complete. */
const isCut = (response: ListenerResponse): boolean => isGone(response) && !response.writableEnded;

/** The media type to answer with. Throws a 406 that names those there are. */
function requireAcceptable(accept: string | undefined, available: readonly string[]): string {
  const chosen = chooseMediaType(accept, available);
  if (chosen !== undefined) return chosen;
  throw new HttpRefusalError({
    error: new ConnectError(`the answer comes as ${available.join(" or ")}: accept it`, Code.InvalidArgument),
    status: 406,
  });
}

const rawDesc = ({ rpc, responseBody }: Route): DescMessage | undefined => {
  if (responseBody === undefined) return rpc.spec.method.output;
  return responseBody.fieldKind === "message" ? responseBody.message : undefined;
};

const isRawAnswer = (route: Route): boolean => isHttpBody(rawDesc(route));

/** The HttpBody of an answer: the whole, or the field that is the response body. */
function rawPart(answer: Message, route: Route): Message {
  const desc = rawDesc(route);
  if (route.responseBody === undefined || desc === undefined) return answer;
  const fields = reflect(route.rpc.spec.method.output, answer);
  return fields.isSet(route.responseBody) ? (fields.get(route.responseBody) as ReflectMessage).message : create(desc);
}

async function sendCompressed(exchange: RestExchange, body: Buffer, header: OutgoingHttpHeaders): Promise<void> {
  const encoding = chooseEncoding(exchange.request.headers["accept-encoding"] as string | undefined, responseEncodings);
  const headers = withVary(header, "Accept-Encoding");
  const compressing = compress(body, encoding);
  if (compressing === undefined) return sendBody(exchange, { body, headers });
  sendBody(exchange, { body: await compressing, headers: { ...headers, "content-encoding": encoding } });
}

function sendBody(
  { request, response }: Pick<RestExchange, "request"> & { readonly response: ListenerResponse },
  { body, headers: header }: { readonly body: Buffer; readonly headers: OutgoingHttpHeaders },
): void {
  if (request.method === "HEAD") send(response, { status: 200, header: { ...header, "content-length": body.length } });
  else send(response, { status: 200, header, body });
}

async function* map<A, B>(all: AsyncIterable<A>, change: (one: A) => B): AsyncIterable<B> {
  for await (const one of all) yield change(one);
}
