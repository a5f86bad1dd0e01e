import type { Socket } from "node:net";
import type { CountCut } from "./cuts.ts";

/**
 * Destroys sockets whose peer takes none of the bytes that wait for it, for `timeoutMs`: it keeps their memory, and what waits
 * behind them. Returns what ends the watch.
 *
 * `sockets` are those of TCP, also under TLS. Node reports a write when all of it has been taken, which may rightly take long, so
 * this looks at the queue of the system, which moves with every byte.
 */
export function watchWrites(
  sockets: ReadonlySet<Socket>,
  { timeoutMs, onCut }: { timeoutMs: number; onCut: CountCut },
): () => void {
  const stuck = new Map<Socket, { readonly taken: number; readonly since: number }>();
  const look = setInterval(
    () => {
      const now = performance.now();
      for (const socket of stuck.keys()) if (!sockets.has(socket)) stuck.delete(socket);
      for (const socket of sockets) {
        const queued = (socket as SocketWithHandle)._handle?.writeQueueSize ?? 0;
        if (queued === 0) {
          stuck.delete(socket);
          continue;
        }
        const taken = socket.bytesWritten - queued;
        const before = stuck.get(socket);
        if (before?.taken !== taken) stuck.set(socket, { taken, since: now });
        else if (now - before.since > timeoutMs) {
          onCut("not_read");
          socket.destroy();
        }
      }
    },
    Math.min(1_000, Math.max(20, Math.ceil(timeoutMs / 4))),
  ).unref();
  return () => clearInterval(look);
}

/** Undocumented properties of a socket; pinned by a test. */
type SocketWithHandle = Socket & {
  readonly _handle?: {
    /** Bytes that Node has taken and the system has not. */
    readonly writeQueueSize?: number;
  };
};
