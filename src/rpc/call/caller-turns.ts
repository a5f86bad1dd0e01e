import { Code, ConnectError, type ContextValues, createContextKey } from "@connectrpc/connect";

/**
 * The caller: any text that no two callers share. A gate sets it. Calls without it take turns by the address of their
 * connection, and do not count as in flight: many strangers may share an address, and one of them could fill it.
 */
export const callerKey = createContextKey<string | undefined>(undefined, { description: "caller" });

/** The connection of a call; the dispatch sets it. */
export const connectionKey = createContextKey<{ readonly remoteAddress?: string | undefined } | undefined>(undefined, {
  description: "connection",
});

/**
 * The name by which a call without `callerKey` takes turns. A connection that closes forgets its address, so read it once for a
 * call.
 */
export function addressOf(values: ContextValues): string {
  try {
    return values.get(connectionKey)?.remoteAddress ?? "unknown";
  } catch {
    // Node's HTTP/2 throws for the socket of a session that is gone.
    return "unknown";
  }
}

export interface CallerTurnsOptions {
  /**
   * How many unary calls of one caller are in flight at once: each until its implementation has ended, even if its client is
   * gone; from 1 on. Default 200: all that a single busy client has use for, and few enough that others do not wait long behind
   * them for a disk or a database.
   */
  readonly maxInFlight?: number;
  /** Calls a function in the next turn of the event loop. Default `setImmediate`. */
  readonly schedule?: (turn: () => void) => void;
}

/**
 * How many calls begin in one turn of the event loop, of all callers together: what others then wait for is about a
 * millisecond. More at once cost less each, since they share writes and looks at a store. So a caller that has been alone for
 * some turns begins more.
 */
const callsInOneTurn = 16;
const callsInOneTurnAlone = 128;
const turnsUntilAlone = 50;
/** How many calls of one caller wait, for each that is in flight. A waiting call holds some kilobytes. */
const waitingForEach = 10;

/** A call that may be over before its turn comes. */
export interface Abortable {
  /** Calls back with the reason when the call is aborted, at once where it is already; undefined takes the listener off. */
  onAbort(listener: ((reason: unknown) => void) | undefined): void;
}

/** The call of a signal. */
export function abortableBy(signal: AbortSignal): Abortable {
  let abort: (() => void) | undefined;
  return {
    onAbort(listener) {
      if (abort !== undefined) signal.removeEventListener("abort", abort);
      abort = listener && (() => listener(signal.reason));
      if (signal.aborted) abort?.();
      else if (abort !== undefined) signal.addEventListener("abort", abort, { once: true });
    },
  };
}

interface Caller {
  readonly name: string;
  inFlight: number;
  /** In this turn. */
  begun: number;
  /** Whether the next turn looks at it. */
  isDue: boolean;
  /** In their order; each begins its call. */
  waiting: Set<() => void> | undefined;
  /** Calls that find too many waiting. They take turns too: a client that is refused at once asks again at once. */
  refused: Set<() => void> | undefined;
}

/**
 * Lets calls of many callers begin fairly. In one turn of the event loop a caller begins only a few calls, and has only so many
 * in flight; its further calls wait for each other, and those of others go between. A caller whose calls are few never waits.
 */
export class CallerTurns {
  readonly #maxInFlight: number;
  readonly #maxWaiting: number;
  readonly #schedule: (turn: () => void) => void;
  readonly #callers = new Map<string, Caller>();
  #due: Caller[] = [];
  /** How many turns there were since two callers shared one. */
  #turnsAlone = 0;
  /** How many calls each caller may begin in this turn. */
  #share = callsInOneTurn;

  /** Throws a TypeError for a `maxInFlight` with which no call would ever begin, or that is no number of calls. */
  constructor({ maxInFlight = 200, schedule = setImmediate }: CallerTurnsOptions = {}) {
    if (!Number.isInteger(maxInFlight) || maxInFlight < 1) {
      throw new TypeError(`maxInFlight must be a whole number of calls from 1 on, and not ${maxInFlight}`);
    }
    this.#maxInFlight = maxInFlight;
    this.#maxWaiting = maxInFlight * waitingForEach;
    this.#schedule = schedule;
  }

