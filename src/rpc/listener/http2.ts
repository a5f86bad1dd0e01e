import {
  constants,
  createServer,
  type Http2ServerRequest,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { CountCut } from "./cuts.ts";
import { discardRest } from "./discard.ts";
import type { ListenerHandler } from "./handler.ts";
import type { ProtocolServer } from "./http1.ts";
import { Http2Connection } from "./http2-connection.ts";
import { headerHardStopBytes, headerHardStopCount, type ListenerLimits } from "./limits.ts";
import { linger } from "./linger.ts";
import { Shares } from "./shares.ts";
import { notSupported, type StatusAnswer, sendStatusAnswer } from "./status-answer.ts";
import { Turns } from "./turns.ts";
import type { Unread } from "./unread.ts";

/** The HTTP/2 half. */
export interface Http2Server extends ProtocolServer {
  /** Requests in flight on all connections. */
  openStreams(): number;
}

/** Creates the HTTP/2 half, for prior knowledge and ALPN alike. It never listens itself. */
export function createHttp2(options: {
  handler: ListenerHandler;
  limits: ListenerLimits;
  unread: Unread;
  onCut: CountCut;
}): Http2Server {
  const { handler, limits, unread, onCut } = options;
  const { streamHandler } = handler;
  const connections = new Map<ServerHttp2Session, Http2Connection>();
  const streams = new Shares({ most: limits.maxStreams });
  let draining = false;

  const server = createServer({
    settings: {
      maxConcurrentStreams: limits.maxConcurrentStreams,
      // HTTP/2 counts 32 bytes on top of each field (RFC 9113, 6.5.2).
      maxHeaderListSize: headerHardStopBytes + 32 * headerHardStopCount,
    },
    maxHeaderListPairs: headerHardStopCount,
    // Streams count until they are torn down, also those that were cancelled: a burst of them is refused one by one. At Node's
    // default of 100 it would take the session, and with it the calls of others that share it through a proxy.
    maxSessionRejectedStreams: 10_000,
    // In megabytes. Node 24 never subtracts what a reset stream had still to send, and at its default of 10 would refuse all
    // streams when that is used up.
    maxSessionMemory: 128,
    // nghttp2 counts the resets of clients: a call that is cancelled at once costs the server far more than its client.
    streamResetBurst: limits.streamResetBurst,
    streamResetRate: limits.streamResetsPerSecond,
    // By default nghttp2 silently drops a field whose value begins or ends with a blank. Here the server sees and refuses it.
    strictFieldWhitespaceValidation: false,
  });
  server.on("sessionError", (error: NodeJS.ErrnoException) => {
    // Ours, the system's and the client's own (GOAWAY) have other codes.
    if (!nghttp2Errors.has(error.code ?? "")) return;
    onCut(error.errno === badMagic ? "malformed" : "flood");
  });
  // Makes Node's request and response objects of streams; it never sees a connection.
  const objects = createServer();
  objects.on("request", (req, res) => {
    if (hasPaddedValue(req.rawHeaders)) {
      onCut("malformed");
      sendStatusAnswer(res, paddedValue);
      return;
    }
    joinDroppedValues(req);
    handler(req, res);
  });
  objects.on("checkExpectation", (_req, res) => sendStatusAnswer(res, notSupported.expectation));
  objects.on("connect", (_req, res) => sendStatusAnswer(res, notSupported.connect));

  const turns = new Turns<ServerHttp2Session>();
  server.on("stream", (stream, headers, flags, rawHeaders) => {
    const session = stream.session as ServerHttp2Session | undefined;
    const connection = session && connections.get(session);
    if (connection?.admit(stream) === false) return;
    if (session !== undefined && turns.mayBegin(session)) {
      begin(stream, headers, flags, rawHeaders);
      return;
    }
    // A reset is also an error event, and one without a listener would end the process.
    stream.on("error", ignore);
    // It is over already.
    if (session === undefined) return;
    connection?.waiting.add(stream);
    turns.wait(session, () => {
      connection?.waiting.delete(stream);
      if (!stream.closed && !stream.destroyed) begin(stream, headers, flags, rawHeaders);
    });
  });

  function begin(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    flags: number,
    rawHeaders: readonly string[],
  ): void {
    // A field that was sent twice is not in `headers`; see `joinDroppedValues`.
    const isPlain = Object.keys(headers).length === rawHeaders.length / 2 && !hasPaddedValue(rawHeaders);
    if (isPlain && streamHandler?.(stream, headers, rawHeaders)) return;
    if (!stream.endAfterHeaders) {
      cancelWhenSilent(stream, { timeoutMs: limits.requestTimeoutMs, onCut });
      discardUnread(stream);
    }
    objects.emit("stream", stream, headers, flags, rawHeaders);
  }

  const shortestMs = Math.min(
    limits.requestTimeoutMs,
    limits.headersTimeoutMs,
    limits.http2IdleTimeoutMs,
    limits.writeTimeoutMs,
  );
  // Node 24 keeps a session that has ended until its own timer fires (`session.setTimeout`).
  const look = setInterval(
    () => {
      const now = performance.now();
      for (const connection of connections.values()) connection.look(now);
    },
    Math.min(1_000, Math.max(20, Math.ceil(shortestMs / 4))),
  ).unref();

  function track(session: ServerHttp2Session, socket: Socket): void {
    const connection = new Http2Connection(session, socket, { limits, places: streams, onCut });
    connections.set(session, connection);
    unread.watch(session);
    session.once("close", () => connections.delete(session));
    // Node ends the socket after GOAWAY and the last stream, then waits for the peer to do the same.
    socket.once("finish", () => linger(socket));
    if (draining) connection.windDown();
  }

  return {
    openStreams: () => streams.taken,
    accept(socket) {
      // Node emits 'session' while it handles 'connection', so this is the session of that socket and of no other.
      server.once("session", (session) => track(session, socket));
      server.emit("connection", socket);
    },
    drain() {
      draining = true;
      for (const connection of connections.values()) connection.windDown();
    },
    stop() {
      clearInterval(look);
      server.close();
    },
  };
}

/** Error codes of sessions that nghttp2 ended, or Node after too many bad frames. */
const nghttp2Errors: ReadonlySet<string> = new Set(["ERR_HTTP2_ERROR", "ERR_HTTP2_TOO_MANY_INVALID_FRAMES"]);
/** nghttp2's number for bytes that start as the preface does and go on otherwise. */
const badMagic = -903;

/** Malformed (RFC 9113, 8.2.1): others on the way may take the blanks off, or the field. */
function hasPaddedValue(rawHeaders: readonly string[]): boolean {
  for (let i = 1; i < rawHeaders.length; i += 2) {
    const value = rawHeaders[i] ?? "";
    // A tab or a space. An empty value has no code there.
    if (value.charCodeAt(0) <= 0x20 || value.charCodeAt(value.length - 1) <= 0x20) return true;
  }
  return false;
}

const paddedValue: StatusAnswer = {
  httpStatus: 400,
  code: 3,
  message: "A header's value begins or ends with a blank: send it without.",
};

/** Resets a stream that stays silent before its request has ended; after that, silence is up to the server. */
function cancelWhenSilent(
  stream: ServerHttp2Stream,
  { timeoutMs, onCut }: { timeoutMs: number; onCut: CountCut },
): void {
  stream.setTimeout(timeoutMs, () => {
    if (stream.closed || stream.state.remoteClose === 1) return;
    onCut("slow_request");
    stream.close(constants.NGHTTP2_CANCEL);
  });
}

/** Discards the rest of a request that is answered before its end. */
function discardUnread(stream: ServerHttp2Stream): void {
  const isAnswered = () => stream.headersSent && stream.writableEnded && stream.writableLength === 0;
  const discard = () => discardRest(stream);
  stream.once("prefinish", discard);
  const respond: ServerHttp2Stream["respond"] = stream.respond.bind(stream);
  // An answer that has no body, to HEAD or with 204, is complete with its headers, and no event says so.
  stream.respond = (...args) => {
    respond(...args);
    if (isAnswered()) discard();
  };
}

/**
 * Makes repeated fields read as they do over HTTP/1.1 with `joinDuplicateHeaders`, that is "a, b". Node's HTTP/2 keeps the
 * first value of the fields it knows as single, and hides that a request carried two Authorization headers.
 */
function joinDroppedValues(req: Http2ServerRequest): void {
  const { headers, rawHeaders } = req;
  if (Object.keys(headers).length === rawHeaders.length / 2) return;
  const values = new Map<string, string[]>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    const earlier = values.get(name);
    if (earlier === undefined) values.set(name, [value]);
    else earlier.push(value);
  }
  for (const [name, all] of values) {
    // Cookies are joined by Node, with their own separator.
    if (all.length > 1 && name !== "cookie" && name !== "set-cookie") headers[name] = all.join(", ");
  }
}

function ignore(): void {}
