import type { Store } from "../../../src/store/store.ts";

/** Defines the test of one promise, which an engine may be excused from by its name. */
export type Must = (test: string, run: (fixture: Fixture) => Promise<void>) => void;

export interface Fixture {
  readonly store: Store;
  /** Opens the store once more; what is opened is closed after the test. */
  readonly reopen: () => Promise<Store>;
  /** What the store's clock shows next. */
  readonly setClock: (now: number) => void;
}
