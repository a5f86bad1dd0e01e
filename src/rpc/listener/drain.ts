import type { Server, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { ProtocolServer } from "./http1.ts";
import type { Sniffer } from "./sniff.ts";

/** What `drain` winds down. */
export interface DrainOptions {
  front: Server;
  /** Every accepted TCP socket that is still open, under TLS the one below it. */
  sockets: ReadonlySet<Socket>;
  sniffer: Sniffer;
  protocols: readonly ProtocolServer[];
  /** How long everything goes on as before, so that balancers notice. */
  lameDuckMs: number;
  /** How long silent connections are kept: a request may be on its way. */
  quietMs: number;
  /** After the lame-duck time, how long calls in flight may take to finish; then everything is destroyed. */
  graceMs: number;
  /** Gets how many connections were still open when the grace ended, where there were any. */
  onUnfinished?: ((connections: number) => void) | undefined;
  /** Called when every client has got the notice that its connection ends. */
  onDrain?: (() => void) | undefined;
}

/** Goes on for the lame-duck time, stops accepting, lets calls in flight finish, and resolves when no socket is left. */
export async function drain(options: DrainOptions): Promise<void> {
  const { front, sockets, sniffer, protocols, lameDuckMs, quietMs, graceMs, onUnfinished, onDrain } = options;
  if (lameDuckMs > 0) await delay(lameDuckMs);
  const deadline = setTimeout(() => {
    if (sockets.size > 0) onUnfinished?.(sockets.size);
    for (const socket of sockets) socket.destroy();
  }, graceMs);
  await calmTurn();
  await new Promise<void>((resolve) => {
    front.close(() => resolve());
    sniffer.hurry(quietMs);
    for (const protocol of protocols) protocol.drain();
    onDrain?.();
    // Under TLS these are no sniffer's yet.
    setTimeout(() => {
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    }, quietMs).unref();
  });
  clearTimeout(deadline);
  for (const protocol of protocols) protocol.stop();
}

const calmTurnMs = 0.3;
const mostTurns = 50;

/**
 * Resolves in a turn of the event loop that has taken next to no time, so that hardly any connection waits to be accepted: the
 * system resets those when listening ends, perhaps with a request in them that no client would repeat.
 */
function calmTurn(): Promise<void> {
  return new Promise((resolve) => {
    let turns = 0;
    // The first is still this turn.
    let last = Number.NEGATIVE_INFINITY;
    const look = () => {
      const now = performance.now();
      turns += 1;
      if (now - last < calmTurnMs || turns === mostTurns) resolve();
      else {
        last = now;
        setImmediate(look);
      }
    };
    setImmediate(look);
  });
}
