import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import type { HttpRequest } from "./http.ts";
import { RequestHeaders } from "./request-headers.ts";

export interface CallContextInit {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly request: HttpRequest;
  readonly values: ContextValues;
  /** How long the caller waits, in milliseconds; at most what a timer can measure. */
  readonly timeoutMs?: number | undefined;
}

/** Made once: an AbortController that is given no reason makes a DOMException, which costs more than most calls. */
const ended = new ConnectError("the call has ended", Code.Canceled);

/**
 * What a gate, an interceptor and an implementation know of a call; its deadline, and its end. Its properties are its own, so
 * that a copy (`{ ...context, values }`) is whole.
 */
export class CallContext implements HandlerContext {
  readonly method: DescMethod;
  readonly service: DescMethod["parent"];
  readonly protocolName: string;
  readonly requestMethod: string;
  readonly url: string;
  readonly requestHeader: Headers;
  readonly responseHeader = new Headers();
  readonly responseTrailer = new Headers();
  readonly values: ContextValues;
  readonly timeoutMs: () => number | undefined;
  readonly signal: AbortSignal;

  readonly #controller = new AbortController();
  #deadline: NodeJS.Timeout | undefined;
  /** Why the call is over: its deadline, its caller gone, or its answer. */
  #end: unknown;
  #reject: ((reason: unknown) => void) | undefined;

  constructor({ method, protocolName, request, values, timeoutMs }: CallContextInit) {
    this.method = method;
    this.service = method.parent;
    this.protocolName = protocolName;
    this.requestMethod = request.method ?? "";
    this.url = urlOf(request);
    this.requestHeader = new RequestHeaders(request.headers);
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
    this.signal = this.#controller.signal;
  }

  /** What the work comes to, or why the call was aborted before: not every implementation looks at the signal. */
  untilAborted<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) reject(this.#end);
      else this.#reject = reject;
      work.then(resolve, reject);
    });
  }

  /** Ends the call for a reason that its implementation is told by the signal. Only the first end counts. */
  abort(reason: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    clearTimeout(this.#deadline);
    this.#reject?.(reason);
    this.#controller.abort(reason);
  }

  /** Ends the call whose answer is there. */
  end(): void {
    this.abort(ended);
  }
}

const noDeadline = (): undefined => undefined;

function urlOf(request: HttpRequest): string {
  const { headers, url = "" } = request;
  // As clients send it: no server could know better behind a proxy.
  if (!url.startsWith("/")) return url;
  if ("stream" in request) return `${headers[":scheme"]}://${headers[":authority"] ?? headers.host}${url}`;
  return `${"encrypted" in request.socket ? "https" : "http"}://${headers.host}${url}`;
}
