import { createPrivateKey, X509Certificate } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import {
  createSecureContext,
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from "node:tls";
import { type CountCut, type Cuts, noCuts } from "./cuts.ts";
import { drain } from "./drain.ts";
import { guardHandler } from "./guard.ts";
import type { ListenerHandler } from "./handler.ts";
import { createHttp1 } from "./http1.ts";
import { createHttp2 } from "./http2.ts";
import { defaultLimits, type ListenerLimits } from "./limits.ts";
import { createSniffer } from "./sniff.ts";
import { Unread } from "./unread.ts";
import { watchWrites } from "./write-watch.ts";

/** The contents of PEM files. */
export interface TlsOptions {
  /** The certificate chain. */
  cert: string | Buffer;
  /** The private key that belongs to it. */
  key: string | Buffer;
  /**
   * Certificates of the authorities that sign for clients. Then a client must show a certificate of one of them; the connection
   * of any other ends with the handshake. Default: clients need no certificate. The client's name in it has no further meaning.
   */
  clientCa?: string | Buffer | undefined;
}

export interface ListenerOptions {
  /** The address to bind, or a name that resolves to it. */
  host: string;
  /** The port to bind; 0 takes a free one. */
  port: number;
  /**
   * Lets several processes of one user serve the same address, each with this option: the system gives each new connection to one
   * of them. Needs a port other than 0. Default false. Where the system cannot (macOS, Windows), Node's error is `ENOTSUP`.
   */
  reusePort?: boolean | undefined;
  /** Without it the port is plaintext. */
  tls?: TlsOptions | undefined;
  /** Called for the requests of both HTTP versions alike, with and without TLS. */
  handler: ListenerHandler;
  limits?: Partial<ListenerLimits> | undefined;
  /**
   * Gets what the handler threw, and the system's errors at accepting. Neither ends the listener.
   * By default they become process warnings, so that they are not lost. Errors that clients cause are not reported.
   */
  onError?: ((error: unknown) => void) | undefined;
}

export interface ListenerUsage {
  readonly connections: number;
  /** Requests in flight over HTTP/2. */
  readonly streams: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly cuts: Readonly<Cuts>;
}

export interface CloseOptions {
  graceMs?: number;
  lameDuckMs?: number;
  onDrain?: () => void;
  onUnfinished?: (connections: number) => void;
}

/** A port that is being served. */
export interface Listener {
  /** `http://host:port` or `https://host:port`, with the host as given and an IPv6 address in brackets. */
  readonly url: string;
  readonly port: number;
  /** What is open now; since the start, all bytes that have gone over TCP and what was cut. */
  usage(): ListenerUsage;
  /**
   * Takes a new certificate and key for the handshakes from now on; connections that are open keep theirs. Throws, and keeps the
   * old ones, where they are no PEM or do not go together (Node's error, `ERR_OSSL_…`), on a plaintext port, and where `clientCa`
   * is given and was not at the start, or the other way round.
   */
  replaceTls(tls: TlsOptions): void;
  /**
   * Ends without failing a call: first everything goes on for `lameDuckMs` (default 0), so that balancers that look at
   * readiness send nothing more. Then it accepts the connections that wait, for half of `graceMs` at most, and stops listening.
   * What arrives on connections that are open is still served, and clients get a notice to use them no more: over HTTP/1.1 by
   * `Connection: close` in each answer, over HTTP/2 by GOAWAY (see
   * `windDown` in http2.ts). Silent HTTP/1.1 connections are closed after `drainQuietMs`. Calls in flight may take `graceMs`
   * after the lame-duck time (default 10 000, what orchestrators usually allow before they kill, or less); then what is left is
   * destroyed. Resolves when all sockets are gone. Further calls await the first. `onDrain` is called once clients have the
   * notice: those whose stream ends from then on ask again elsewhere. `onUnfinished` gets how many connections were destroyed
   * with calls in flight, where there were any.
   */
  close(options?: CloseOptions): Promise<void>;
}

// Finds peers that vanished, under streams that may rightly be silent for hours.
const tcpKeepAliveMs = 60_000;

/**
 * Serves HTTP/1.1 and HTTP/2 on one port: by the first bytes in plaintext (HTTP/2 with prior knowledge), by ALPN over TLS
 * (1.2 or newer; without ALPN HTTP/1.1). `Upgrade: h2c` is ignored, CONNECT answered with 501, and `Expect: 100-continue`
 * with 100 at once. A peer that ends its half of an HTTP/1.1 connection counts as gone, as it does for Node: what is not
 * answered yet is aborted. Rejects with Node's own error (`EADDRINUSE`, `ENOTFOUND`, a TLS error for bad PEM), and with a
 * TypeError for `reusePort` with port 0.
 */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const { host, tls, reusePort = false } = options;
  if (reusePort && options.port === 0) {
    throw new TypeError("reusePort needs a port: with 0, each process gets another one");
  }
  const limits: ListenerLimits = { ...defaultLimits, ...options.limits };
  const onError = options.onError ?? warn;
  const handler = guardHandler(options.handler, onError);
  const sockets = new Set<Socket>();
  /** Over connections that are closed. */
  const gone = { bytesReceived: 0, bytesSent: 0 };
  const cuts: Cuts = { ...noCuts };
  const onCut: CountCut = (reason) => {
    cuts[reason] += 1;
  };
  const sniffer = createSniffer({ timeoutMs: limits.firstBytesTimeoutMs, onCut });
  const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs };

  // Not http2.createSecureServer({ allowHTTP1 }): that is a third server with its own HTTP/1.1 options, while this way
  // plaintext and TLS end in the same two.
  const front: Server = tls
    ? createTlsServer({
        ...socketOptions,
        ...contextOptions(tls),
        requestCert: tls.clientCa !== undefined,
        rejectUnauthorized: tls.clientCa !== undefined,
        ALPNProtocols: ["h2", "http/1.1"],
        handshakeTimeout: limits.tlsHandshakeTimeoutMs,
      })
    : createServer(socketOptions);
  front.maxConnections = limits.maxConnections;

  const unread = new Unread({ limits, onCut });
  const http1 = createHttp1({ handler, limits, unread, onCut });
  const http2 = createHttp2({ handler, limits, unread, onCut });
  const stopWatching = watchWrites(sockets, { timeoutMs: limits.writeTimeoutMs, onCut });
  let closed: Promise<void> | undefined;

  front.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      gone.bytesReceived += socket.bytesRead;
      gone.bytesSent += socket.bytesWritten;
    });
    // Resets are everyday; each protocol cleans up on 'close'.
    socket.on("error", ignore);
    if (!tls) sniffer.sniff(socket, (protocol) => (protocol === "http2" ? http2 : http1).accept(socket));
  });
  // Bytes that are no TLS, or a handshake that takes too long: Node reports and leaves the socket open.
  front.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    // Node says ECONNRESET of a client that hung up, and also where it refused a certificate itself.
    if (error.code !== "ECONNRESET" || socket.authorizationError) onCut("tls_handshake");
    socket.destroy();
  });
  front.on("drop", () => onCut("too_many"));
  front.on("secureConnection", (socket: TLSSocket) => {
    socket.on("error", ignore);
    if (socket.alpnProtocol === "h2") http2.accept(socket);
    // Only to see the silent ones off: over TLS, HTTP/2 is what ALPN says (RFC 9113, 3.2).
    else sniffer.sniff(socket, () => http1.accept(socket));
  });

  try {
    await listen(front, { host, port: options.port, reusePort });
  } catch (error) {
    http1.stop();
    http2.stop();
    stopWatching();
    throw error;
  }
  front.on("error", onError);

  const address = front.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  return {
    url: `${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`,
    port,
    usage() {
      const usage = { connections: sockets.size, streams: http2.openStreams(), ...gone, cuts: { ...cuts } };
      for (const socket of sockets) {
        usage.bytesReceived += socket.bytesRead;
        usage.bytesSent += socket.bytesWritten;
      }
      return usage;
    },
    replaceTls(next) {
      if (tls === undefined) throw new Error("the listener serves plaintext");
      // Node fixes at the start whether it asks clients for certificates; without an authority it would take public ones.
      if ((next.clientCa === undefined) !== (tls.clientCa === undefined)) {
        throw new Error("whether clients need a certificate cannot change while the listener serves");
      }
      const context = contextOptions(next);
      // Throws before anything has changed.
      createSecureContext(context);
      (front as TlsServer).setSecureContext(context);
    },
    close({ graceMs = 10_000, lameDuckMs = 0, onDrain, onUnfinished } = {}) {
      const protocols = [http1, http2];
      const times = { lameDuckMs, quietMs: limits.drainQuietMs, graceMs };
      closed ??= drain({ front, sockets, sniffer, protocols, ...times, onDrain, onUnfinished }).finally(stopWatching);
      return closed;
    },
  };
}

/**
 * Throws OpenSSL's error for what is no PEM: to Node an empty text is none, and without authorities all that are public count.
 */
function contextOptions({ cert, key, clientCa }: TlsOptions) {
  for (const certificate of [cert, clientCa]) if (certificate !== undefined) new X509Certificate(certificate);
  createPrivateKey(key);
  return { cert, key, ...(clientCa !== undefined && { ca: clientCa }), minVersion: "TLSv1.2" as const };
}

function listen(server: Server, address: { host: string; port: number; reusePort: boolean }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : new Error(String(error)));
}

function ignore(): void {}
