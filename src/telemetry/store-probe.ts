import type { ReadinessSwitch } from "../process/readiness.ts";
import { StoreError } from "../store/errors.ts";
import { type Command, instanceRef, type Store } from "../store/store.ts";
import type { StoreUse } from "./observed-store.ts";

const everyMs = 2_000;
/** Callers would not wait longer. */
const patienceMs = 2_000;

/** Checks whether a store can be read and written. */
export interface StoreProbe {
  /** Call it for each use of the store: a failed write shows that the store takes no writes. */
  onStoreUse(use: StoreUse): void;
  stop(): void;
}

/**
 * Reads from the store every two seconds. The server is not ready when no answer comes within two seconds, and from a failed write
 * until a write succeeds. A server that is not ready gets no calls, so the probe then writes a record itself. `onChange` gets the reason
 * when the server stops being ready, and `undefined` when it is ready again.
 */
export function probeStore(
  store: Store,
  options: {
    readonly readiness: ReadinessSwitch;
    readonly onChange: (reason: unknown) => void;
    /** Why the server should get no calls although the store can be read and written, or undefined. Default: nothing. */
    readonly findProblem?: (() => unknown) | undefined;
  },
): StoreProbe {
  const { readiness, onChange, findProblem = () => undefined } = options;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let failure: unknown;
  /** Whether a write failed and none has succeeded since. */
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
    // A problem may end with a write.
    const checksWrites = doubtsWrites || findProblem() !== undefined;
    // A write that fails during this check sets it again.
    doubtsWrites = false;
    try {
      await store.read([instanceRef]);
      if (checksWrites) await store.execute(writeRecord(Date.now()));
      if (!doubtsWrites) settle(findProblem());
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

/** Whether a write failed because the store takes no writes. Damage concerns one aggregate, and a conflict one command. */
const isOfWriting = (failure: unknown): boolean =>
  failure instanceof StoreError && (failure.code === "unavailable" || failure.code === "outcome_unknown");

/** A small record that has already expired, always the same one: the next record that is put removes it. */
const writeRecord = (now: number): Command<void> => ({
  actor: "probe",
  reads: [],
  decide: () => ({
    changes: [],
    records: [{ ref: { record: "WriteProbe", id: "last" }, to: { value: now, expiresAt: now } }],
    value: undefined,
  }),
});
