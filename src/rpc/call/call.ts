import {
  create,
  type DescMessage,
  isMessage,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextKey,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
  type UnaryRequest,
} from "@connectrpc/connect";
// Exported by Connect and marked private: the version is pinned, and the tests of streams cover what is relied on.
import { transformInvokeImplementation } from "@connectrpc/connect/protocol";
import { abortableBy, addressOf, type CallerTurns, callerKey } from "./caller-turns.ts";
import { type CallContext, shareSignal } from "./context.ts";

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
   * Keeps callers from making each other wait; all protocols share one. A call takes its turn when the gate has said who calls.
   * Absent: calls begin as they come.
   */
  readonly turns?: CallerTurns;
}

/** Runs the gate, unless the deadline of the call has passed already. */
function passGate(context: HandlerContext, gate: Gate): void | Promise<void> {
  if ((context.timeoutMs() ?? 1) <= 0) throw new ConnectError("the deadline has passed", Code.DeadlineExceeded);
  return gate(context);
}

export type UnarySpec = MethodImplSpec & { readonly kind: "unary" };

interface UnaryCall {
  readonly spec: UnarySpec;
  readonly context: CallContext;
  readMessage(): Message | Promise<Message>;
}

/**
 * One unary call: the gate, then the message, then interceptors and implementation. `readMessage` is called only after the
 * gate has let the call pass. Rejects with what any of them threw, and as soon as the context is aborted: not every
 * implementation looks at the signal.
 */
export const callUnary = (call: UnaryCall, options: CallOptions): Promise<Message> =>
  call.context.untilAborted(runUnary(call, options));

// What is there already is not awaited: each step of a promise costs as much as the decoding of a small message.
async function runUnary(call: UnaryCall, { gate, interceptors, turns }: CallOptions): Promise<Message> {
  const { spec, context } = call;
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
    const message = await call.readMessage();
    if (interceptors.length > 0) return await intercept(spec, { context, message, interceptors });
    const output = spec.impl(message, context);
    return normalize(spec.method.output, output instanceof Promise ? await output : output);
  } finally {
    if (caller !== undefined) turns?.end(caller);
  }
}

/**
 * The gate, and then the turn of the call. Resolves to the caller whose turn must end with the call. That of a stream is over
 * when it has begun: most streams only wait, and would keep their caller's other calls waiting.
 */
export async function admit(context: HandlerContext, { gate, turns }: CallOptions): Promise<string | undefined> {
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

async function intercept(
  { impl, method }: UnarySpec,
  call: { readonly context: CallContext; readonly message: Message; readonly interceptors: readonly Interceptor[] },
): Promise<Message> {
  const { context, interceptors } = call;
  const { responseHeader, responseTrailer } = context;
  const request = {
    stream: false,
    method,
    service: method.parent,
    requestMethod: context.requestMethod,
    url: context.url,
    header: context.requestHeader,
    contextValues: context.values,
    message: call.message,
  } as UnaryRequest;
  shareSignal(request, context);
  let next: Parameters<Interceptor>[0] = async (passed) => {
    const seen = passed === request ? context : contextOf(passed as UnaryRequest, context);
    const output = await impl(passed.message as Message, seen);
    const message = normalize(method.output, output);
    return { stream: false, service: method.parent, method, header: responseHeader, trailer: responseTrailer, message };
  };
  for (let index = interceptors.length - 1; index >= 0; index -= 1) next = (interceptors[index] as Interceptor)(next);
  const response = await next(request);
  replaceHeaders(responseHeader, response.header);
  replaceHeaders(responseTrailer, response.trailer);
  return response.message as Message;
}

const normalize = (desc: DescMessage, output: MessageInitShape<DescMessage>): Message =>
  isMessage(output) ? output : create(desc, output);

/** The context for an implementation whose request an interceptor replaced. */
const contextOf = (request: UnaryRequest, context: CallContext): HandlerContext => ({
  ...context,
  requestHeader: request.header,
  signal: request.signal,
  values: request.contextValues,
});

function replaceHeaders(to: Headers, from: Headers): void {
  if (from === to) return;
  for (const name of [...to.keys()]) to.delete(name);
  for (const [name, value] of from) to.append(name, value);
}

/** What a piece of work comes to, or why the signal was aborted before. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/**
 * The answers of a handler until its call is over. Throws why it is over where that is its deadline, its caller gone or a
 * limit, whether or not the handler looks at the signal: one that stops then, and says nothing, has not said all.
 */
export async function* whileCalled<Item>(answers: AsyncIterable<Item>, signal: AbortSignal): AsyncIterable<Item> {
  const iterator = answers[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await untilAborted(iterator.next(), signal);
      if (done) return signal.throwIfAborted();
      yield value;
    }
  } finally {
    // Not waited for: a handler that does not look at the signal ends when it likes.
    iterator.return?.().catch(() => {});
  }
}

/**
 * One call of an RPC that streams its answers: the same steps, when the first answer is asked for. What is left of the
 * answers is never made once the caller stops asking.
 */
export async function* callServerStream(
  call: {
    readonly spec: MethodImplSpec & { readonly kind: "server_streaming" };
    readonly context: HandlerContext;
    readMessage(): Promise<MessageShape<MethodImplSpec["method"]["input"]>>;
  },
  options: CallOptions,
): AsyncIterable<MessageShape<MethodImplSpec["method"]["output"]>> {
  await admit(call.context, options);
  const message = await untilAborted(call.readMessage(), call.context.signal);
  async function* input() {
    yield message;
  }
  yield* whileCalled(
    transformInvokeImplementation(call.spec, call.context, [...options.interceptors])(input()),
    call.context.signal,
  );
}

/** Sets fields of a request message from the path of its HTTP rule, so that no body can override them. */
export type PathBinding = (message: MessageShape<MethodImplSpec["method"]["input"]>) => void;

/** Holds the path's values while a call in another framing runs on a REST route; see `applyPathBinding`. */
export const pathBindingKey = createContextKey<PathBinding | undefined>(undefined, { description: "path binding" });

/** Applies the path's values to every decoded message before any other interceptor sees it. */
export const applyPathBinding: Interceptor = (next) => (request) => {
  const bind = request.contextValues.get(pathBindingKey);
  if (bind === undefined) return next(request);
  if (request.stream) return next({ ...request, message: bindEach(request.message, bind) });
  bind(request.message);
  return next(request);
};

async function* bindEach<T extends Parameters<PathBinding>[0]>(
  messages: AsyncIterable<T>,
  bind: PathBinding,
): AsyncIterable<T> {
  for await (const message of messages) {
    bind(message);
    yield message;
  }
}
