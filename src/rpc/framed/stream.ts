import type { JsonReadOptions, JsonWriteOptions } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createConnectRouter,
  createContextKey,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { admit, applyPathBinding, type CallOptions, pathBindingKey, untilAborted, whileCalled } from "../call/call.ts";
import type { CallerTurns } from "../call/caller-turns.ts";
import type { RpcExchange } from "../call/exchange.ts";
import { type OnFailure, type Outcome, withOutcome } from "../call/outcome.ts";
import { compressions, knownEncodings } from "../http/content-coding.ts";
import { withoutConnection } from "../http/headers.ts";
import { mediaType } from "../http/request.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import { unreadAnswer } from "../listener/unread.ts";
import type { RpcTable } from "../rpc-table.ts";
import { withCheckedMessages, withoutFarDeadline } from "./stream-request.ts";

export interface StockOptions extends CallOptions {
  readonly jsonOptions: Partial<JsonReadOptions & JsonWriteOptions>;
  /** Told of what interceptors and implementations throw that is no ConnectError: Connect's handlers answer, and forget it. */
  readonly onFailure: OnFailure;
}

/** One request and the RPC it is for, to be served by Connect's own handlers. */
export interface StockCall extends RpcExchange {
  /** Wraps the framing of the request, where it is a form that Connect does not know. */
  readonly decodeRequest?: (request: UniversalServerRequest) => UniversalServerRequest;
  readonly encodeResponse?: (response: UniversalServerResponse) => UniversalServerResponse;
}

/** Serves gRPC, gRPC-Web and Connect by Connect's own handlers; the content type tells which. */
export type ServeStock = (call: StockCall) => Promise<Outcome>;

/** Builds Connect's handlers for every RPC of the table. */
export function createStock(rpcs: RpcTable, options: StockOptions): ServeStock {
  const router = createConnectRouter({
    interceptors: [
      endWithCall,
      endTurn(options.turns),
      tellFailures(options.onFailure),
      applyPathBinding,
      ...options.interceptors,
    ],
    requestGate: async (context) => {
      context.values.set(admittedKey, await admit(context, options));
    },
    readMaxBytes: options.maxRequestBytes,
    jsonOptions: options.jsonOptions,
    acceptCompression: compressions,
  });
  for (const { spec } of rpcs.values()) router.rpc(spec.method, spec.impl as never);
  const handlers = new Map<string, UniversalHandler>(router.handlers.map((handler) => [handler.requestPath, handler]));

  const checkOptions = { maxBytes: options.maxRequestBytes, jsonOptions: options.jsonOptions };

  const serve: ServeStock = async (call) => {
    const { rpc, request, response, contextValues, end, bindPath, decodeRequest, encodeResponse } = call;
    contextValues.set(pathBindingKey, bindPath);
    const handle = handlers.get(rpc.path);
    if (handle === undefined) throw new Error(`no handler for ${rpc.path}`);
    const received = universalRequestFromNodeRequest(request, response as never, undefined, contextValues);
    if (end !== undefined) Object.assign(received, { signal: AbortSignal.any([received.signal as AbortSignal, end]) });
    let sent = received.body as AsyncIterable<Uint8Array>;
    if (!("stream" in request)) {
      // A reading that ends early destroys the request by default, and the connection would never be read again.
      sent = request.iterator({ destroyOnReturn: false });
      response.once("finish", () => request.resume());
    }
    Object.assign(received, { body: untilGone(sent) });
    // Connect takes no parameter it does not expect, and letter case does not count (RFC 9110, 8.3.1).
    received.header.set("content-type", mediaType(request));
    const decoded = withoutFarDeadline(decodeRequest?.(received) ?? received);
    const checked = withCheckedMessages(decoded, rpc.spec.method.input, checkOptions);
    const closed = new Promise<void>((resolve) => response.once("close", resolve));
    const { answer, outcome } = withOutcome(await handle(checked));
    const encoding = received.header.get("grpc-encoding");
    if (encoding !== null && !knownEncodings.includes(encoding))
      answer.header?.set("grpc-accept-encoding", knownEncodings.join(","));
    const { status, body, ...rest } = encodeResponse?.(answer) ?? answer;
    const toSend = {
      status,
      ...(body && { body: countUnread(body as AsyncIterable<Uint8Array>, response) }),
      // Looked at when the implementation has said its last: headers with its first answer, and trailers after all of them.
      get header() {
        return withoutConnection(rest.header);
      },
      get trailer() {
        return withoutConnection(rest.trailer);
      },
    };
    // It waits for an event that no response has (connect-node 2.2.0), so by itself it would resolve never.
    await Promise.race([universalResponseToNodeResponse(toSend as UniversalServerResponse, response), closed]);
    return response.writableEnded ? outcome() : Code.Canceled;
  };

  return async (call) => {
    try {
      return await serve(call);
    } finally {
      // Of a call that did not reach its implementation.
      const caller = takeAdmitted(call.contextValues);
      if (caller !== undefined) options.turns?.end(caller);
    }
  };
}

/** The caller whose turn ends with the call. */
const admittedKey = createContextKey<string | undefined>(undefined, { description: "admitted" });

/** Whoever takes it ends the turn, so that it ends once. */
function takeAdmitted(values: ContextValues): string | undefined {
  const caller = values.get(admittedKey);
  values.delete(admittedKey);
  return caller;
}

/** Ends the turn of a call with its implementation, which may go on after its deadline or without its client. */
function endTurn(turns: CallerTurns | undefined): Interceptor {
  return (next) => async (request) => {
    const caller = takeAdmitted(request.contextValues);
    try {
      return await next(request);
    } finally {
      if (caller !== undefined) turns?.end(caller);
    }
  };
}

/** Counts each piece of a body from when it is asked for until the next one is, which is when it has been taken. */
async function* countUnread(body: AsyncIterable<Uint8Array>, response: ListenerResponse): AsyncIterable<Uint8Array> {
  const unread = unreadAnswer(response);
  for await (const bytes of body) {
    unread?.wait(bytes.length);
    yield bytes;
    unread?.taken();
  }
}

/**
 * Ends each call with the reason of its signal, such as a deadline that has passed, whether or not its implementation looks at
 * it: Connect's handlers wait for one that does not, and take one that stops without a word for complete.
 */
const endWithCall: Interceptor = (next) => async (request) => {
  request.signal.throwIfAborted();
  const response = await untilAborted(next(request), request.signal);
  return response.stream ? { ...response, message: whileCalled(response.message, request.signal) } : response;
};
/** A body that breaks off: its client has gone, which Node tells in a dozen ways, by its errors of streams and of the system. */
async function* untilGone(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw new ConnectError("the client is gone", Code.Canceled, undefined, undefined, cause);
  }
}

/** What an implementation throws because its client has gone is no failure. */
function tellFailures(onFailure: OnFailure): Interceptor {
  return (next) => async (request) => {
    const tell = (reason: unknown): never => {
      if (!(reason instanceof ConnectError) && !request.signal.aborted) onFailure(reason, request.contextValues);
      throw reason;
    };
    const response = await next(request).catch(tell);
    return response.stream ? { ...response, message: untilThrown(response.message, tell) } : response;
  };
}

async function* untilThrown<Item>(items: AsyncIterable<Item>, tell: (reason: unknown) => never): AsyncIterable<Item> {
  try {
    yield* items;
  } catch (reason) {
    tell(reason);
  }
}
