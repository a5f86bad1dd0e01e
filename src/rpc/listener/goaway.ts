import { writeSync } from "node:fs";
import type { Socket } from "node:net";
import type { SocketWithHandle } from "./write-watch.ts";

/** How long a client has to answer the PING behind the notice; a round trip takes less. */
export const noticeMs = 1_000;

/** GOAWAY with the highest stream id and no error: the connection will end, and every stream until then is served (RFC 9113, 6.8). */
const notice = Buffer.from("000008070000000000" + "7fffffff" + "00000000", "hex");

/**
 * Sends the notice that comes before the last GOAWAY. Node cannot: after any `session.goaway()`, nghttp2 passes over new streams
 * without a word. Nor may it be written to the socket, since Node 24 aborts the process when a write ends on a socket of a
 * session and is not the session's own. So the system's call is used, at a moment when all frames before are with the system.
 * False where that is not so, because the client reads too slowly, and over TLS, where the bytes would have to be encrypted.
 */
export function sendNotice(socket: Socket): boolean {
  const { _handle: handle } = socket as SocketWithHandle;
  if ("encrypted" in socket || handle?.fd === undefined || handle.fd < 0 || handle.writeQueueSize !== 0) return false;
  try {
    if (writeSync(handle.fd, notice) === notice.length) return true;
    // A part of a frame can only be followed by its rest.
    socket.destroy();
  } catch {
    // The system's buffer is full, or the client has gone.
  }
  return false;
}
