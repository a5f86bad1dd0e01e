import { StoreError } from "../errors.ts";

export const closedError = (name: string): StoreError => new StoreError("closed", `The store ${name} is closed.`);

/** Whether a store is open, and the work that its end waits for. */
export class Lifetime {
  readonly #name: string;
  readonly #running = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  /** Throws StoreError `closed` once the store was closed. */
  refuseClosed(): void {
    if (this.#closed !== undefined) throw closedError(this.#name);
  }

  /** Does work that `close` waits for. Rejects as `refuseClosed` throws. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.refuseClosed();
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Closes once. `end` must await `settled` before it releases anything. */
  close(end: () => Promise<void>): Promise<void> {
    this.#closed ??= end();
    return this.#closed;
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}
