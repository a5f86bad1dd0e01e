import { getHeapStatistics } from "node:v8";

/**
 * Places that many have to share, with no fixed part for each. When all are taken, one who asks still gets a place where somebody
 * holds more than them: whoever holds most is made to give one up.
 */
export class Shares {
  readonly #most: number;
  readonly #mostEach: number;
  /** Those who hold any. */
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

  /** Whether the one who asks gets a place. It may be one more than there are until one that is given up is given back. */
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

/** What one holds of what is shared. */
export interface Share {
  /** Counted by who divides. */
  held: number;
  /** Ends what takes one of the places, soon; false where nothing can be ended. It is given back when it has ended. */
  giveUp(): boolean;
}

/**
 * How many of what takes `bytes` of heap each fit into a part of the heap that this process may use (`--max-old-space-size`).
 * What strangers can make a process hold must fit into it, however large it is.
 */
export const fitInHeap = ({ part, bytes }: { readonly part: number; readonly bytes: number }): number =>
  Math.floor((getHeapStatistics().heap_size_limit * part) / bytes);
