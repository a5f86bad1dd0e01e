import type { Store } from "../store/store.ts";

/** A read or write that has ended. */
export interface StoreUse {
  readonly operation: "read" | "write";
  /** How long it took, waiting included. */
  readonly ms: number;
  /** Why it was rejected: a StoreError, or what a decision threw. Undefined when it succeeded. */
  readonly failure: unknown;
}

/** A store that reports each read and write. */
export function observeStore(store: Store, observe: (use: StoreUse) => void): Store {
  const observed = <T>(operation: StoreUse["operation"], work: Promise<T>): Promise<T> => {
    const started = performance.now();
    const end = (failure?: unknown) => observe({ operation, ms: performance.now() - started, failure });
    work.then(() => end(), end);
    return work;
  };
  return {
    read: (...given) => observed("read", store.read(...given)),
    execute: (command) => observed("write", store.execute(command)),
    list: (...given) => observed("read", store.list(...given)),
    listByKey: (...given) => observed("read", store.listByKey(...given)),
    history: (...given) => observed("read", store.history(...given)),
    changes: (options) => observed("read", store.changes(options)),
    // Its time is the time until somebody writes.
    changed: (...given) => store.changed(...given),
    verify: () => store.verify(),
    rebuild: () => store.rebuild(),
    removeRecords: () => store.removeRecords(),
    export: (use) => store.export(use),
    import: (...given) => store.import(...given),
    close: () => store.close(),
  };
}
