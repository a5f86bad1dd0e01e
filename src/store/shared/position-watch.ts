import { StoreError } from "../errors.ts";
import { closedError } from "./lifetime.ts";

/** Others' commits are noticed well within the 250 ms that `Store.changed` promises, also by a busy process. */
const lookEveryMs = 100;

interface Waiting {
  readonly after: number;
  resolve(position: number): void;
  reject(error: unknown): void;
}

/** Those who wait for new events. It looks for them only while somebody waits, and all who wait share a look. */
export class PositionWatch {
  readonly #name: string;
  readonly #look: () => Promise<number>;
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #looksAgain = false;

  /** `look` resolves to the position of the newest event, of whichever process. */
  constructor({ name, look }: { readonly name: string; readonly look: () => Promise<number> }) {
    this.#name = name;
    this.#look = look;
  }

  /** See Store.changed. */
  changed(after: number, signal: AbortSignal | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = () => waiting.reject(signal?.reason);
      const end = () => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener("abort", abort);
        if (this.#waiting.size === 0) clearTimeout(this.#timer);
      };
      const waiting: Waiting = {
        after,
        resolve(position) {
          end();
          resolve(position);
        },
        reject(error) {
          end();
          reject(error);
        },
      };
      signal?.addEventListener("abort", abort);
      this.#waiting.add(waiting);
      void this.#lookNow();
    });
  }

  /** Called with the position of the newest event that is known to be committed. */
  advance(position: number): void {
    for (const waiting of this.#waiting) if (waiting.after < position) waiting.resolve(position);
  }

  close(): void {
    this.#rejectAll(closedError(this.#name));
  }

  #rejectAll(error: unknown): void {
    for (const waiting of this.#waiting) waiting.reject(error);
  }

  async #lookNow(): Promise<void> {
    // Whoever came during a look needs one that began later.
    this.#looksAgain = this.#isLooking;
    if (this.#isLooking) return;
    clearTimeout(this.#timer);
    this.#isLooking = true;
    try {
      this.advance(await this.#look());
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "unavailable") this.#rejectAll(error);
    }
    this.#isLooking = false;
    if (this.#waiting.size === 0) return;
    if (this.#looksAgain) await this.#lookNow();
    else this.#timer = setTimeout(() => void this.#lookNow(), lookEveryMs);
  }
}
