// Clients for the listener's tests: bare sockets where the bytes matter, Node's own clients elsewhere.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request as http1Request, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  type OutgoingHttpHeaders,
} from "node:http2";
import { request as https1Request } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach } from "vitest";
import type { ListenerHandler, ListenerResponse } from "../../src/rpc/listener/handler.ts";
import { type Listener, type ListenerOptions, openListener } from "../../src/rpc/listener/listener.ts";
import {
  type Frame,
  settingsFrame as frameOfSettings,
  settingsAckFrame,
  takeFrames,
} from "../fixtures/http2-frames.ts";

const fixture = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), "utf8");

export const tls = { cert: fixture("localhost.cert.pem"), key: fixture("localhost.key.pem") };

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Opens a listener on a free loopback port, closed after the test. The default handler echoes what it sees. */
export async function open(options: Partial<ListenerOptions> = {}): Promise<Listener> {
  const listener = await openListener({ host: "127.0.0.1", port: 0, handler: echo, ...options });
  cleanups.push(() => listener.close({ graceMs: 0 }));
  return listener;
}

/** What a listener has cut so far, without the reasons that are still at 0. */
export const cutsOf = (listener: Listener): Record<string, number> =>
  Object.fromEntries(Object.entries(listener.usage().cuts).filter(([, count]) => count > 0));

export const echo: ListenerHandler = (req, res) => {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => {
    const { method, url, httpVersion, headers } = req;
    answer(res, JSON.stringify({ method, url, httpVersion, headers, body: Buffer.concat(chunks).toString() }));
  });
};

export function answer(res: ListenerResponse, body: string, statusCode = 200): void {
  res.statusCode = statusCode;
  res.setHeader("content-type", "application/json");
  res.setHeader("content-length", String(Buffer.byteLength(body)));
  (res as { end(body: string): unknown }).end(body);
}

/** A bare connection. */
export interface RawClient {
  readonly socket: Socket;
  /** All bytes received so far. */
  text(): string;
  /** Resolves as soon as the bytes received match. */
  until(pattern: RegExp): Promise<string>;
  /** Resolves with all bytes received once the connection is gone, however it ended. */
  readonly closed: Promise<string>;
  /** What went wrong with the connection, a reset for one. */
  readonly errors: readonly Error[];
  /** Ends the connection with a TCP reset. */
  reset(): void;
}

export async function rawClient(listener: Listener, first?: string): Promise<RawClient> {
  const isTls = listener.url.startsWith("https:");
  const { hostname: host } = new URL(listener.url);
  const target = { host: host.replace(/[[\]]/g, ""), port: listener.port };
  const tcp = connectTcp(target);
  const socket = isTls
    ? connectTls({ socket: tcp, ca: tls.cert, servername: "localhost", ALPNProtocols: ["http/1.1"] })
    : tcp;
  cleanups.push(() => socket.destroy());
  let text = "";
  const errors: Error[] = [];
  socket.on("error", (error) => errors.push(error));
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  await once(socket, isTls ? "secureConnect" : "connect");
  // Not once(): that rejects on a reset, which is one of the ways to end.
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(text)));
  if (first !== undefined) socket.write(first);
  return {
    socket,
    text: () => text,
    async until(pattern) {
      while (!pattern.test(text)) {
        if (socket.closed) throw new Error(`closed before ${pattern}: ${text}`);
        await Promise.race([once(socket, "data"), closed]);
      }
      return text;
    },
    closed,
    errors,
    reset: () => tcp.resetAndDestroy(),
  };
}

/** An HTTP/2 connection frame by frame. */
export interface FrameClient {
  readonly socket: Socket;
  write(frame: Uint8Array): void;
  /** Resolves with the next frame of one of these types that was not given out yet; rejects where the connection ends before. */
  next(...names: readonly Frame["name"][]): Promise<Frame>;
  /** The frames that were received and not given out. */
  readonly frames: readonly Frame[];
  /** Resolves once the connection is gone, however it ended. */
  readonly closed: Promise<void>;
}

