import { Code, ConnectError, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { abortableBy, addressOf, type CallerTurns, callerKey } from "./caller-turns.ts";
import type { CallContext } from "./context.ts";
import { untilAborted } from "./until-aborted.ts";

/**
 * Decides whether a call may go on. It runs when the headers are known and before any of the body is read, once per call and
 * the same for every protocol. It refuses with a ConnectError, and may set context values and response headers: `callerKey`
 * says whose turn a call takes.
 */
export type Gate = (context: HandlerContext) => void | Promise<void>;

/** What all calls of a server share, whatever their protocol. */
export interface CallOptions {
  readonly gate: Gate;
  /** In order, the outermost first. */
  readonly interceptors: readonly Interceptor[];
  /** The largest request message in bytes, after decompression. A larger one is refused before it is read whole. */
  readonly maxRequestBytes: number;
  /**
   * Keeps callers from making each other wait; all protocols share one. A call takes its turn when the gate has let it pass.
   * Absent: calls begin as they come.
   */
  readonly turns?: CallerTurns;
}

/**
 * Lets a unary call do its work when the gate has let it pass and its turn has come. Rejects with what any of them threw, and
 * as soon as the context is aborted: not every implementation looks at the signal. The turn ends with the work.
 */
export const admit = <T>(context: CallContext, options: CallOptions, work: () => Promise<T>): Promise<T> =>
  context.untilAborted(admitted(context, options, work));

// What is there already is not awaited: each step of a promise costs as much as the decoding of a small message.
async function admitted<T>(context: CallContext, { gate, turns }: CallOptions, work: () => Promise<T>): Promise<T> {
  try {
    const passed = passGate(context, gate);
    if (passed !== undefined) await passed;
  } catch (reason) {
    await takeTurnRefused(context, turns);
    throw reason;
  }
  const caller = context.values.get(callerKey);
  if (turns !== undefined) {
    const name = caller ?? addressOf(context.values);
    const turn = turns.begin(name, context);
    if (turn !== undefined) await turn;
    if (caller === undefined) turns.end(name);
  }
  try {
    // While it waited for its turn.
    context.throwIfAborted();
    return await work();
  } finally {
    if (caller !== undefined) turns?.end(caller);
  }
}

/**
 * The same for a stream, and for any call that Connect's handlers serve. Resolves to the caller whose turn must end with the
 * call. That of a stream is over when it has begun: most streams only wait, and would keep their caller's other calls waiting.
 */
export async function admitStream(context: HandlerContext, { gate, turns }: CallOptions): Promise<string | undefined> {
  try {
    const passed = passGate(context, gate);
    // A gate may wait for another server. Its call ends no later for that.
    if (passed !== undefined) await untilAborted(passed, context.signal);
  } catch (reason) {
    await takeTurnRefused(context, turns);
    throw reason;
  }
  const caller = context.values.get(callerKey);
  if (turns === undefined) return undefined;
  if (caller !== undefined && context.method.methodKind === "unary") {
    await turns.begin(caller, abortableBy(context.signal));
    return caller;
  }
  await takeTurn(context, turns);
  return undefined;
}

/** Runs the gate, unless the deadline of the call has passed already. */
function passGate(context: HandlerContext, gate: Gate): void | Promise<void> {
  if ((context.timeoutMs() ?? 1) <= 0) throw new ConnectError("the deadline has passed", Code.DeadlineExceeded);
  return gate(context);
}

/** A turn without a place among those in flight. */
async function takeTurn(context: HandlerContext, turns: CallerTurns): Promise<void> {
  const caller = context.values.get(callerKey) ?? addressOf(context.values);
  await turns.begin(caller, abortableBy(context.signal));
  turns.end(caller);
}

/** What the gate refuses takes a turn too: a stranger's calls cost as much as those of others, but for the handler. */
async function takeTurnRefused(context: HandlerContext, turns: CallerTurns | undefined): Promise<void> {
  if (turns === undefined) return;
  try {
    await takeTurn(context, turns);
  } catch {
    // It is refused anyway, for the gate's reason.
  }
}
