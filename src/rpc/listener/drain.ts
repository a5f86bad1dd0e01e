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
  await new Promise<void>((resolve) => {
    const stopListening = () => {
      front.close(() => resolve());
      sniffer.hurry(quietMs);
      for (const protocol of protocols) protocol.drain();
      onDrain?.();
      // Under TLS these are no sniffer's yet.
      setTimeout(() => {
        for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
      }, quietMs).unref();
    };
    // The other half is for the calls of those that came last.
    inCalmTurn(front, { longestMs: graceMs / 2, stopListening });
  });
  clearTimeout(deadline);
  for (const protocol of protocols) protocol.stop();
}

/** How long the turn may take at first. */
const calmTurnMs = 0.02;
/** The share of the time waited so far by which the turn may take longer: a busy server has no short ones. */
const patience = 1 / 200;

/**
 * Calls `stopListening` in a turn of the event loop that found no connection to accept and took next to no time, so that hardly
 * any is waiting: the system resets those when listening ends, perhaps with a request in them that no client would repeat.
 * A turn accepts one connection, so the loop may have to turn often. After `longestMs` it does so anyway.
 */
function inCalmTurn(
  front: Server,
  { longestMs, stopListening }: { readonly longestMs: number; readonly stopListening: () => void },
): void {
  const began = performance.now();
  let last = began;
  // The first look is still in this turn.
  let hasAccepted = true;
  const onAccepted = () => {
    hasAccepted = true;
  };
  front.on("connection", onAccepted).on("drop", onAccepted);
  const look = () => {
    const now = performance.now();
    const waitedMs = now - began;
    const isCalm = !hasAccepted && now - last < calmTurnMs + waitedMs * patience;
    if (isCalm || waitedMs >= longestMs) {
      // Before anything else: connections come all the time.
      stopListening();
      front.off("connection", onAccepted).off("drop", onAccepted);
      return;
    }
    hasAccepted = false;
    last = now;
    setImmediate(look);
  };
  setImmediate(look);
}
