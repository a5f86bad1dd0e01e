import {
  constants,
  createServer,
  type Http2ServerRequest,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { discardRest } from "./discard.ts";
import { noticeMs, sendNotice } from "./goaway.ts";
import type { ListenerHandler } from "./handler.ts";
import type { ProtocolServer } from "./http1.ts";
import { headerHardStopBytes, headerHardStopCount, type ListenerLimits } from "./limits.ts";
import { linger } from "./linger.ts";
import { notSupported, sendStatusAnswer } from "./status-answer.ts";

/** Creates the HTTP/2 half, for prior knowledge and ALPN alike. It never listens itself. */
export function createHttp2({ handler, limits }: { handler: ListenerHandler; limits: ListenerLimits }): ProtocolServer {
  const { streamHandler } = handler;
  const sessions = new Map<ServerHttp2Session, Life>();
  let draining = false;
  // Streams that the stream handler took, and when.
  const taken = new Map<ServerHttp2Stream, number>();

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
  });
  // Makes Node's request and response objects of streams; it never sees a connection.
  const objects = createServer();
  objects.on("request", (req, res) => {
    joinDroppedValues(req);
    handler(req, res);
  });
  objects.on("checkExpectation", (_req, res) => sendStatusAnswer(res, notSupported.expectation));
  objects.on("connect", (_req, res) => sendStatusAnswer(res, notSupported.connect));

  server.on("stream", (stream, headers, flags, rawHeaders) => {
    // A field that was sent twice is not in `headers`; see `joinDroppedValues`.
    const isPlain = Object.keys(headers).length === rawHeaders.length / 2;
    if (isPlain && streamHandler?.(stream, headers, rawHeaders)) {
      taken.set(stream, performance.now());
      return;
    }
    if (!stream.endAfterHeaders) {
      cancelWhenSilent(stream, limits.requestTimeoutMs);
      discardUnread(stream);
    }
    objects.emit("stream", stream, headers, flags, rawHeaders);
  });
  // One look at all of them, now and then, costs less than a timer each; and Node 24 keeps a session that has ended until its
  // own timer fires (`session.setTimeout`).
  const look = setInterval(
    () => {
      const now = performance.now();
      for (const [stream, since] of taken) {
        if (now - since > limits.requestTimeoutMs && !stream.readableEnded) stream.close(constants.NGHTTP2_CANCEL);
      }
      for (const [session, life] of sessions) {
        const { openStreams, idleSince } = life;
        if (openStreams === 0 && now - idleSince > limits.http2IdleTimeoutMs) windDown(session, life);
      }
    },
    Math.min(5_000, Math.max(20, Math.ceil(Math.min(limits.requestTimeoutMs, limits.http2IdleTimeoutMs) / 4))),
  ).unref();

  function track(session: ServerHttp2Session, socket: Socket): void {
    const life: Life = { socket, openStreams: 0, idleSince: performance.now(), isEnding: false };
    sessions.set(session, life);
    session.once("close", () => sessions.delete(session));
    // Node ends the socket after GOAWAY and the last stream, then waits for the peer to do the same.
    socket.once("finish", () => linger(socket));
    function onStreamClose(this: ServerHttp2Stream): void {
      life.openStreams -= 1;
      life.idleSince = performance.now();
      taken.delete(this);
    }
    session.on("stream", (stream: ServerHttp2Stream) => {
      life.openStreams += 1;
      stream.on("close", onStreamClose);
    });
    session.on("ping", () => {
      life.idleSince = performance.now();
    });
    if (draining) windDown(session, life);
  }

  return {
    accept(socket) {
      // Node emits 'session' while it handles 'connection', so this is the session of that socket and of no other.
      server.once("session", (session) => track(session, socket));
      server.emit("connection", socket);
    },
    drain() {
      draining = true;
      for (const [session, life] of sessions) windDown(session, life);
    },
    stop() {
      clearInterval(look);
      server.close();
    },
  };
}

/** What is known of a session. */
interface Life {
  readonly socket: Socket;
  openStreams: number;
  idleSince: number;
  isEnding: boolean;
}

/**
 * Ends a session so that no call is lost on the way. The last GOAWAY names the last stream that is served, and whoever sent one
 * more meanwhile would have to send it again, which few do by themselves; so there is a notice first (RFC 9113, 6.8), and a PING,
 * whose answer says that the client has seen it. Where the notice cannot be sent (`sendNotice`), the last GOAWAY comes with a
 * stream that is open or arrives: a client that has one at a time, such as nginx, then knows before it opens another; and an idle
 * one closes at the PING. Others have to repeat what crossed on the wire, as the libraries of gRPC do unasked.
 */
function windDown(session: ServerHttp2Session, life: Life): void {
  if (life.isEnding || session.destroyed) return;
  life.isEnding = true;
  // Streams in flight finish, then Node ends the session.
  const finish = () => {
    clearTimeout(timer);
    session.close();
  };
  const timer = setTimeout(finish, noticeMs).unref();
  session.once("close", () => clearTimeout(timer));
  const announce = () => {
    if (session.closed || session.destroyed) return;
    const isNoticed = sendNotice(life.socket);
    if (!isNoticed && life.openStreams > 0) return finish();
    if (!isNoticed) session.once("stream", finish);
    session.ping(finish);
  };
  // No frame may come before the first SETTINGS.
  if (session.pendingSettingsAck) session.once("localSettings", announce);
  else announce();
}

/** Resets a stream that stays silent before its request has ended; after that silence is the server's affair. */
function cancelWhenSilent(stream: ServerHttp2Stream, timeoutMs: number): void {
  stream.setTimeout(timeoutMs, () => {
    if (stream.state.remoteClose !== 1) stream.close(constants.NGHTTP2_CANCEL);
  });
}

/** Discards the rest of a request that is answered before its end. */
function discardUnread(stream: ServerHttp2Stream): void {
  const isAnswered = () => stream.headersSent && stream.writableEnded && stream.writableLength === 0;
  const discard = () => discardRest(stream);
  stream.once("prefinish", discard);
  const respond: ServerHttp2Stream["respond"] = stream.respond.bind(stream);
  // An answer that has no body, to HEAD or with 204, is complete with its headers, and tells so by no event.
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
