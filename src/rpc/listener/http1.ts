import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { CountCut, Cuts } from "./cuts.ts";
import type { ListenerHandler } from "./handler.ts";
import { Http1Connection } from "./http1-connection.ts";
import { headerHardStopBytes, headerHardStopCount, type ListenerLimits } from "./limits.ts";
import { Shares } from "./shares.ts";
import { notSupported, type StatusAnswer, sendStatusAnswer } from "./status-answer.ts";
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
  const connections = new Map<Socket, Http1Connection>();
  const waiting = new Shares({ most: limits.maxWaitingRequests, mostEach: limits.maxConcurrentStreams });
  let draining = false;

  const server = createServer({
    maxHeaderSize: headerHardStopBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    // Node's 30 s would let a client exceed a limit of 10 s fourfold.
    connectionsCheckingInterval: Math.min(5_000, Math.max(20, Math.ceil(limits.headersTimeoutMs / 4))),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // By default Node drops a second Authorization; joined, the gate refuses it. HTTP/2 does the same (http2.ts).
    joinDuplicateHeaders: true,
    // Checked below, where the answer can have a body.
    requireHostHeader: false,
    // A request that waits for its turn ends the connection with its answer: see `ignoreUpgrade`.
    shouldUpgradeCallback: ({ socket }) => connections.get(socket)?.isBusy === false,
  });
  // Node drops fields past it unseen, an Authorization behind many cookies for one: `problemOf` refuses requests with so many.
  server.maxHeadersCount = headerHardStopCount;

  // `Expect: 100-continue` is left to Node, which sends 100 at once: bodies are small, so refusing before the body is sent
  // would save little.
  server.on("request", (req, res) => serve(req, res, handler));
  server.on("checkExpectation", (req, res) => {
    serve(req, res, () => sendStatusAnswer(res, notSupported.expectation));
  });
  server.on("connect", (req) => connections.get(req.socket)?.fail(notSupported.connect));
  server.on("upgrade", (req, stream, rest) => ignoreUpgrade(req, stream as Socket, rest));
  server.on("clientError", onClientError);
  // Node starts its slow-request checks when the server listens, which this one never does. The event alone starts them:
  // an internal detail, pinned by a test.
  server.emit("listening");

  function serve(req: IncomingMessage, res: ServerResponse, handle: ListenerHandler): void {
    const problem = problemOf(req);
    if (problem !== undefined || asksToUpgrade(req)) res.shouldKeepAlive = false;
    connections.get(req.socket)?.add({
      req,
      res,
      serve: problem ? () => sendStatusAnswer(res, problem) : () => handle(req, res),
    });
  }

  function onClientError(error: NodeJS.ErrnoException, stream: unknown): void {
    const socket = stream as Socket;
    const connection = connections.get(socket);
    if (connection?.takesNoMore) return;
    const reason = reasonOf(error.code);
    if (reason !== undefined) onCut(reason);
    const answer = answerTo(error.code);
    // A client that ends its side in the middle of a request counts as gone where others before it are not answered yet: these
    // are given up. One that waits for nothing else may still listen.
    const isGone = error.code === "HPE_INVALID_EOF_STATE" && connection?.owesAnswers;
    if (connection !== undefined && answer !== undefined && socket.writable && !isGone) connection.fail(answer);
    else socket.destroy();
  }

  /** Begins to read requests from a socket, or goes on. */
  function read(socket: Socket): void {
    server.emit("connection", socket);
    stopParserWithConnection(socket, connections.get(socket));
    // Sniffing paused it explicitly, so Node's data listener alone does not set it flowing.
    socket.resume();
  }

  /**
   * Reads a request again, without its Upgrade header: a server may ignore that (RFC 9110, 7.8), but Node then skips the bytes
   * that came in one piece with it.
   */
  function ignoreUpgrade(req: IncomingMessage, socket: Socket, rest: Buffer): void {
    const { method, url, httpVersion, rawHeaders } = req;
    let head = `${method} ${url} HTTP/${httpVersion}\r\n`;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      if (rawHeaders[i]?.toLowerCase() !== "upgrade") head += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
    }
    socket.unshift(Buffer.concat([Buffer.from(`${head}\r\n`, "latin1"), rest]));
    read(socket);
  }

  return {
    accept(socket) {
      const connection = new Http1Connection(socket, {
        quietMs: limits.drainQuietMs,
        places: waiting,
      });
      connections.set(socket, connection);
      if (draining) connection.drain();
      unread.watch(socket);
      socket.once("close", () => connections.delete(socket));
      read(socket);
    },
    drain() {
      draining = true;
      for (const connection of connections.values()) connection.drain();
    },
    stop() {
      server.close();
    },
  };
}

