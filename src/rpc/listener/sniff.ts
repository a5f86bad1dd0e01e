import type { Socket } from "node:net";
import type { CountCut } from "./cuts.ts";

/** The protocol that a client's first bytes announce. */
export type SniffedProtocol = "http1" | "http2";

/** Distinguishes HTTP/1.1 from HTTP/2 (prior knowledge) on accepted sockets. */
export interface Sniffer {
  /**
   * Calls back once with the protocol, the socket paused and all bytes put back; not at all when the socket closed, or was
   * cut for staying silent.
   */
  sniff(socket: Socket, onProtocol: (protocol: SniffedProtocol) => void): void;
  /** Gives the sockets that are waiting, and those that come, `timeoutMs` from now on. */
  hurry(timeoutMs: number): void;
}

// The HTTP/2 preface starts with a method that no HTTP/1.1 client sends (RFC 9113, 3.4); three bytes are enough, since of
// the registered methods PRI is the only one to start so.
const preface = Buffer.from("PRI");

/** Creates a sniffer that gives each socket `timeoutMs` in all, however many pieces the bytes come in. */
export function createSniffer({ timeoutMs, onCut }: { timeoutMs: number; onCut: CountCut }): Sniffer {
  const waiting = new Set<Socket>();
  let mostMs = timeoutMs;
  let isHurried = false;

  return {
    sniff(socket, onProtocol) {
      let seen: Buffer = Buffer.alloc(0);
      // Not socket.setTimeout: that one starts again with each byte.
      const timer = setTimeout(() => {
        if (!isHurried) onCut("silent");
        socket.destroy();
      }, mostMs);
      const stop = () => {
        clearTimeout(timer);
        waiting.delete(socket);
        socket.off("data", onData);
        socket.off("close", stop);
      };
      const onData = (chunk: Buffer) => {
        seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
        const start = seen.subarray(0, preface.length);
        const isPrefix = start.equals(preface.subarray(0, start.length));
        if (isPrefix && start.length < preface.length) return;
        stop();
        socket.pause();
        socket.unshift(seen);
        onProtocol(isPrefix ? "http2" : "http1");
      };
      waiting.add(socket);
      socket.on("data", onData);
      socket.on("close", stop);
    },
    hurry(timeoutMs) {
      isHurried = true;
      mostMs = Math.min(mostMs, timeoutMs);
      setTimeout(
        (early: readonly Socket[]) => {
          for (const socket of early) if (waiting.has(socket)) socket.destroy();
        },
        mostMs,
        [...waiting],
      ).unref();
    },
  };
}
