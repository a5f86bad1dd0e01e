import { getHeapStatistics } from "node:v8";

/**
 * Places that many have to share, with no fixed part for each. When all are taken, a holder still gets a place where another
 * holds more: the one that holds most has to give one up.
 */
export class Shares {
  readonly #most: number;
  readonly #mostEach: number;
  /** All that hold any. */
  readonly #holders = new Set<Share>();
  #taken = 0;

  constructor({ most, mostEach = most }: { readonly most: number; readonly mostEach?: number }) {
    this.#most = most;
    this.#mostEach = mostEach;
  }

  /** The places that all hold together. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether a holder gets a place. It may be one more than there are until one that is given up is given back. */
  take(share: Share): boolean {
    if (share.held >= this.#mostEach) return false;
    if (this.#taken >= this.#most && !this.#makeRoom(share.held)) return false;
    share.held += 1;
    this.#taken += 1;
    this.#holders.add(share);
    return true;
  }

  giveBack(share: Share): void {
    share.held -= 1;
    this.#taken -= 1;
    if (share.held === 0) this.#holders.delete(share);
  }

  #makeRoom(held: number): boolean {
    let largest: Share | undefined;
    for (const holder of this.#holders) if (holder.held > (largest?.held ?? held + 1)) largest = holder;
    return largest?.giveUp() ?? false;
  }
}

/** One holder of shared places. */
export interface Share {
  /** Counted by `Shares`. */
  held: number;
  /** Begins to end what takes one of the places, which is given back at its end. False where nothing can be ended. */
  giveUp(): boolean;
}

/**
 * How many things of `bytes` each fit into a part of the heap that this process may use (`--max-old-space-size`). What strangers
 * make a process hold must fit into its heap, whatever its size.
 */
export const fitInHeap = ({ part, bytes }: { readonly part: number; readonly bytes: number }): number =>
  Math.floor((getHeapStatistics().heap_size_limit * part) / bytes);
