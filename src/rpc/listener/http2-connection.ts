import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Allowance } from "./allowance.ts";
import type { CountCut, Cuts } from "./cuts.ts";
import type { ListenerLimits } from "./limits.ts";
import { linger } from "./linger.ts";
import { joinStart, Pieces } from "./pieces.ts";
import type { Share, Shares } from "./shares.ts";

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_REFUSED_STREAM, NGHTTP2_SETTINGS_TIMEOUT } = constants;

/** How long a client has to answer the PINGs before GOAWAY; two round trips take less. */
const pingTimeoutMs = 1_000;

/** One HTTP/2 connection: what it costs, and how it ends. */
export class Http2Connection {
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #limits: ListenerLimits;
  readonly #onCut: CountCut;
  readonly #streams = new Map<ServerHttp2Stream, StreamLife>();
  /** Streams whose turn to be served has not come: see `Turns`. */
  readonly waiting = new Set<ServerHttp2Stream>();
  readonly #places: Shares;
  readonly #share: Share = { held: 0, giveUp: () => this.#giveUpStream() };
  readonly #since = performance.now();
  #idleSince = this.#since;
  #isEnding = false;
  readonly #control: Allowance;
  readonly #controlBytes: Allowance;
  readonly #traffic: Traffic;
  readonly #onStreamClose: () => void;
  readonly #countedPush: ServerHttp2Stream["push"];
  /** What the connection had written when its client sent the last PING. */
  #writtenAtPing = 0;

