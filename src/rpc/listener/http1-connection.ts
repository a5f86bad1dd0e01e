import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { headerProblem } from "./limits.ts";
import { dropInput, linger } from "./linger.ts";
import { Pieces } from "./pieces.ts";
import type { Share, Shares } from "./shares.ts";
import { rawHttp1Answer, type StatusAnswer, sendStatusAnswer } from "./status-answer.ts";

/** The most of a body that can wait with its request while Node goes on reading the socket. */
const waitingBodyBytes = 32 * 1024;

/** So many bytes are read and dropped to keep a connection: that costs less than a new one. */
const keptBodyBytes = 1024 * 1024;

/** How long the rest of a body may take once its request is answered. */
const restOfBodyMs = 1_000;

/** A request, and what answers it. */
interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly serve: () => void;
}

/** One HTTP/1.1 connection: whose turn it is, and how it ends. */
export class Http1Connection {
  readonly #socket: Socket;
  readonly #quietMs: number;
  readonly #places: Shares;
  readonly #pieces = new Pieces();
  /** Nothing is given up for others: what waits lives as long as its connection. */
  readonly #share: Share = { held: 0, giveUp: () => false };
  /** Requests that are not answered in full, in the order they came. The first is being served, the others wait. */
  readonly #exchanges: Exchange[] = [];
  /** How much had been read when the last of them was answered; 0 before the first. */
  #bytesReadIdle = 0;
  #isDraining = false;
  /** Whether what comes is dropped and no longer read as requests. */
  #takesNoMore = false;
  #hasEnded = false;

