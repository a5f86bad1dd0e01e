/**
 * How often the listener ended what a client had begun, because of a limit or because it could not read it: connections, or one
 * stream where HTTP/2 lets the others go on; each stream counts. What clients end themselves, idle connections and draining
 * count for nothing.
 */
export interface Cuts {
  /**
   * The handshake failed or took too long: look at certificates and their authorities, on both sides. A client that hangs up
   * before its end does not count: balancers do so to see whether the port is open.
   */
  tls_handshake: number;
  /** More than `maxConnections`: add servers, or find the clients that hold them. */
  too_many: number;
  /** More than `maxStreams`, each stream that was refused or given up: add servers, or find the clients that hold them open. */
  too_many_streams: number;
  /** The bytes that begin either version of HTTP, or the client's acknowledgement of our SETTINGS, did not come in time. */
  silent: number;
  /** A request did not come in time: a slow network, or an attack by slowness. */
  slow_request: number;
  /** The client took nothing of an answer for too long: it hangs, or is to hold memory. */
  not_read: number;
  /**
   * More than `maxUnreadBytes`, or `maxUnreadBytesOnConnection`, each answer that was cut: clients ask for much and do not
   * read.
   */
  too_much_unread: number;
  /**
   * HTTP/2 with more resets, control frames or useless frames than calls need, or HTTP/1.1 with many requests before an answer:
   * stop the address in front of the server. Single frames that break the protocol are among them, since nghttp2 says no more
   * of either than that.
   */
  flood: number;
  /** What is no HTTP, or has headers past the parser's limit: a client of another protocol on this port, or a scanner. */
  malformed: number;
}

/** Counts one. */
export type CountCut = (reason: keyof Cuts) => void;

export const noCuts: Readonly<Cuts> = Object.freeze({
  tls_handshake: 0,
  too_many: 0,
  too_many_streams: 0,
  silent: 0,
  slow_request: 0,
  not_read: 0,
  too_much_unread: 0,
  flood: 0,
  malformed: 0,
});
