import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { HttpRequest } from "./http.ts";
import { fitInHeap, type Share, Shares } from "./listener/shares.ts";

export interface PublicStreamOptions {
  /** Whether an RPC can be called by anybody, without a token. Unary ones are not asked for. */
  isPublic(method: DescMethod): boolean;
  /**
   * Streams of these RPCs on one connection, of either version of HTTP. Default 32: a proxy may carry many callers on one
   * connection, and each of them watches once.
   */
  readonly mostOnConnection?: number;
  /**
   * Streams of these RPCs on all connections. As they become few, those connections get no more that hold as many as are left.
   * Default: what fits into an eighth of the heap at 64 KiB each, which a stream takes at worst.
   */
  readonly most?: number;
  /**
   * How long such a stream may last, in milliseconds; up to a tenth less, so that those that began together do not end together.
   * Default an hour: clients ask again, and a client that forgot its stream holds it no longer.
   */
  readonly maxAgeMs?: number;
}

/** One stream that anybody may open. */
export interface PublicStream {
  /** Aborted where the stream has to end; at once where there is no place for it. Its reason is what the caller is told. */
  readonly signal: AbortSignal;
  /** To be called at its end. */
  end(): void;
}

/** Bounds what callers without a token hold by streams: one costs them 50 bytes, and the server a thousand times as many. */
export class PublicStreams {
  readonly #isPublic: PublicStreamOptions["isPublic"];
  readonly #maxAgeMs: number;
  readonly #shares: Shares;
  readonly #connections = new WeakMap<object, Share>();

  constructor(options: PublicStreamOptions) {
    const { isPublic, mostOnConnection = 32, maxAgeMs = 3_600_000 } = options;
    const { most = fitInHeap({ part: 1 / 8, bytes: 64 * 1024 }) } = options;
    this.#isPublic = isPublic;
    this.#maxAgeMs = maxAgeMs;
    this.#shares = new Shares({ most, mostEach: mostOnConnection });
  }

  /** Absent where the RPC is none of those that count. */
  begin(method: DescMethod | undefined, request: HttpRequest): PublicStream | undefined {
    if (method === undefined || method.methodKind === "unary" || !this.#isPublic(method)) return undefined;
    const share = this.#shareOf(request);
    if (share.isFull)
      return { signal: AbortSignal.abort(share.held === 0 ? serverFull() : connectionFull()), end() {} };
    share.take();
    const controller = new AbortController();
    const ageMs = this.#maxAgeMs * (1 - Math.random() / 10);
    const timer = setTimeout(() => controller.abort(tooOld()), ageMs).unref();
    return {
      signal: controller.signal,
      end() {
        clearTimeout(timer);
        share.giveBack();
      },
    };
  }

  #shareOf(request: HttpRequest): Share {
    // The socket of a request over HTTP/2 is another object for each.
    const connection = ("stream" in request && request.stream.session) || request.socket;
    const share = this.#connections.get(connection) ?? this.#shares.open();
    this.#connections.set(connection, share);
    return share;
  }
}

const connectionFull = () =>
  new ConnectError(
    "this connection holds too many streams that need no token: end one of them, or call on another connection",
    Code.ResourceExhausted,
  );
const serverFull = () =>
  new ConnectError("the server holds too many streams that need no token: try again later", Code.Unavailable);
const tooOld = () => new ConnectError("a stream that needs no token ends after a while: call again", Code.Unavailable);
