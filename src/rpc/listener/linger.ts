import type { Socket } from "node:net";

const lingerMs = 1_000;

/**
 * Destroys an ended socket whose peer does not end its side within a second. Destroying at once would be shorter, but where
 * bytes of the peer lie unread the kernel then sends a reset, and the peer loses the answer it was about to read.
 */
export function linger(socket: Socket): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once("close", () => clearTimeout(timer));
}
