import type { ReadinessSwitch } from "../readiness.ts";
import { instanceRef, type Store } from "../store/store.ts";

const everyMs = 2_000;
/** Longer than any read takes that callers would wait for. */
const patienceMs = 2_000;

/**
 * Reads from the store every two seconds, and says that the server is not ready where no answer comes within two. Returns a
 * function that ends it.
 */
export function probeStore(store: Store, readiness: ReadinessSwitch, onChange: (reason: unknown) => void): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let failure: unknown;

  async function probe(): Promise<void> {
    const late = new Error("the store does not answer");
    let deadline: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      deadline = setTimeout(() => reject(late), patienceMs).unref();
    });
    const reason = await Promise.race([store.read([instanceRef]), silence]).then(
      () => undefined,
      (error: unknown) => error,
    );
    clearTimeout(deadline);
    if (stopped) return;
    if ((reason === undefined) !== (failure === undefined)) {
      readiness.set("store", reason !== undefined);
      onChange(reason);
    }
    failure = reason;
    timer = setTimeout(() => void probe(), everyMs).unref();
  }

  timer = setTimeout(() => void probe(), everyMs).unref();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
