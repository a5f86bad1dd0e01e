import type { Readable } from "node:stream";

/** As much of the start of a body as `readBody` shows before the rest is there. */
export const shownBytes = 8;

/**
 * Reads a request body to its end. Each time that more has come, `check` gets its length so far, and the start: at least
 * `shownBytes` of it, as soon as they are there. The promise rejects with what it throws, and the rest is
 * discarded. A body that breaks off settles nothing: the end of the connection or stream ends the call.
 */
export function readBody(source: Readable, check: BodyCheck): Promise<Buffer> {
  return new Promise((resolve, reject) => listen(source, new Reading(check, { resolve, reject })));
}

type BodyCheck = (length: number, start: Buffer) => void;

interface Settle {
  resolve(body: Buffer): void;
  reject(reason: unknown): void;
}

function listen(source: Readable & { readonly aborted?: boolean }, reading: Reading): void {
  if (source.readableEnded) reading.end();
  else {
    source.on("data", (chunk: Buffer) => reading.add(chunk));
    // A stream that is reset ends too.
    source.on("end", () => source.aborted || reading.end());
  }
}

/**
 * A body that is being read. It drops what it holds when the promise settles: the garbage collector frees a stream of HTTP/2 long
 * after its call, with all that its listeners reach, and removing listeners costs more than leaving them.
 */
class Reading {
  #check: BodyCheck | undefined;
  #promise: Settle | undefined;
  #body: Buffer = empty;
  #length = 0;

  constructor(check: BodyCheck, promise: Settle) {
    this.#check = check;
    this.#promise = promise;
  }

  add(chunk: Buffer): void {
    if (this.#check === undefined) return;
    this.#append(chunk);
    try {
      this.#check(this.#length, this.#body.subarray(0, Math.min(this.#length, shownBytes)));
    } catch (reason) {
      this.#promise?.reject(reason);
      this.#release();
    }
  }

  /** A single chunk is kept as it is. Several are copied together: apart, small ones would take many times their size. */
  #append(chunk: Buffer): void {
    const before = this.#length;
    this.#length += chunk.length;
    if (before === 0) {
      this.#body = chunk;
      return;
    }
    if (this.#length > this.#body.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.#length, leastBytes));
      larger.set(this.#body.subarray(0, before));
      this.#body = larger;
    }
    this.#body.set(chunk, before);
  }

  end(): void {
    this.#promise?.resolve(this.#body.subarray(0, this.#length));
    this.#release();
  }

  #release(): void {
    this.#check = undefined;
    this.#promise = undefined;
    this.#body = empty;
  }
}

const leastBytes = 1024;
const empty = Buffer.alloc(0);
