import { getHeapStatistics } from "node:v8";

/**
 * Divides what there is of something between those who come, with no fixed part for each: whoever holds less than is left may
 * take more. Who is alone gets half; of ten who take all they can, each gets an eleventh, and so does the next to come.
 */
export class Shares {
  readonly #most: number;
  readonly #mostEach: number;
  #taken = 0;

  constructor({ most, mostEach = most }: { readonly most: number; readonly mostEach?: number }) {
    this.#most = most;
    this.#mostEach = mostEach;
  }

  /** What all hold together. */
  get taken(): number {
    return this.#taken;
  }

  /** The share of one who has come. */
  open(): Share {
    const isFull = (held: number) => held >= this.#mostEach || held >= this.#most - this.#taken;
    return new Share(isFull, (amount) => {
      this.#taken += amount;
    });
  }
}

/** What one holds. */
export class Share {
  readonly #isFull: (held: number) => boolean;
  readonly #add: (amount: number) => void;
  #held = 0;

  constructor(isFull: (held: number) => boolean, add: (amount: number) => void) {
    this.#isFull = isFull;
    this.#add = add;
  }

  get held(): number {
    return this.#held;
  }

  /** Whether nothing more may be taken before something is given back. */
  get isFull(): boolean {
    return this.#isFull(this.#held);
  }

  /** Takes as much, also where the share is full: whoever can refuse looks before. */
  take(amount = 1): void {
    this.#held += amount;
    this.#add(amount);
  }

  giveBack(amount = 1): void {
    this.take(-amount);
  }
}

/**
 * How many of what takes `bytes` of heap each fit into a part of the heap that this process may use (`--max-old-space-size`).
 * What strangers can make a process hold must fit into it, however large it is.
 */
export const fitInHeap = ({ part, bytes }: { readonly part: number; readonly bytes: number }): number =>
  Math.floor((getHeapStatistics().heap_size_limit * part) / bytes);
