import type { ReadinessSwitch } from "../process/readiness.ts";
import { StoreError } from "../store/errors.ts";
import { type Command, instanceRef, type Store } from "../store/store.ts";
import type { StoreUse } from "./observed-store.ts";

const everyMs = 2_000;
/** Longer than anything that callers would wait for. */
const patienceMs = 2_000;

/** Follows whether a store can be read and written. */
export interface StoreProbe {
  /** Must be told of each use of the store: by a write that fails, it knows that the store takes none. */
  onStoreUse(use: StoreUse): void;
  stop(): void;
}

/**
 * Reads from the store every two seconds. The server is not ready where no answer comes within two, and from a write that the
 * store failed on until one succeeds. A server that is not ready is sent no writes, so the probe then makes one itself.
 * `onChange` is told why the server is not ready, and `undefined` when it is again.
 */
export function probeStore(
  store: Store,
  { readiness, onChange }: { readonly readiness: ReadinessSwitch; readonly onChange: (reason: unknown) => void },
): StoreProbe {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let failure: unknown;
  /** Whether a write failed, and none has succeeded since. */
  let doubtsWrites = false;

  function settle(reason: unknown): void {
    if (stopped) return;
    const wasReady = failure === undefined;
    failure = reason;
    if (wasReady === (reason === undefined)) return;
    readiness.set("store", reason !== undefined);
    onChange(reason);
  }

  async function look(): Promise<void> {
    const silence = setTimeout(() => settle(new Error("the store does not answer")), patienceMs).unref();
    const checksWrites = doubtsWrites;
    // A write that fails meanwhile raises the doubt again.
    doubtsWrites = false;
    try {
      await store.read([instanceRef]);
      if (checksWrites) await store.execute(writeRecord(Date.now()));
      if (!doubtsWrites) settle(undefined);
    } catch (error) {
      doubtsWrites ||= checksWrites;
      settle(error);
    }
    clearTimeout(silence);
    lookLater();
  }

  function lookLater(): void {
    if (!stopped) timer = setTimeout(() => void look(), everyMs).unref();
  }

  lookLater();
  return {
    onStoreUse({ operation, failure: reason }) {
      if (operation === "read" || !isOfWriting(reason)) return;
      doubtsWrites = true;
      settle(reason);
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** Whether a write failed because the store takes none. Damage is of one aggregate, and a conflict of one command. */
const isOfWriting = (failure: unknown): boolean =>
  failure instanceof StoreError && (failure.code === "unavailable" || failure.code === "outcome_unknown");

/** One small record, always the same, that has ended already: whoever puts another record removes it. */
const writeRecord = (now: number): Command<void> => ({
  actor: "probe",
  reads: [],
  decide: () => ({
    changes: [],
    records: [{ ref: { record: "WriteProbe", id: "last" }, to: { value: now, expiresAt: now } }],
    value: undefined,
  }),
});
