import { fitInHeap } from "./shares.ts";

/** What one client may cost the listener. Times are in milliseconds. */
export interface ListenerLimits {
  /**
   * Open connections, of both HTTP versions together (an HTTP/2 session is one connection); more are closed unread.
   * Default 10 000, far above what one process serves usefully (at some 50 kB each with TLS, about 500 MB), or what fits
   * into a quarter of the heap at 16 KiB each, where that is less.
   */
  maxConnections: number;
  /**
   * Calls in flight on one connection. More are refused over HTTP/2; over HTTP/1.1, where one is served and the others wait for
   * its answer, the connection ends after those that wait. Default 256: more than clients use (browsers expect at least 100).
   */
  maxConcurrentStreams: number;
  /**
   * Open streams of HTTP/2 on all connections together. When there are as many, a further one gets the place of the oldest
   * stream that waits for its client, on the connection that holds most; that one is reset with ENHANCE_YOUR_CALM. A connection
   * that holds most itself is refused with REFUSED_STREAM, which libraries repeat. Default: what fits into a quarter of the
   * heap at 16 KiB each; requests that never end take 10.
   */
  maxStreams: number;
  /**
   * Requests of HTTP/1.1 that wait for the answer to another, on all connections together. When there are as many, a connection
   * ends after those that it has, and its client may repeat the rest. Default: what fits into a sixteenth of the heap at 16 KiB
   * each.
   */
  maxWaitingRequests: number;
  /** From the TCP connection to the end of the TLS handshake. Default 10 000. */
  tlsHandshakeTimeoutMs: number;
  /**
   * From the connection (or the TLS handshake) to the bytes that distinguish HTTP/1.1 from HTTP/2. Default 5 000: clients send
   * at once; a browser's unused preconnection is closed without harm.
   */
  firstBytesTimeoutMs: number;
  /**
   * HTTP/1.1: from the start of a request to the end of its headers; then 408. HTTP/2: from the connection to the client's
   * acknowledgement of our SETTINGS; then GOAWAY with SETTINGS_TIMEOUT. Default 10 000. At most `requestTimeoutMs`.
   */
  headersTimeoutMs: number;
  /**
   * From the start of a request to the end of its body; then 408 over HTTP/1.1, and a reset with CANCEL over HTTP/2. Where an
   * answer over HTTP/2 has begun before, as it does while both sides send streams, the same time of silence. Default 120 000:
   * bodies are small, and a long stream from the server is not touched, since its request has ended.
   */
  requestTimeoutMs: number;
  /**
   * HTTP/1.1: how long an unused connection is kept for the next request. Default 65 000: longer than the usual 60 s of
   * load balancers, so that they are the ones to close and never send into a connection that is closing.
   */
  keepAliveTimeoutMs: number;
  /**
   * HTTP/2: silence on a connection without open streams, from the preface on; then GOAWAY and close. Default 120 000:
   * clients reconnect without noticing. A ping counts as life.
   */
  http2IdleTimeoutMs: number;
  /**
   * Without progress while bytes of an answer wait to be written; then the connection is destroyed where it takes none, and the
   * HTTP/2 stream reset with ENHANCE_YOUR_CALM where the client's flow control holds it. Default 30 000: a client that reads
   * takes some in that time, on any link. A stream on which no bytes wait is not touched, however long it is silent.
   */
  writeTimeoutMs: number;
  /**
   * Bytes of answers on one connection that were written and that its client does not take. From a quarter of them on, calls of
   * that connection begin when it has read; beyond, the answer with most of them is cut: its stream is reset with
   * ENHANCE_YOUR_CALM, or its connection of HTTP/1.1 ends. Answers of up to 16 KiB do not count. Default: as many as an eighth
   * of the heap has.
   */
  maxUnreadBytesOnConnection: number;
  /** The same on all connections together, cut on the connection that holds most. Default: as many as half of the heap has. */
  maxUnreadBytes: number;
  /**
   * HTTP/2: how many requests a client may reset at once on one connection; then GOAWAY. Default 300: all that may be in
   * flight can be cancelled at once, as where a deadline passes. Each of them keeps the calls of others waiting.
   */
  streamResetBurst: number;
  /** HTTP/2: how many more resets each second allows. Default 100. */
  streamResetsPerSecond: number;
  /**
   * HTTP/2: how many PINGs at once one connection may send, of which a frame of SETTINGS counts as ten; then GOAWAY with
   * ENHANCE_YOUR_CALM. Default 2000: far more than clients send to find out whether the server is there. The PINGs by which
   * libraries measure the link, one with each answer, do not count.
   */
  controlFrameBurst: number;
  /** HTTP/2: how many more PINGs each second allows. Default 500. */
  controlFramesPerSecond: number;
  /**
   * HTTP/2: the bytes a second on one connection that belong to no request, such as WINDOW_UPDATE, beyond three times those
   * written to it; then GOAWAY with ENHANCE_YOUR_CALM. Default 1 048 576: clients send a few dozen for each answer, and those
   * with the smallest windows less than three times what they read.
   */
  controlBytesPerSecond: number;
  /**
   * While the listener closes: silence on an HTTP/1.1 connection without a request in flight, or one that has sent nothing yet,
   * before it is closed. Default 500: what a proxy sent before it noticed has arrived by then, and is served.
   */
  drainQuietMs: number;
}

