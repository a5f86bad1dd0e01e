import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { CountCut, Cuts } from "./cuts.ts";
import { discardRestOfBody } from "./discard.ts";
import type { ListenerHandler } from "./handler.ts";
import { headerHardStopBytes, type ListenerLimits } from "./limits.ts";
import { linger } from "./linger.ts";
import { notSupported, rawHttp1Answer, type StatusAnswer, sendStatusAnswer } from "./status-answer.ts";
import type { Unread } from "./unread.ts";

/** One HTTP version's half of the listener: it serves sockets that the front server accepted. */
export interface ProtocolServer {
  /** Serves a socket from now on, also while it drains. */
  accept(socket: Socket): void;
  /** Lets clients know that each connection ends, goes on serving what they send until they do, and ends it. */
  drain(): void;
  /** Stops background checks, once all sockets are gone. */
  stop(): void;
}

/** Creates the HTTP/1.1 half. It never listens itself. */
export function createHttp1(options: {
  handler: ListenerHandler;
  limits: ListenerLimits;
  unread: Unread;
  onCut: CountCut;
}): ProtocolServer {
  const { handler, limits, unread, onCut } = options;
  const connections = new Map<Socket, Connection>();
  const refused = new WeakSet<Socket>();
  let draining = false;

  const server = createServer({
    maxHeaderSize: headerHardStopBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    // Node's 30 s would let a client overstay a 10 s limit four times.
    connectionsCheckingInterval: Math.min(5_000, Math.max(20, Math.ceil(limits.headersTimeoutMs / 4))),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // By default a second Authorization is dropped unseen; joined, the gate refuses it. HTTP/2 does the same (http2.ts).
    joinDuplicateHeaders: true,
    // Checked below, where the answer can have a body.
    requireHostHeader: false,
  });
  // The default drops fields past the 1000th unseen, an Authorization behind many cookies for one.
  server.maxHeadersCount = 0;

  // `Expect: 100-continue` is left to Node, which sends 100 at once: bodies are small, so refusing before the body is sent
  // would save little. `Upgrade: h2c` has no listener, so it is ignored and the request served as HTTP/1.1.
  server.on("request", onRequest);
  server.on("checkExpectation", (_req, res) => sendStatusAnswer(res, notSupported.expectation));
  server.on("connect", (_req, socket) => refuse(socket as Socket, notSupported.connect));
  server.on("clientError", onClientError);
  // Node starts its slow-request checks when the server listens, which this one never does. The event alone starts them:
  // an internal detail, pinned by a test.
  server.emit("listening");

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    const { socket } = req;
    const connection = connections.get(socket);
    if (connection === undefined) return;
    const { responses } = connection;
    // Each is served while it waits for the answers before it.
    if (responses.length >= limits.maxConcurrentStreams) {
      if (!socket.destroyed) onCut("flood");
      socket.destroy();
      return;
    }
    // A handler's write after the end is an 'error' event, and without a listener the end of the process.
    res.on("error", ignore);
    if (draining && !makeLast(res, responses.at(-1))) return;
    responses.push(res);
    const rest = () => {
      if (responses.length > 0) return;
      connection.bytesReadIdle = socket.bytesRead;
      if (draining) closeWhenQuiet(socket, connection);
    };
    res.on("close", () => {
      responses.splice(responses.indexOf(res), 1);
      // What is left of a request that was answered before its end is no part of another one.
      if (!req.complete) req.once("end", rest);
      discardRestOfBody(req);
      rest();
    });
    if (!hasOneHost(req)) {
      res.shouldKeepAlive = false;
      sendStatusAnswer(res, answers.host);
    } else {
      handler(req, res);
    }
  }

  function onClientError(error: NodeJS.ErrnoException, stream: unknown): void {
    const socket = stream as Socket;
    // The rest of a refused request: discarded while the peer reads the answer.
    if (refused.has(socket)) return;
    const reason = reasonOf(error.code);
    if (reason !== undefined) onCut(reason);
    const answer = answerTo(error.code);
    if (answer !== undefined && socket.writable && isNextAnswer(connections.get(socket)?.responses ?? []))
      refuse(socket, answer);
    else socket.destroy();
  }

  function refuse(socket: Socket, answer: StatusAnswer): void {
    refused.add(socket);
    socket.end(rawHttp1Answer(answer));
    socket.resume();
    linger(socket);
  }

  /**
   * Closes a connection on which nothing comes for a while. At once, a request could be on its way, and a proxy cannot know
   * whether it was served: it repeats no POST. What comes meanwhile is answered, and the answer ends the connection.
   */
  function closeWhenQuiet(socket: Socket, connection: Connection): void {
    if (isBusy(socket, connection)) return;
    setTimeout(() => {
      if (!isBusy(socket, connection)) socket.destroySoon();
    }, limits.drainQuietMs).unref();
  }

  return {
    accept(socket) {
      connections.set(socket, { responses: [], bytesReadIdle: 0 });
      unread.watch(socket);
      socket.once("close", () => connections.delete(socket));
      server.emit("connection", socket);
      // Sniffing paused it explicitly, so Node's data listener alone does not set it flowing.
      socket.resume();
    },
    drain() {
      draining = true;
      for (const [socket, connection] of connections) {
        // Only the last: the connection ends after the response that says so, and earlier ones would take it along.
        const last = connection.responses.at(-1);
        if (last !== undefined && !last.headersSent) last.shouldKeepAlive = false;
        closeWhenQuiet(socket, connection);
      }
    },
    stop() {
      server.close();
    },
  };
}

