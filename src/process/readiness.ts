/** Why a server is not ready: it drains, or its store cannot be read or written. A starting server has no open port. */
export type NotReadyReason = "draining" | "store";

/** Whether load balancers should send calls to this server. */
export interface Readiness {
  readonly isReady: boolean;
  /** The current reasons, oldest first; empty when ready. */
  readonly reasons: readonly NotReadyReason[];
  /** Calls the listener at each change. The returned function ends that. */
  onChange(listener: (isReady: boolean) => void): () => void;
}

/** A readiness that can be set. */
export interface ReadinessSwitch extends Readiness {
  /** Adds or removes a reason. Idempotent. */
  set(reason: NotReadyReason, isBlocked: boolean): void;
}

/** Creates a readiness without reasons. It calls listeners in the order in which they were added. */
export function createReadiness(): ReadinessSwitch {
  const reasons = new Set<NotReadyReason>();
  // Keyed by a symbol: the same function may listen twice.
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
      // A listener that is removed during the loop is not called any more, and a new one knows the state already.
      if (is !== was) for (const [key, tell] of [...listeners]) if (listeners.has(key)) tell(is);
    },
    onChange(listener) {
      const key = Symbol();
      listeners.set(key, listener);
      return () => listeners.delete(key);
    },
  };
}
