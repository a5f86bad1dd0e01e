import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import type { RequestHead } from "../http/request.ts";
import type { Abortable } from "./caller-turns.ts";
import type { Exchange } from "./exchange.ts";
import { RequestHeaders } from "./request-headers.ts";

/** Made once: an AbortController that is given no reason makes a DOMException, which costs more than most calls. */
const ended = new ConnectError("the call has ended", Code.Canceled);

const contextKey = Symbol("context");

/**
 * What a gate, an interceptor and an implementation know of a call; its deadline, and its end. Its properties are its own, so
 * that a copy (`{ ...context, values }`) is whole.
 *
 * The signal and the request's headers are made when they are used, which `bench/suites/parts.ts` measures.
 */
export class CallContext implements HandlerContext, Abortable {
  static readonly #signalProperty = {
    get(this: { readonly [contextKey]: CallContext }) {
      return this[contextKey].#getSignal();
    },
    enumerable: true,
    configurable: true,
  };

  readonly method: DescMethod;
  readonly service: DescMethod["parent"];
  readonly protocolName: string;
  readonly requestMethod: string;
  readonly url: string;
  readonly requestHeader: Headers;
  readonly responseHeader: Headers = new Headers();
  readonly responseTrailer: Headers = new Headers();
  readonly values: ContextValues;
  readonly timeoutMs: () => number | undefined;
  declare readonly signal: AbortSignal;

  #controller: AbortController | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** Why the call is over: its deadline, its caller gone, or its answer. */
  #end: unknown;
  #reject: ((reason: unknown) => void) | undefined;
  #onAbort: ((reason: unknown) => void) | undefined;

  /** `timeoutMs` is how long the caller waits: at most what a timer can measure, and absent without a deadline. */
  constructor(
    { head, contextValues }: Pick<Exchange, "head" | "contextValues">,
    call: { readonly method: DescMethod; readonly protocolName: string; readonly timeoutMs?: number | undefined },
  ) {
    const { method, protocolName, timeoutMs } = call;
    this.method = method;
    this.service = method.parent;
    this.protocolName = protocolName;
    this.requestMethod = head.method ?? "";
    this.url = urlOf(head);
    this.requestHeader = new RequestHeaders(head.headers);
    this.values = contextValues;
    if (timeoutMs === undefined) {
      this.timeoutMs = noDeadline;
    } else {
      const end = performance.now() + timeoutMs;
      this.timeoutMs = () => end - performance.now();
      this.#deadline = setTimeout(
        () => this.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded)),
        timeoutMs,
      );
    }
    this.shareSignal(this);
  }

  /** Gives an object the signal of this context, as a property of its own. */
  shareSignal(target: object): void {
    (target as { [contextKey]?: CallContext })[contextKey] = this;
    Object.defineProperty(target, "signal", CallContext.#signalProperty);
  }

  #getSignal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#end !== undefined) this.#controller.abort(this.#end);
    }
    return this.#controller.signal;
  }

  /** Resolves as the work does. Rejects where the call is aborted before: not every implementation looks at the signal. */
  untilAborted<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) reject(this.#end);
      else this.#reject = reject;
      work.then(resolve, reject);
    });
  }

  onAbort(listener: ((reason: unknown) => void) | undefined): void {
    this.#onAbort = listener;
    if (this.#end !== undefined) listener?.(this.#end);
  }

  /** Throws the reason where the call is over. */
  throwIfAborted(): void {
    if (this.#end !== undefined) throw this.#end;
  }

  /** Ends the call. The signal has the reason. Only the first end counts. */
  abort(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    clearTimeout(this.#deadline);
    this.#onAbort?.(reason);
    this.#reject?.(reason);
    this.#controller?.abort(reason);
  }

  /** Ends the call of a client that went away. Does nothing after its end, as when a connection closes that is answered. */
  abortAsGone(): void {
    if (this.#end === undefined) this.abort(new ConnectError("the client is gone", Code.Canceled));
  }

  /** Ends the call whose answer is there. */
  end(): void {
    this.abort(ended);
  }
}

const noDeadline = (): undefined => undefined;

function urlOf(head: RequestHead): string {
  const { headers, url = "" } = head;
  // As clients send it: no server could know better behind a proxy.
  if (!url.startsWith("/")) return url;
  const scheme = headers[":scheme"] ?? ("socket" in head && "encrypted" in (head.socket as object) ? "https" : "http");
  return `${scheme as string}://${(headers[":authority"] as string | undefined) ?? headers.host}${url}`;
}
