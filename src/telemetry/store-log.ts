import type { Log } from "../process/log.ts";
import type { Metrics } from "./metrics.ts";

/**
 * A server whose checkpoints fail is not ready beyond this length of the log. By then people had hours to react to the log line and the
 * metric, and it is far more than a long export leaves. The next start has to read all of it, which takes seconds a gigabyte.
 */
const mostBytes = 2 ** 30;

export interface StoreLogWatch {
  /** Call it with the error of each checkpoint that failed, and with undefined once they succeed again. */
  onCheckpoint(failure: unknown): void;
  /** Why the server should get no calls, or undefined. */
  findProblem(): Error | undefined;
}

/** Watches the write-ahead log of a store: it grows as long as its checkpoints fail. `bytes` reads its size. */
export function watchStoreLog({
  bytes,
  metrics,
  log,
}: {
  readonly bytes: () => number;
  readonly metrics: Metrics;
  readonly log: Log;
}): StoreLogWatch {
  let fails = false;
  let failures = 0;
  metrics.watchStoreLog({ bytes, failures: () => failures });
  return {
    onCheckpoint(failure) {
      if (failure !== undefined) failures += 1;
      if (fails === (failure !== undefined)) return;
      fails = !fails;
      const logBytes = bytes();
      if (fails) log.warn({ err: failure, logBytes }, "checkpoints of the store fail: its write-ahead log grows");
      else log.info({ logBytes }, "checkpoints of the store succeed again");
    },
    findProblem() {
      if (!fails || bytes() <= mostBytes) return undefined;
      return new Error(`checkpoints of the store fail, and its write-ahead log has more than ${mostBytes} bytes`);
    },
  };
}