  /**
   * Begins a call. Returns undefined where it begins at once, which costs next to nothing; else a promise that resolves when its
   * turn has come. Rejects with the reason where the call is aborted first, and with `resource_exhausted` where too many calls of
   * the caller wait already. What has begun needs an `end`.
   */
  begin(name: string, call: Abortable): Promise<void> | undefined {
    let caller = this.#callers.get(name);
    if (caller === undefined) {
      caller = { name, inFlight: 0, begun: 0, isDue: false, waiting: undefined, refused: undefined };
      this.#callers.set(name, caller);
    }
    if (caller.begun >= this.#share || caller.inFlight >= this.#maxInFlight || hasAny(caller.waiting)) {
      return this.#wait(caller, call);
    }
    caller.begun += 1;
    caller.inFlight += 1;
    this.#makeDue(caller);
    return undefined;
  }

  /** Ends a call that has begun. */
  end(name: string): void {
    const caller = this.#callers.get(name);
    if (caller === undefined) return;
    caller.inFlight -= 1;
    if (hasAny(caller.waiting)) this.#makeDue(caller);
    else if (!caller.isDue) this.#forgetIdle(caller);
  }

  #wait(caller: Caller, call: Abortable): Promise<void> {
    const isTooMuch = (caller.waiting?.size ?? 0) >= this.#maxWaiting;
    // biome-ignore lint/suspicious/noAssignInExpressions: a set is made with its first entry
    const queue = isTooMuch ? (caller.refused ??= new Set()) : (caller.waiting ??= new Set());
    return new Promise((resolve, reject) => {
      const take = () => {
        call.onAbort(undefined);
        if (isTooMuch) reject(tooManyWait());
        else resolve();
      };
      queue.add(take);
      this.#makeDue(caller);
      call.onAbort((reason) => {
        queue.delete(take);
        reject(reason as Error);
      });
    });
  }

  #makeDue(caller: Caller): void {
    if (caller.isDue) return;
    caller.isDue = true;
    this.#due.push(caller);
    if (this.#due.length === 1) this.#schedule(this.#turn);
  }

  readonly #turn = (): void => {
    const due = this.#due;
    this.#due = [];
    this.#turnsAlone = due.length > 1 ? 0 : this.#turnsAlone + 1;
    const calls = this.#turnsAlone > turnsUntilAlone ? callsInOneTurnAlone : callsInOneTurn;
    this.#share = Math.max(1, Math.floor(calls / due.length));
    for (const caller of due) {
      caller.isDue = false;
      caller.begun = 0;
      const share = hasAny(caller.refused) ? Math.max(1, this.#share >> 1) : this.#share;
      takeSome(caller.refused, share);
      caller.begun = takeSome(caller.waiting, Math.min(share, this.#maxInFlight - caller.inFlight));
      caller.inFlight += caller.begun;
      // A caller that waits for a call of its own to end is due again with that end.
      if (caller.begun > 0 || hasAny(caller.refused)) this.#makeDue(caller);
      else this.#forgetIdle(caller);
    }
  };

  #forgetIdle(caller: Caller): void {
    if (caller.inFlight === 0 && !hasAny(caller.waiting) && !hasAny(caller.refused)) this.#callers.delete(caller.name);
  }
}

const hasAny = (queue: ReadonlySet<unknown> | undefined): boolean => queue !== undefined && queue.size > 0;

/** Returns how many it took. */
function takeSome(queue: Set<() => void> | undefined, count: number): number {
  if (queue === undefined) return 0;
  let taken = 0;
  for (const take of queue) {
    if (taken >= count) break;
    queue.delete(take);
    taken += 1;
    take();
  }
  return taken;
}

const tooManyWait = () =>
  new ConnectError(
    "too many calls of yours are waiting: send fewer at once, and try this one again later",
    Code.ResourceExhausted,
  );
