import type { Store } from "../store/store.ts";

/** A store whose reads and writes are timed, in milliseconds; those that fail as well. */
export function observeStore(store: Store, observe: (operation: "read" | "write", ms: number) => void): Store {
  const timed = <T>(operation: "read" | "write", work: Promise<T>): Promise<T> => {
    const started = performance.now();
    const end = () => observe(operation, performance.now() - started);
    work.then(end, end);
    return work;
  };
  return {
    read: (...given) => timed("read", store.read(...given)),
    execute: (command) => timed("write", store.execute(command)),
    list: (type) => store.list(type),
    verify: () => store.verify(),
    rebuild: () => store.rebuild(),
    export: (use) => store.export(use),
    import: (...given) => store.import(...given),
    close: () => store.close(),
  };
}
