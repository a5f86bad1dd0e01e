/** Why a server is not ready: it drains, or its store cannot be read or written. While it starts, its port is closed. */
export type NotReadyReason = "draining" | "store";

/** Whether the server should be sent calls. Not ready: while draining, or without a store that it can read and write. */
export interface Readiness {
  readonly isReady: boolean;
  /** What stands in the way now, in the order in which it came; empty: ready. */
  readonly reasons: readonly NotReadyReason[];
  /** Calls back at each change, until the returned function is called. */
  onChange(listener: (isReady: boolean) => void): () => void;
}

/** A readiness that is told what it depends on. */
export interface ReadinessSwitch extends Readiness {
  /** Says whether a reason stands in the way. What is so already changes nothing. */
  set(reason: NotReadyReason, isBlocked: boolean): void;
}

/** A readiness with nothing in its way. Listeners hear of changes between ready and not, in the order in which they came. */
export function createReadiness(): ReadinessSwitch {
  const reasons = new Set<NotReadyReason>();
  // By a key of its own: the same function may listen twice.
  const listeners = new Map<symbol, (isReady: boolean) => void>();
  const isReady = () => reasons.size === 0;
  return {
    get isReady() {
      return isReady();
    },
    get reasons() {
      return [...reasons];
    },
    set(reason, isBlocked) {
      const was = isReady();
      if (isBlocked) reasons.add(reason);
      else reasons.delete(reason);
      const is = isReady();
      // A listener that leaves while others are told is not told any more; one that is new knows already.
      if (is !== was) for (const [key, tell] of [...listeners]) if (listeners.has(key)) tell(is);
    },
    onChange(listener) {
      const key = Symbol();
      listeners.set(key, listener);
      return () => listeners.delete(key);
    },
  };
}
