import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { reset } from "../http/response.ts";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";
import { fitInHeap, type Share, Shares } from "../listener/shares.ts";

export interface PublicStreamOptions {
  /** Whether an RPC needs no token. Called for RPCs that are not unary. */
  isPublic(method: DescMethod): boolean;
  /**
   * Streams of these RPCs on one connection. Default 32: a proxy may carry many callers on one connection, and each of them
   * watches once. Over HTTP/1.1 a listener serves one at a time.
   */
  readonly mostOnConnection?: number;
  /**
   * Streams of these RPCs on all connections. When there are as many, a further one gets the place of the oldest one
   * on the connection that holds most, which ends with UNAVAILABLE; a connection that holds most itself is refused. Default: what
   * fits into an eighth of the heap at 64 KiB each; a health watch takes 45 kB, and reflection 55.
   */
  readonly most?: number;
  /**
   * How long such a stream may last, in milliseconds; up to a tenth less, so that those that began together do not end together.
   * Default an hour: clients ask again, and a client that forgot its stream holds it no longer.
   */
  readonly maxAgeMs?: number;
}

/** One stream that needs no token. */
export interface PublicStream {
  /** Aborted where the stream has to end. Its reason is the error that the caller gets. */
  readonly signal: AbortSignal;
  /** To be called at its end. */
  end(): void;
}

/** Bounds what callers without a token hold by streams: one costs them 50 bytes, and the server a thousand times as many. */
export class PublicStreams {
  readonly #isPublic: PublicStreamOptions["isPublic"];
  readonly #maxAgeMs: number;
  readonly #places: Shares;
  readonly #holders = new WeakMap<object, Holder>();

  constructor(options: PublicStreamOptions) {
    const { isPublic, mostOnConnection = 32, maxAgeMs = 3_600_000 } = options;
    const { most = fitInHeap({ part: 1 / 8, bytes: 64 * 1024 }) } = options;
    this.#isPublic = isPublic;
    this.#maxAgeMs = maxAgeMs;
    this.#places = new Shares({ most, mostEach: mostOnConnection });
  }

  counts(method: DescMethod): boolean {
    return method.methodKind !== "unary" && this.#isPublic(method);
  }

  /** Gives a stream that counts a place. Throws a ConnectError where there is none. */
  begin(request: ListenerRequest, response: ListenerResponse): PublicStream {
    const holder = this.#holderOf(request);
    if (!this.#places.take(holder)) throw holder.held === 0 ? serverFull() : connectionFull();
    const stream = new OpenStream(response);
    holder.streams.add(stream);
    const ageMs = this.#maxAgeMs * (1 - Math.random() / 10);
    const timer = setTimeout(() => stream.cut(tooOld()), ageMs).unref();
    return {
      signal: stream.signal,
      end: () => {
        clearTimeout(timer);
        stream.end();
        holder.streams.delete(stream);
        this.#places.giveBack(holder);
      },
    };
  }

  #holderOf(request: ListenerRequest): Holder {
    // The socket of a request over HTTP/2 is another object for each.
    const connection = ("stream" in request && request.stream.session) || request.socket;
    const holder = this.#holders.get(connection) ?? new Holder();
    this.#holders.set(connection, holder);
    return holder;
  }
}

/** The streams of one connection. */
class Holder implements Share {
  held = 0;
  /** The oldest first. */
  readonly streams = new Set<OpenStream>();

  giveUp(): boolean {
    for (const stream of this.streams) {
      if (stream.signal.aborted) continue;
      stream.cut(neededByOthers());
      return true;
    }
    return false;
  }
}

/** How long a client that does not read keeps a stream that was ended. */
const unreadMs = 1_000;

class OpenStream {
  readonly #controller = new AbortController();
  readonly #response: ListenerResponse;
  #timer: NodeJS.Timeout | undefined;

  constructor(response: ListenerResponse) {
    this.#response = response;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the stream with an error, and resets it where its client does not read even that. */
  cut(reason: ConnectError): void {
    this.#controller.abort(reason);
    this.#timer = setTimeout(() => reset(this.#response), unreadMs).unref();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

const connectionFull = () =>
  new ConnectError(
    "too many streams that need no token are open on this connection: end one of them, or call on another connection",
    Code.ResourceExhausted,
  );
const serverFull = () =>
  new ConnectError("too many streams that need no token are open on this server: try again later", Code.Unavailable);
const neededByOthers = () =>
  new ConnectError("the server needs the place of this stream for other callers: call again", Code.Unavailable);
const tooOld = () => new ConnectError("a stream that needs no token ends after a while: call again", Code.Unavailable);