/** What is known of a socket. */
interface Connection {
  /** Those not yet finished, in the order of the requests (pipelining). */
  readonly responses: ServerResponse[];
  /** How much had been read when the last of them was finished; 0 before the first. */
  bytesReadIdle: number;
}

/** Whether a request is being served, or a part of one has come. */
const isBusy = (socket: Socket, { responses, bytesReadIdle }: Connection): boolean =>
  responses.length > 0 || socket.bytesRead !== bytesReadIdle;

/**
 * Makes a response the one that ends its connection, rather than the one before it. False where that one has said already that
 * it is: then nobody would read this one, and the request must not be served. The client may repeat it (RFC 9112, 9.6).
 */
function makeLast(res: ServerResponse, before: ServerResponse | undefined): boolean {
  if (before?.shouldKeepAlive === false) {
    if (before.headersSent) return false;
    before.shouldKeepAlive = true;
  }
  res.shouldKeepAlive = false;
  return true;
}

function ignore(): void {}

/** RFC 9112, 3.2. Doubled fields arrive joined with a comma; HTTP/1.0 has no Host. */
function hasOneHost(req: IncomingMessage): boolean {
  const { host } = req.headers;
  return host === undefined ? req.httpVersion === "1.0" : !host.includes(",");
}

/**
 * Whether a raw answer would reach the client as the answer to the request that failed: nothing is in flight, or only
 * that very request, its body unfinished and its response unsent. Otherwise it would pass for another request's answer.
 */
function isNextAnswer(responses: readonly ServerResponse[]): boolean {
  const [first] = responses;
  return first === undefined || (responses.length === 1 && !first.headersSent && !first.req.complete);
}

const answers = {
  host: { httpStatus: 400, code: 3, message: "An HTTP/1.1 request needs exactly one Host header." },
} satisfies Record<string, StatusAnswer>;

/** The answer to a parser's error, or undefined where the connection itself failed and nobody reads one. */
function answerTo(code: string | undefined): StatusAnswer | undefined {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return { httpStatus: 431, code: 8, message: `The request's headers exceed ${headerHardStopBytes} bytes.` };
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return { httpStatus: 413, code: 8, message: "The request's chunk extensions are too large." };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { httpStatus: 408, code: 4, message: "The request did not arrive in time." };
    default:
      return code?.startsWith("HPE_")
        ? { httpStatus: 400, code: 3, message: "The request is not valid HTTP/1.1." }
        : undefined;
  }
}

/** What a parser's error counts as; nothing where the client has gone. */
function reasonOf(code: string | undefined): keyof Cuts | undefined {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return "slow_request";
  // Said of a request that the client's end cut off.
  if (code === "HPE_INVALID_EOF_STATE") return undefined;
  return code?.startsWith("HPE_") ? "malformed" : undefined;
}
