import { constants, type ServerHttp2Stream } from "node:http2";

const discardForMs = 1_000;

/**
 * Reads on, for a second at most, after an answer that is complete before its request. Node would reset the stream at once,
 * with NO_ERROR, as it may (RFC 9113, 8.1); but curl 7.88 then drops the answer where it had not sent its body yet.
 */
export function discardRest(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.destroyed) return;
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), discardForMs).unref();
  stream.once("close", () => clearTimeout(timer));
}
