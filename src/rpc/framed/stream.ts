import type { ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createConnectRouter,
  createContextKey,
  type Interceptor,
} from "@connectrpc/connect";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import { admitStream } from "../call/admit.ts";
import type { CallerTurns } from "../call/caller-turns.ts";
import type { NodeExchange } from "../call/exchange.ts";
import type { OnFailure, Outcome } from "../call/outcome.ts";
import { createOutlet } from "../call/outlet.ts";
import { untilAborted, whileCalled } from "../call/until-aborted.ts";
import type { Target } from "../codec.ts";
import { compressions, knownEncodings } from "../http/content-coding.ts";
import { connectionHeaders, toNodeHeaders } from "../http/headers.ts";
import { mediaType } from "../http/request.ts";
import { isGone } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import type { RpcTable } from "../rpc-table.ts";
import type { FramedOptions } from "./options.ts";
import { withOutcome } from "./stream-outcome.ts";
import { withCheckedMessages, withoutFarDeadline } from "./stream-request.ts";
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from "./universal.ts";

/** How a protocol's framing differs from the one that Connect's handlers know. */
export interface Reframing {
  readonly decodeRequest?: (request: UniversalServerRequest) => UniversalServerRequest;
  readonly encodeResponse?: (response: UniversalServerResponse) => UniversalServerResponse;
}

/** Serves any call of gRPC, gRPC-Web and Connect by Connect's own handlers; the content type says the protocol. */
export type ServeStream = (exchange: NodeExchange, target: Target, reframing: Reframing) => Promise<Outcome>;

/** Builds Connect's handlers for every RPC of the table. */
export function createServeStream(rpcs: RpcTable, options: FramedOptions): ServeStream {
  const { turns, maxRequestBytes: maxBytes, jsonOptions } = options;
  const router = createConnectRouter({
    interceptors: [
      endWithCall,
      endTurn(turns),
      reportFailures(options.onFailure),
      applyPathBinding,
      ...options.interceptors,
    ],
    requestGate: async (context) => {
      context.values.set(admittedKey, await admitStream(context, options));
    },
    readMaxBytes: maxBytes,
    jsonOptions,
    acceptCompression: compressions,
  });
  for (const { spec } of rpcs.values()) router.rpc(spec.method, spec.impl as never);
  const handlers = new Map<string, UniversalHandler>(router.handlers.map((handler) => [handler.requestPath, handler]));

  return async (exchange, { rpc, bindPath }, { decodeRequest, encodeResponse }) => {
    const { response, contextValues } = exchange;
    const handle = handlers.get(rpc.path);
    if (handle === undefined) throw new Error(`no handler for ${rpc.path}`);
    contextValues.set(pathBindingKey, bindPath);
    const received = receive(exchange);
    const request = withoutFarDeadline(decodeRequest?.(received) ?? received);
    try {
      const handled = await handle(withCheckedMessages(request, rpc.spec.method.input, { maxBytes, jsonOptions }));
      const { answer, outcome } = withOutcome(handled);
      const encoding = received.header.get("grpc-encoding");
      if (encoding !== null && !knownEncodings.includes(encoding))
        answer.header?.set("grpc-accept-encoding", knownEncodings.join(","));
      await sendAnswer(encodeResponse?.(answer) ?? answer, { response, signal: received.signal as AbortSignal });
      return response.writableEnded ? outcome() : Code.Canceled;
    } finally {
      // The call may have ended before its implementation, with which its turn would end.
      const caller = takeAdmitted(contextValues);
      if (caller !== undefined) turns?.end(caller);
    }
  };
}

/** The request as Connect's handlers take it. */
function receive({ request, response, contextValues, end }: NodeExchange): UniversalServerRequest {
  const received = universalRequestFromNodeRequest(request, response as never, undefined, contextValues);
  let body = received.body as AsyncIterable<Uint8Array>;
  if (!("stream" in request)) {
    // By default, a loop that ends early destroys the request, and the connection would never be read again.
    body = request.iterator({ destroyOnReturn: false });
    response.once("finish", () => request.resume());
  }
  // Connect takes no parameter it does not expect, and letter case does not count (RFC 9110, 8.3.1).
  received.header.set("content-type", mediaType(request));
  return Object.assign(received, {
    body: untilGone(body),
    ...(end && { signal: AbortSignal.any([received.signal as AbortSignal, end]) }),
  });
}