export const defaultLimits: Readonly<ListenerLimits> = Object.freeze({
  maxConnections: Math.min(10_000, fitInHeap({ part: 1 / 4, bytes: 16 * 1024 })),
  maxConcurrentStreams: 256,
  maxStreams: fitInHeap({ part: 1 / 4, bytes: 16 * 1024 }),
  maxWaitingRequests: fitInHeap({ part: 1 / 16, bytes: 16 * 1024 }),
  tlsHandshakeTimeoutMs: 10_000,
  firstBytesTimeoutMs: 5_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 120_000,
  keepAliveTimeoutMs: 65_000,
  http2IdleTimeoutMs: 120_000,
  writeTimeoutMs: 30_000,
  maxUnreadBytesOnConnection: fitInHeap({ part: 1 / 8, bytes: 1 }),
  maxUnreadBytes: fitInHeap({ part: 1 / 2, bytes: 1 }),
  streamResetBurst: 300,
  streamResetsPerSecond: 100,
  controlFrameBurst: 2_000,
  controlFramesPerSecond: 500,
  controlBytesPerSecond: 1024 * 1024,
  drainQuietMs: 500,
});

/** Names, values and path of one request, in bytes: `headerProblem` refuses more. */
export const maxHeaderBytes = 16 * 1024;

/** Header fields of one request: `headerProblem` refuses more. */
export const maxHeaderCount = 128;

/**
 * The parsers' limit, in bytes, where a request is cut before it is one: HTTP/1.1 gets a raw 431, an HTTP/2 stream is
 * reset. Twice `maxHeaderBytes`, so that the requests refused in practice get a proper answer on both versions.
 */
export const headerHardStopBytes = 32 * 1024;

/** The HTTP/2 parser's limit of fields, the counterpart of the bytes: a tiny indexed field costs one byte to send. */
export const headerHardStopCount = 1024;

/**
 * Says whether a request's headers exceed `maxHeaderBytes` or `maxHeaderCount`; the caller answers 431.
 *
 * Both HTTP versions are measured alike: `:authority` counts as `host`, `:path` as the path, the other pseudo-headers not
 * at all, and the crumbs into which HTTP/2 clients cut a cookie as one field.
 */
export function headerProblem(req: {
  url?: string | undefined;
  rawHeaders: readonly string[];
}): "too_large" | undefined {
  const { rawHeaders } = req;
  let bytes = req.url?.length ?? 0;
  let count = 0;
  let cookie = false;
  // Node decodes header bytes as Latin-1, so a string's length is its bytes.
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    if (name.charCodeAt(0) === 0x3a /* : */) {
      if (name !== ":authority") continue;
      bytes += "host".length + value.length;
    } else if (name.length === 6 && name.toLowerCase() === "cookie") {
      bytes += (cookie ? "; ".length : name.length) + value.length;
      if (cookie) continue;
      cookie = true;
    } else {
      bytes += name.length + value.length;
    }
    count += 1;
  }
  return bytes > maxHeaderBytes || count > maxHeaderCount ? "too_large" : undefined;
}