/**
 * Lets Node's parser stop where a connection takes no more. What came in one piece, up to 64 KiB, may be thousands of requests,
 * and Node keeps each of them until the connection ends.
 */
function stopParserWithConnection({ parser }: SocketWithParser, connection: Http1Connection | undefined): void {
  if (!parser?.onIncoming || connection === undefined) return;
  const { onIncoming } = parser;
  parser.onIncoming = (...args) => {
    const result = connection.takesNoMore ? notHttp : onIncoming(...args);
    return connection.takesNoMore ? notHttp : result;
  };
}

/** Tells Node's parser that the bytes behind the head of this request are no HTTP. */
const notHttp = 2;

/** Undocumented properties of a socket; pinned by a test. */
type SocketWithParser = Socket & {
  readonly parser?: { onIncoming: ((req: IncomingMessage, keepsAlive: boolean) => number) | null } | null;
};

/** Whether Node's parser sees an Upgrade in a request. */
const asksToUpgrade = ({ headers }: IncomingMessage): boolean =>
  headers.upgrade !== undefined && /(^|[,\s])upgrade($|[,\s])/i.test(headers.connection ?? "");

/** What makes the end of a request or its host ambiguous. Its connection ends with the answer. */
function problemOf({ httpVersion, headers, rawHeaders }: IncomingMessage): StatusAnswer | undefined {
  if (rawHeaders.length >= 2 * headerHardStopCount) return answers.fields;
  // Node's parser takes 0.9 and 2.0 as well.
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return answers.version;
  // RFC 9112, 6.1: HTTP/1.0 has none, and other codings than chunked are unknown here.
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && httpVersion === "1.0") return answers.coding10;
  if (coding !== undefined && coding.toLowerCase() !== "chunked") return answers.coding;
  // RFC 9112, 3.2. Doubled fields arrive joined with a comma; HTTP/1.0 has no Host.
  const { host } = headers;
  return (host === undefined ? httpVersion === "1.0" : !host.includes(",")) ? undefined : answers.host;
}

const answers = {
  fields: { httpStatus: 431, code: 8, message: `The request has ${headerHardStopCount} header fields or more.` },
  version: { httpStatus: 505, code: 12, message: "The server speaks HTTP/1.1, and HTTP/2 from the first byte on." },
  coding10: { httpStatus: 400, code: 3, message: "An HTTP/1.0 request cannot have a Transfer-Encoding header." },
  coding: { httpStatus: 501, code: 12, message: "The only transfer coding supported is chunked." },
  host: { httpStatus: 400, code: 3, message: "An HTTP/1.1 request needs exactly one Host header." },
} satisfies Record<string, StatusAnswer>;

/** The answer to a parser's error, or undefined where the connection itself failed, so that no client reads one. */
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

/** How a parser's error counts; undefined where the client has gone. */
function reasonOf(code: string | undefined): keyof Cuts | undefined {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return "slow_request";
  // Said of a request that the client's end cut off, and of what comes behind one that says `Connection: close`.
  if (code === "HPE_INVALID_EOF_STATE" || code === "HPE_CLOSED_CONNECTION") return undefined;
  return code?.startsWith("HPE_") ? "malformed" : undefined;
}