/**
 * Sends an answer of Connect's handlers, and waits until the client has it or is gone. Headers wait for the first piece, and
 * trailers for the last, because the implementation may set some until then. connect-node's own function reads a request over
 * HTTP/1.1 to its end first (2.3.0): a client that waits for the answer to an early refusal would wait in vain.
 */
async function sendAnswer(
  { status, header, body, trailer }: UniversalServerResponse,
  { response, signal }: { readonly response: ListenerResponse; readonly signal: AbortSignal },
): Promise<void> {
  // Both response types have these calls; the package "compression" of Express adds flush(), without which it holds pieces back.
  const out = response as ServerResponse & { flush?(): void };
  const outlet = createOutlet(response, signal);
  const closed = new Promise<void>((resolve) => response.once("close", resolve));
  const begin = () => {
    if (!out.headersSent) out.writeHead(status, header && toNodeHeaders(header, connectionHeaders));
  };
  for await (const bytes of body ?? []) {
    if (isGone(response)) return;
    begin();
    const isTaken = outlet.write(bytes);
    out.flush?.();
    if (!isTaken) await outlet.drained();
  }
  if (isGone(response)) return;
  begin();
  const trailers = trailer && toNodeHeaders(trailer, connectionHeaders);
  if (trailers !== undefined) out.addTrailers(trailers);
  out.end();
  await closed;
}

/** Holds the path's values while a call in another framing runs on a REST route. */
const pathBindingKey = createContextKey<Target["bindPath"]>(undefined, { description: "path binding" });

/** Applies the path's values to every decoded message before any other interceptor sees it. */
const applyPathBinding: Interceptor = (next) => (request) => {
  const bind = request.contextValues.get(pathBindingKey);
  if (bind === undefined) return next(request);
  if (request.stream) return next({ ...request, message: bindEach(request.message, bind) });
  bind(request.message);
  return next(request);
};

async function* bindEach<T extends Message>(messages: AsyncIterable<T>, bind: (message: T) => void): AsyncIterable<T> {
  for await (const message of messages) {
    bind(message);
    yield message;
  }
}

/** The caller whose turn ends with the call. */
const admittedKey = createContextKey<string | undefined>(undefined, { description: "admitted" });

/** The taker ends the turn, so that it ends once. */
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

/**
 * Ends each call with the reason of its signal, such as a deadline that has passed, whether or not its implementation looks at
 * it: Connect's handlers wait for one that does not, and take one that stops without an error for complete.
 */
const endWithCall: Interceptor = (next) => async (request) => {
  request.signal.throwIfAborted();
  const response = await untilAborted(next(request), request.signal);
  return response.stream ? { ...response, message: whileCalled(response.message, request.signal) } : response;
};

/** A body that breaks off: its client has gone, for which Node has a dozen errors, of streams and of the system. */
async function* untilGone(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw new ConnectError("the client is gone", Code.Canceled, undefined, undefined, cause);
  }
}

/**
 * Reports what interceptors and implementations throw that is no ConnectError: Connect's handlers answer, and forget it. After the
 * client has gone, it is no failure.
 */
function reportFailures(onFailure: OnFailure): Interceptor {
  return (next) => async (request) => {
    const report = (reason: unknown): never => {
      if (!(reason instanceof ConnectError) && !request.signal.aborted) onFailure(reason, request.contextValues);
      throw reason;
    };
    const response = await next(request).catch(report);
    return response.stream ? { ...response, message: untilThrown(response.message, report) } : response;
  };
}

async function* untilThrown<Item>(items: AsyncIterable<Item>, report: (reason: unknown) => never): AsyncIterable<Item> {
  try {
    yield* items;
  } catch (reason) {
    report(reason);
  }
}