  /**
   * `quietMs` is how long the connection is silent before it closes while the listener drains. `places` are those of requests
   * that wait behind one that is not answered yet.
   */
  constructor(socket: Socket, { quietMs, places }: { readonly quietMs: number; readonly places: Shares }) {
    this.#socket = socket;
    this.#quietMs = quietMs;
    this.#places = places;
    socket.once("close", () => {
      while (this.#share.held > 0) places.giveBack(this.#share);
    });
    // Node calls it after the last answer; its own method would close at once.
    socket.destroySoon = () => this.#end();
  }

  /** Whether a request is not answered yet. */
  get isBusy(): boolean {
    return this.#exchanges.length > 0;
  }

  /** Whether a request that has come to its end is not answered yet. */
  get owesAnswers(): boolean {
    return this.#exchanges[0]?.req.complete ?? false;
  }

  get takesNoMore(): boolean {
    return this.#takesNoMore;
  }

  /**
   * Serves a request when those before it are answered: two at once could act in the wrong order (RFC 9112, 9.3.2), and once
   * an answer has ended the connection, the requests behind it must not be served (9.6).
   */
  add({ req, res, serve }: Exchange): void {
    // A handler's write after the end is an 'error' event, and without a listener the end of the process.
    res.on("error", ignore);
    // An answer that was written may have reached its client before this side sees that it is out.
    const isAnswered = this.#exchanges.every((exchange) => exchange.res.writableEnded);
    const waits = isAnswered || mayWait(req);
    if (this.isBusy && !this.#takesNoMore && !(waits && this.#places.take(this.#share))) this.#takeNoMore();
    if (this.#takesNoMore) return;
    if (this.#isDraining && !this.#makeLast(res)) return;
    if (bodyBytesOf(req) > keptBodyBytes) closeUnlessRead(req, res);
    req.push = (chunk: Buffer | null, encoding) => this.#pieces.push(req, chunk, encoding);
    this.#exchanges.push({ req, res, serve });
    res.on("close", () => this.#finish(req));
    if (this.#exchanges.length === 1) serve();
  }

  /** Answers a request that cannot be read further, after those before it, and closes the connection. */
  fail(answer: StatusAnswer): void {
    if (this.#takesNoMore) return;
    const last = this.#exchanges.at(-1);
    if (last === undefined) {
      this.#socket.write(rawHttp1Answer(answer));
      this.#end();
      return;
    }
    this.#takeNoMore();
    const { req, res } = last;
    if (req.complete) return;
    if (!res.headersSent) sendStatusAnswer(res, answer);
    // What has begun cannot become another answer.
    else if (!res.writableEnded) res.destroy();
  }

  /** Closes the connection, when what is being served is answered and no request is on its way. */
  drain(): void {
    this.#isDraining = true;
    // Only the last: the connection ends after the response that says so, and earlier ones would take it along.
    this.#sayClose();
    this.#closeWhenQuiet();
  }

  /** Serves what has come, and closes the connection. The client may repeat what comes behind (RFC 9112, 9.6). */
  #takeNoMore(): void {
    this.#drop();
    this.#sayClose();
    if (!this.isBusy) this.#end();
  }

  /** In stages, so that the client can read the answer whatever it still sends. */
  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#drop();
    this.#socket.end(() => linger(this.#socket));
  }

  #drop(): void {
    if (this.#takesNoMore) return;
    this.#takesNoMore = true;
    const socket = this.#socket;
    const drop = () => {
      socket.removeAllListeners("data");
      dropInput(socket);
    };
    // Not while Node's parser is at it: it may stop the reading once more, or start it.
    setImmediate(() => {
      if (socket.isPaused()) {
        // What Node's parser has stopped, only its own listener to this event starts.
        socket.once("resume", drop);
        socket.resume();
      } else {
        drop();
      }
    });
  }

  #sayClose(): void {
    const last = this.#exchanges.at(-1)?.res;
    if (last !== undefined && !last.headersSent) last.shouldKeepAlive = false;
  }

  /**
   * Makes a response the one that ends the connection, rather than the one before it. False where that one has said already
   * that it is: then no client would read this one, and the request must not be served.
   */
  #makeLast(res: ServerResponse): boolean {
    const before = this.#exchanges.at(-1)?.res;
    if (before?.shouldKeepAlive === false) {
      if (before.headersSent) return false;
      before.shouldKeepAlive = true;
    }
    res.shouldKeepAlive = false;
    return true;
  }

  /** Goes on after an answer. */
  #finish(req: IncomingMessage): void {
    this.#exchanges.shift();
    if (this.#hasEnded || this.#socket.destroyed) return;
    const next = this.#exchanges[0];
    if (next !== undefined) {
      this.#places.giveBack(this.#share);
      // Where it could not be read to its end, it has been answered.
      if (!next.res.writableEnded) next.serve();
    } else if (this.#takesNoMore) {
      this.#end();
    } else {
      this.#rest();
      if (!req.complete) this.#discardRest(req);
    }
  }

  /** What is left of a request that was answered before its end is no part of another one. */
  #discardRest(req: IncomingMessage): void {
    req.once("end", () => this.#rest());
    const timer = setTimeout(() => {
      if (!req.complete) this.#end();
    }, restOfBodyMs).unref();
    req.once("close", () => clearTimeout(timer));
  }

  #rest(): void {
    if (this.isBusy) return;
    this.#bytesReadIdle = this.#socket.bytesRead;
    if (this.#isDraining) this.#closeWhenQuiet();
  }

  /**
   * Closes a connection on which nothing comes for a while. At once, a request could be on its way, and a proxy cannot know
   * whether it was served: it repeats no POST. What comes meanwhile is answered, and the answer ends the connection.
   */
  #closeWhenQuiet(): void {
    const isQuiet = () => !this.isBusy && this.#socket.bytesRead === this.#bytesReadIdle;
    if (!isQuiet()) return;
    setTimeout(() => {
      if (isQuiet()) this.#end();
    }, this.#quietMs).unref();
  }
}

const bodyBytesOf = ({ headers }: IncomingMessage): number => Number(headers["content-length"] ?? 0);

/**
 * Whether a request may wait behind another. What waits is not read: of a large body Node would stop reading the socket, and not
 * see that the client goes. Headers that will be refused take many times their bytes.
 */
const mayWait = (req: IncomingMessage): boolean =>
  bodyBytesOf(req) <= waitingBodyBytes &&
  req.headers["transfer-encoding"] === undefined &&
  headerProblem(req) === undefined;

/**
 * Lets an answer that comes before the end of its request say that it closes the connection, rather than read all of the body.
 */
function closeUnlessRead(req: IncomingMessage, res: ServerResponse): void {
  const writeHead: ServerResponse["writeHead"] = res.writeHead.bind(res);
  res.writeHead = ((...args: Parameters<ServerResponse["writeHead"]>) => {
    if (!req.complete) res.shouldKeepAlive = false;
    return writeHead(...args);
  }) as ServerResponse["writeHead"];
}

function ignore(): void {}