  constructor(
    session: ServerHttp2Session,
    socket: Socket,
    { limits, places, onCut }: { limits: ListenerLimits; places: Shares; onCut: CountCut },
  ) {
    this.#places = places;
    this.#session = session;
    this.#socket = socket;
    this.#limits = limits;
    this.#onCut = onCut;
    this.#control = new Allowance({ burst: limits.controlFrameBurst, perSecond: limits.controlFramesPerSecond });
    const { controlBytesPerSecond } = limits;
    this.#controlBytes = new Allowance({ burst: controlBytesPerSecond, perSecond: controlBytesPerSecond });
    this.#traffic = new Traffic(socket);
    this.#onStreamClose = this.#createOnStreamClose();
    this.#countedPush = this.#createCountedPush();
    session.on("ping", () => this.#onPing());
    session.on("remoteSettings", () => this.#spend(settingsCost));
  }

  /** Whether a stream that was opened is served. Otherwise it is reset, and the client may send its request again. */
  admit(stream: ServerHttp2Stream): boolean {
    if (!stream.endAfterHeaders) {
      stream.push = this.#countedPush;
      joinStart(stream);
    }
    if (!this.#places.take(this.#share)) {
      this.#onCut("too_many_streams");
      // A reset is also an error event, and one without a listener would end the process.
      stream.on("error", ignore);
      stream.close(NGHTTP2_REFUSED_STREAM);
      return false;
    }
    this.#streams.set(stream, { since: performance.now() });
    this.#traffic.forCalls += streamBytes;
    stream.on("close", this.#onStreamClose);
    return true;
  }

  /** Ends what takes too long; call it regularly. One look at all costs less than a timer for each. */
  look(now: number): void {
    const session = this.#session;
    if (session.destroyed) return;
    const { http2IdleTimeoutMs, headersTimeoutMs } = this.#limits;
    if (session.pendingSettingsAck && now - this.#since > headersTimeoutMs) {
      this.#end(NGHTTP2_SETTINGS_TIMEOUT, "silent");
    }
    if (!this.#controlBytes.take(this.#traffic.takeControlBytes())) this.#end(NGHTTP2_ENHANCE_YOUR_CALM);
    // Headers that never end: no stream to Node, and to nghttp2 one that it waits for.
    const idleMs = now - this.#idleSince;
    if (session.closed && this.#streams.size === 0 && idleMs > http2IdleTimeoutMs + headersTimeoutMs) {
      this.#end(NGHTTP2_ENHANCE_YOUR_CALM, "slow_request");
    }
    for (const [stream, life] of this.#streams) this.#lookAtStream(stream, life, now);
    if (this.#streams.size === 0 && idleMs > http2IdleTimeoutMs) this.windDown();
  }

  /**
   * Ends the connection: by GOAWAY, which names the last stream that is served, and what is sent after has to be sent again, as
   * the libraries of gRPC do unasked. So GOAWAY comes with a stream that is open or arrives: a client that has one at a time,
   * such as nginx, then knows before it opens another. An idle connection is asked with a PING first, which a stream that was
   * on its way overtakes, and then with a second one: nginx may read the first together with the end of an answer, answer it,
   * and open its next stream. A PING that it reads between two streams makes it close the connection. (The notice before the
   * last GOAWAY, RFC 9113, 6.8, Node cannot send: after any GOAWAY, nghttp2 passes over new streams.)
   */
  windDown(): void {
    const session = this.#session;
    if (this.#isEnding || session.destroyed) return;
    this.#isEnding = true;
    // Streams in flight finish, then Node ends the session.
    const finish = () => {
      clearTimeout(timer);
      session.close();
    };
    const timer = setTimeout(finish, pingTimeoutMs).unref();
    session.once("close", () => clearTimeout(timer));
    const askAgain = (lost: Error | null) => {
      if (lost !== null || session.closed || session.destroyed) finish();
      else session.ping(finish);
    };
    const announce = () => {
      if (session.closed || session.destroyed) return;
      session.once("stream", finish);
      if (this.#streams.size === 0) session.ping(askAgain);
      else finish();
    };
    // No frame may come before the first SETTINGS.
    if (session.pendingSettingsAck) session.once("localSettings", announce);
    else announce();
  }

  /** One for all streams: what listens to a stream lives as long as that, which is long after its call. */
  #createOnStreamClose() {
    const end = (stream: ServerHttp2Stream) => {
      if (this.#streams.delete(stream)) this.#places.giveBack(this.#share);
      this.#idleSince = performance.now();
    };
    return function (this: ServerHttp2Stream): void {
      end(this);
    };
  }

  /** One for all streams, as above. Bytes of request bodies belong to calls. */
  #createCountedPush(): ServerHttp2Stream["push"] {
    const traffic = this.#traffic;
    const pieces = new Pieces();
    return function (this: ServerHttp2Stream, chunk: Buffer | null, encoding) {
      // Twice: a frame may be padded, and the padding is not among these bytes.
      if (chunk !== null) traffic.forCalls += 2 * chunk.length + frameBytes;
      return pieces.push(this, chunk, encoding);
    };
  }

  /**
   * A PING counts if since the one before nothing was sent but its answer: libraries that measure the link, such as grpc-go,
   * send one with every answer.
   */
  #onPing(): void {
    this.#idleSince = performance.now();
    const written = this.#socket.bytesWritten;
    const isMeasuring = written - this.#writtenAtPing > pingBytes;
    this.#writtenAtPing = written;
    if (!isMeasuring) this.#spend(1);
  }

  /**
   * Ends a stream of which nothing has been served, or else the oldest that waits for its client. One that is being served is
   * soon over, or its client waits for it.
   */
  #giveUpStream(): boolean {
    for (const stream of this.waiting) {
      this.waiting.delete(stream);
      if (stream.closed) continue;
      this.#onCut("too_many_streams");
      stream.close(NGHTTP2_REFUSED_STREAM);
      return true;
    }
    for (const stream of this.#streams.keys()) {
      if (stream.closed || (stream.state.remoteClose === 1 && !isUnread(stream))) continue;
      this.#onCut("too_many_streams");
      stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      return true;
    }
    return false;
  }

  #lookAtStream(stream: ServerHttp2Stream, life: StreamLife, now: number): void {
    if (stream.closed) return;
    const { requestTimeoutMs, writeTimeoutMs } = this.#limits;
    // Where an answer has begun before the request ended, both go on as long as they like: see `cancelWhenSilent`.
    const isLate = now - life.since > requestTimeoutMs && !stream.headersSent && stream.state.remoteClose !== 1;
    if (!isUnread(stream)) delete life.waiting;
    else if (life.waiting === undefined || stream.writableLength < life.waiting.length) {
      life.waiting = { length: stream.writableLength, since: now, written: this.#socket.bytesWritten };
    } else life.waiting.length = stream.writableLength;
    const { waiting } = life;
    if (isLate) {
      this.#onCut("slow_request");
      stream.close(NGHTTP2_CANCEL);
    } else if (waiting && now - waiting.since > writeTimeoutMs && !this.#moves(waiting, now)) {
      this.#onCut("not_read");
      // Not CANCEL: Node sends that one with the next frame, and there may be none.
      stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }

  /** Whether a large answer may be on its way all the time: bytes flow, and not as many as all that wait. */
  #moves({ length, since, written }: Waiting, now: number): boolean {
    const bytes = this.#socket.bytesWritten - written;
    return bytes > slowestBytesPerMs * (now - since) && bytes < 2 * (length + frameBytes) * this.#streams.size;
  }

  #spend(cost: number): void {
    if (!this.#control.take(cost)) this.#end(NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #end(code: number, reason: keyof Cuts = "flood"): void {
    if (this.#session.destroyed) return;
    this.#onCut(reason);
    this.#session.destroy(new Error("the client asks too much of the connection"), code);
    linger(this.#socket);
  }
}

/** Whether bytes of an answer, or its end, wait for the client's flow control. HEAD streams are ended from the start. */
const isUnread = (stream: ServerHttp2Stream): boolean =>
  stream.headersSent && (stream.writableLength > 0 || stream.writableEnded);

/** What is known of an open stream. */
interface StreamLife {
  readonly since: number;
  waiting?: Waiting;
}

/** What is known of bytes that the client does not take. */
interface Waiting {
  /** In bytes; each time that some were taken, the rest begins anew. */
  length: number;
  readonly since: number;
  /** The bytes that the connection had written by then. */
  readonly written: number;
}

/** A frame of settings makes more work than a ping, and is sent a few times in a connection's life. */
const settingsCost = 10;
const frameBytes = 18;
const pingBytes = 17;
/**
 * A byte in a frame of its own, 10 in all, is answered with two frames of 13: for the window of its stream, and the
 * connection's.
 */
const windowUpdatesPerByte = 3;
/** What no link is slower than. */
const slowestBytesPerMs = 1;
/**
 * More than a stream takes at its start: its headers at their hard stop, and as much of its body as was read together with
 * them.
 */
const streamBytes = 128 * 1024;

/**
 * Counts the bytes read that belong to no call. Node neither counts frames such as WINDOW_UPDATE nor emits an event for them. A
 * client that reads much may send more bytes in WINDOW_UPDATE than it reads, so bytes written count in its favour.
 * `bench/suites/parts.ts` measures what it brings.
 */
class Traffic {
  /** Bytes that calls may have taken since the last look. */
  forCalls = 0;
  readonly #socket: Socket;
  #read: number;
  #written: number;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#read = socket.bytesRead;
    this.#written = socket.bytesWritten;
  }

  /** The bytes since the last look that belong to no call. */
  takeControlBytes(): number {
    const { bytesRead, bytesWritten } = this.#socket;
    const forCalls = this.forCalls + windowUpdatesPerByte * (bytesWritten - this.#written);
    const controlBytes = bytesRead - this.#read - forCalls;
    this.#read = bytesRead;
    this.#written = bytesWritten;
    this.forCalls = 0;
    return Math.max(0, controlBytes);
  }
}

function ignore(): void {}
