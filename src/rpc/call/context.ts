import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import type { RequestHead } from "../http/request.ts";
import type { Abortable } from "./caller-turns.ts";
import { RequestHeaders } from "./request-headers.ts";

export interface CallContextInit {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly head: RequestHead;
  readonly values: ContextValues;
  /** How long the caller waits, in milliseconds; at most what a timer can measure. */
  readonly timeoutMs?: number | undefined;
}

/** Made once: an AbortController that is given no reason makes a DOMException, which costs more than most calls. */
const ended = new ConnectError("the call has ended", Code.Canceled);

let signalOf: (context: CallContext) => AbortSignal;
const contextKey = Symbol("context");
const signalProperty = {
  get(this: { readonly [contextKey]: CallContext }) {
    return signalOf(this[contextKey]);
  },
  enumerable: true,
  configurable: true,
};

/**
 * Gives an object the signal of a context, as a property of its own. A signal is made when somebody looks: to make one and to
 * abort it at the end takes longer than the rest of many a call.
 */
export function shareSignal(target: object, context: CallContext): void {
  (target as { [contextKey]?: CallContext })[contextKey] = context;
  Object.defineProperty(target, "signal", signalProperty);
}

/**
 * What a gate, an interceptor and an implementation know of a call; its deadline, and its end. Its properties are its own, so
 * that a copy (`{ ...context, values }`) is whole.
 */
export class CallContext implements HandlerContext, Abortable {
  static {
    signalOf = (context) => {
      if (context.#controller === undefined) {
        context.#controller = new AbortController();
        if (context.#end !== undefined) context.#controller.abort(context.#end);
      }
      return context.#controller.signal;
    };
  }

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

  constructor({ method, protocolName, head, values, timeoutMs }: CallContextInit) {
    this.method = method;
    this.service = method.parent;
    this.protocolName = protocolName;
    this.requestMethod = head.method ?? "";
    this.url = urlOf(head);
    this.requestHeader = new RequestHeaders(head.headers);
    this.values = values;
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
    shareSignal(this, this);
  }

  /** What the work comes to, or why the call was aborted before: not every implementation looks at the signal. */
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

  /** Ends the call for a reason that its implementation is told by the signal. Only the first end counts. */
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
