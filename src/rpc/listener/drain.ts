import type { Server, Socket } from "node:net";
import type { ProtocolServer } from "./http1.ts";
import type { Sniffer } from "./sniff.ts";

/** What `drain` winds down. */
export interface DrainOptions {
  front: Server;
  /** Every accepted TCP socket that is still open, under TLS the one below it. */
  sockets: ReadonlySet<Socket>;
  sniffer: Sniffer;
  protocols: readonly ProtocolServer[];
  /** How long calls in flight may take to finish; then everything is destroyed. */
  graceMs: number;
}

/** Stops accepting, lets calls in flight finish, and resolves when no socket is left. */
export function drain({ front, sockets, sniffer, protocols, graceMs }: DrainOptions): Promise<void> {
  return new Promise((resolve) => {
    const deadline = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    front.close(() => {
      clearTimeout(deadline);
      for (const protocol of protocols) protocol.stop();
      resolve();
    });
    // Silent clients wait for nothing, whether before or after a TLS handshake.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    sniffer.destroyWaiting();
    for (const protocol of protocols) protocol.drain();
  });
}
