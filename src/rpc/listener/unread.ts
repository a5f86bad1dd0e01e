import type { ServerResponse } from "node:http";
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import type { CountCut } from "./cuts.ts";
import type { ListenerLimits } from "./limits.ts";

/** Where an answer goes: its stream over HTTP/2, otherwise its response. */
type Out = ServerHttp2Stream | ServerResponse;

/**
 * A smaller answer does not count: the number of answers is bounded by streams and connections, and counting would cost each
 * call.
 */
export const uncountedBytes = 16 * 1024;

/** Which `Unread` counts for a connection: a session of HTTP/2, otherwise a socket. */
const counting = new WeakMap<object, Unread>();

/**
 * Whether so much waits for the client of an answer that its call should wait: a client that calls faster than it reads is
 * served as fast as it reads.
 */
export function isBehind(response: Out | Http2ServerResponse): boolean {
  const connection = connectionOf(response);
  return connection !== undefined && (counting.get(connection)?.isBehind(connection) ?? false);
}

/** Resolves when the client has taken enough, or is gone. Call it only where the client is behind. */
export function untilRead(response: Out | Http2ServerResponse): Promise<void> {
  const connection = connectionOf(response);
  return (connection && counting.get(connection)?.untilRead(connection)) ?? Promise.resolve();
}

/** The count for an answer. Undefined where the connection is gone, or is not of a listener of this package. */
export function unreadAnswer(response: Out | Http2ServerResponse): UnreadAnswer | undefined {
  const connection = connectionOf(response);
  return connection && counting.get(connection)?.open(connection, outOf(response));
}

const outOf = (response: Out | Http2ServerResponse): Out => ("stream" in response ? response.stream : response);

function connectionOf(response: Out | Http2ServerResponse): object | undefined {
  const out: Out | undefined = outOf(response);
  return out && ("session" in out ? out.session : (out as ServerResponse).req.socket);
}

/**
 * Counts the bytes of answers that were written and not taken. Where one connection, or all together, have too many, the answer
 * with most of them is cut, on the connection that holds most.
 */
export class Unread {
  readonly #limits: Pick<ListenerLimits, "maxUnreadBytes" | "maxUnreadBytesOnConnection">;
  readonly #onCut: CountCut;
  readonly #connections = new WeakMap<object, Holder>();
  readonly #holders = new Set<Holder>();
  #bytes = 0;

  constructor({ limits, onCut }: { readonly limits: ListenerLimits; readonly onCut: CountCut }) {
    this.#limits = limits;
    this.#onCut = onCut;
  }

  /** Counts for this connection from now on. */
  watch(connection: object): void {
    counting.set(connection, this);
  }

  open(connection: object, out: Out): UnreadAnswer {
    const holder = this.#connections.get(connection) ?? { bytes: 0, answers: new Set<UnreadAnswer>(), waiting: [] };
    this.#connections.set(connection, holder);
    return new UnreadAnswer(out, (answer, bytes) => this.#add(holder, answer, bytes));
  }

  isBehind(connection: object): boolean {
    if (this.#bytes === 0) return false;
    const holder = this.#connections.get(connection);
    return holder !== undefined && this.#isSlow(holder);
  }

  untilRead(connection: object): Promise<void> | undefined {
    const holder = this.#connections.get(connection);
    return holder && new Promise((resolve) => holder.waiting.push(resolve));
  }

  #isSlow({ bytes }: Holder): boolean {
    return bytes > this.#limits.maxUnreadBytesOnConnection / 4;
  }

  /** One in each turn, so that what it answers counts soon after. */
  #wake(holder: Holder): void {
    if (this.#isSlow(holder)) return;
    holder.waiting.shift()?.();
    if (holder.waiting.length > 0) setImmediate(() => this.#wake(holder));
  }

  #add(holder: Holder, answer: UnreadAnswer, bytes: number): void {
    this.#bytes += bytes;
    holder.bytes += bytes;
    if (answer.bytes > 0) holder.answers.add(answer);
    else holder.answers.delete(answer);
    if (holder.bytes > 0) this.#holders.add(holder);
    else this.#holders.delete(holder);
    if (bytes < 0) this.#wake(holder);
    else if (holder.bytes > this.#limits.maxUnreadBytesOnConnection) this.#cut(holder);
    else if (this.#bytes > this.#limits.maxUnreadBytes) this.#cut(largest(this.#holders));
  }

  #cut(holder: Holder | undefined): void {
    const answer = largest(holder?.answers ?? []);
    if (answer === undefined) return;
    this.#onCut("too_much_unread");
    answer.cut();
  }
}

/** What one connection holds. */
interface Holder {
  bytes: number;
  readonly answers: Set<UnreadAnswer>;
  /** Calls that begin when its client has read. */
  readonly waiting: (() => void)[];
}

function largest<Counted extends { readonly bytes: number }>(all: Iterable<Counted>): Counted | undefined {
  let most: Counted | undefined;
  for (const one of all) if (one.bytes > (most?.bytes ?? 0)) most = one;
  return most;
}

/** The bytes of one answer that wait for its client. */
export class UnreadAnswer {
  bytes = 0;
  readonly #out: Out;
  readonly #add: (answer: UnreadAnswer, bytes: number) => void;
  #isWatched = false;

  constructor(out: Out, add: (answer: UnreadAnswer, bytes: number) => void) {
    this.#out = out;
    this.#add = add;
  }

  /** Counts what is written, until it is `taken` or the answer ends. */
  wait(bytes: number): void {
    if (bytes <= uncountedBytes || this.#out.destroyed) return;
    if (!this.#isWatched) this.#out.once("close", () => this.taken());
    this.#isWatched = true;
    this.#change(bytes);
  }

  /** All of it has been taken, or the client is gone. */
  taken(): void {
    if (this.bytes > 0) this.#change(-this.bytes);
  }

  cut(): void {
    this.taken();
    if ("session" in this.#out) this.#out.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    else this.#out.destroy();
  }

  #change(bytes: number): void {
    this.bytes += bytes;
    this.#add(this, bytes);
  }
}