/** Opens one; it has sent its preface and `settings`, and acknowledges the server's. */
export async function frameClient(
  listener: Pick<Listener, "url" | "port">,
  { settings = frameOfSettings() }: { readonly settings?: Uint8Array } = {},
): Promise<FrameClient> {
  const isTls = listener.url.startsWith("https:");
  const tcp = connectTcp({ port: listener.port, host: "127.0.0.1" });
  const socket = isTls
    ? connectTls({ socket: tcp, ca: tls.cert, servername: "localhost", ALPNProtocols: ["h2"] })
    : tcp;
  cleanups.push(() => socket.destroy());
  // Resets are one of the ways to end.
  socket.on("error", () => {});
  const frames: Frame[] = [];
  let rest = Buffer.alloc(0);
  let wake = () => {};
  const write = (frame: Uint8Array) => void (socket.destroyed || socket.write(frame));
  socket.on("data", (chunk: Buffer) => {
    const taken = takeFrames(Buffer.concat([rest, chunk]));
    rest = Buffer.from(taken.rest);
    frames.push(...taken.frames);
    if (taken.frames.some(({ name, flags }) => name === "settings" && flags === 0)) write(settingsAckFrame);
    wake();
  });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  void closed.then(() => wake());
  await once(socket, isTls ? "secureConnect" : "connect");
  write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings]));
  return {
    socket,
    write,
    frames,
    closed,
    async next(...names) {
      for (;;) {
        const index = frames.findIndex(({ name }) => names.includes(name));
        const [frame] = index === -1 ? [] : frames.splice(index, 1);
        if (frame !== undefined) return frame;
        if (socket.closed) throw new Error(`the connection ended before a frame ${names.join(" or ")}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/** What a call came to, alike for both HTTP versions. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

type CallOptions = Pick<RequestOptions, "method" | "agent"> & { headers?: OutgoingHttpHeaders; body?: string };

/** One call over HTTP/1.1. */
export async function call1(listener: Listener, path: string, options: CallOptions = {}): Promise<Answer> {
  const { body, ...rest } = options;
  const url = `${listener.url}${path}`;
  const req = listener.url.startsWith("https:")
    ? https1Request(url, { ...rest, ca: tls.cert })
    : http1Request(url, rest);
  req.end(body);
  const [res] = await once(req, "response");
  let text = "";
  for await (const chunk of res) text += chunk;
  return { status: res.statusCode, headers: res.headers, body: text };
}

/** An HTTP/2 connection: prior knowledge in plaintext, ALPN over TLS. */
export function session2(listener: Listener): ClientHttp2Session {
  // The last two let it send what it should not.
  const options = { ca: tls.cert, strictSingleValueFields: false, maxSendHeaderBlockLength: 200_000 };
  const session = connectHttp2(listener.url, options);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return session;
}

/** One call over HTTP/2. Headers may be a flat list, to send a field twice. */
export async function call2(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders | readonly string[],
  body?: string,
): Promise<Answer> {
  const stream = session.request(headers as OutgoingHttpHeaders, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return answerOf(stream);
}

export async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const [headers] = await once(stream, "response");
  let body = "";
  for await (const chunk of stream) body += chunk;
  return { status: headers[":status"], headers, body };
}

/** The code with which the peer reset a stream. */
export async function resetCode(stream: ClientHttp2Stream): Promise<number> {
  stream.on("error", () => {});
  stream.resume();
  await new Promise((resolve) => stream.once("close", resolve));
  return stream.rstCode ?? constants.NGHTTP2_NO_ERROR;
}

/** A client's connection preface: the magic and an empty SETTINGS frame. */
export const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/** The start of what an HTTP/2 server sends: its SETTINGS frame. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: an HTTP/2 frame header is binary
export const settingsFrame = /^\x00\x00.\x04\x00\x00\x00\x00\x00/;

/** The JSON of a raw HTTP/1.1 answer's body. */
export function bodyOf(raw: string): unknown {
  return JSON.parse(raw.slice(raw.indexOf("\r\n\r\n") + 4));
}
