import type { Socket } from "node:net";

/** Without a byte from the peer: a peer that has read the answer closes at once. */
const silentMs = 2_000;
/** In all, however much the peer still sends. */
const lingerMs = 10_000;
/** Several times the largest body that a client sends here by mistake. */
const lingerBytes = 16 * 1024 * 1024;

/**
 * The last stage of a close (RFC 9112, 9.6): the server has ended its side, and reads and drops what comes until the peer ends
 * its own, is silent for 2 s, has taken 10 s, or has sent 16 MiB. Closing at once would be shorter, but where bytes of the peer
 * lie unread the kernel then sends a reset, and the peer loses the answer it was about to read.
 */
export function linger(socket: Socket): void {
  if (socket.destroyed) return;
  dropInput(socket);
  socket.setTimeout(silentMs, () => socket.destroy());
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once("close", () => clearTimeout(timer));
}

/** Reads and drops what comes, and destroys the socket after 16 MiB of it. */
export function dropInput(socket: Socket): void {
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > lingerBytes) socket.destroy();
  });
  socket.resume();
}
