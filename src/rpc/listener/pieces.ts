import { Readable } from "node:stream";

/** A piece of this size is worth an object of its own. */
const worthBytes = 512;
const leastBytes = 1024;

/** More pieces come together with the head of a request only where a client makes them small on purpose. */
const usualPieces = 16;

const joinedAtStart = new WeakSet<Readable>();

/** Whether the start of a body was read only to be joined: it is still there to be read. */
export const wasJoinedAtStart = (body: Readable): boolean => joinedAtStart.has(body);

/** Undocumented properties of a stream; pinned by a test. */
type WithPieces = Readable & { readonly _readableState?: { readonly buffer?: { readonly length: number } } };

/** Joins what a body holds already: over HTTP/2, Node emits a request after it has taken all that came together with its head. */
export function joinStart(body: Readable): void {
  if (((body as WithPieces)._readableState?.buffer?.length ?? 0) <= usualPieces) return;
  joinedAtStart.add(body);
  const start = body.read();
  if (start !== null) body.unshift(start);
}

/**
 * Joins the small pieces of request bodies that wait to be read. Pieces of a byte cost a client six to ten bytes each, and kept
 * apart they would take a hundred. They are copied at once, and passed on in the next turn of the event loop.
 */
export class Pieces {
  readonly #waiting = new Map<Readable, Joined>();

  /** Replaces the body's own `push`. */
  push(body: Readable, chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    const waiting = this.#waiting.get(body);
    if (chunk === null || chunk.length >= worthBytes || (waiting === undefined && body.readableLength === 0)) {
      if (waiting !== undefined) this.#pass(body, waiting);
      return Readable.prototype.push.call(body, chunk, encoding);
    }
    const joined = waiting ?? { bytes: Buffer.allocUnsafe(leastBytes), length: 0 };
    append(joined, chunk);
    if (waiting === undefined) {
      this.#waiting.set(body, joined);
      if (this.#waiting.size === 1) setImmediate(() => this.#passAll());
    }
    return body.readableLength + joined.length < body.readableHighWaterMark;
  }

  #passAll(): void {
    for (const [body, joined] of this.#waiting) this.#pass(body, joined);
  }

  #pass(body: Readable, { bytes, length }: Joined): void {
    this.#waiting.delete(body);
    if (!body.destroyed) Readable.prototype.push.call(body, bytes.subarray(0, length));
  }
}

interface Joined {
  bytes: Buffer;
  length: number;
}

function append(joined: Joined, chunk: Buffer): void {
  const length = joined.length + chunk.length;
  if (length > joined.bytes.length) {
    const larger = Buffer.allocUnsafe(2 * length);
    larger.set(joined.bytes.subarray(0, joined.length));
    joined.bytes = larger;
  }
  joined.bytes.set(chunk, joined.length);
  joined.length = length;
}
