import type { Message } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
// Exported by Connect and marked private: the version is pinned, and the tests of streams cover what is relied on.
import { transformInvokeImplementation } from "@connectrpc/connect/protocol";
import { admitStream } from "../call/admit.ts";
import type { CallContext } from "../call/context.ts";
import type { NodeExchange } from "../call/exchange.ts";
import type { Outcome } from "../call/outcome.ts";
import { untilAborted, whileCalled } from "../call/until-aborted.ts";
import { answerHeaders, answerJson, withVary } from "./answer.ts";
import { isRawAnswer, rawAnswer, rawPart } from "./http-body.ts";
import { readMessage } from "./message.ts";
import { requireAcceptable } from "./negotiation.ts";
import type { RestOptions } from "./options.ts";
import type { RestTarget } from "./route-table.ts";
import { codeOf, toStatusJson } from "./status.ts";
import { streamTypes, writeRawStream, writeStream } from "./stream-writer.ts";

/** Serves one call that streams its answers. Rejects with what goes to the caller as a status, where no answer has begun. */
export async function serveStream(
  exchange: NodeExchange,
  target: RestTarget,
  { context, options }: { readonly context: CallContext; readonly options: RestOptions },
): Promise<Outcome> {
  const { route } = target;
  const { spec } = route.rpc;
  if (spec.kind !== "server_streaming") throw new Error(`${spec.method.name} does not stream`);
  const { head, response, contextValues } = exchange;
  const { registry } = options;
  const { signal } = context;
  const isRaw = isRawAnswer(route);
  let type = "";
  /** Runs when the first answer is asked for. What is left is never made once the caller stops asking. */
  async function* call(): AsyncIterable<Message> {
    await admitStream(context, options);
    if (!isRaw) type = requireAcceptable(head.headers.accept, streamTypes);
    const message = await untilAborted(readMessage(exchange, target, options), signal);
    async function* input() {
      yield message as never;
    }
    const invoke = transformInvokeImplementation(spec, context, [...options.interceptors]);
    yield* whileCalled(invoke(input()), signal);
  }
  let outcome: Outcome = 0;
  const onFailure = (reason: unknown): void => {
    outcome = codeOf(reason);
    if (!(reason instanceof ConnectError)) options.onFailure(reason, contextValues);
  };
  const headers = () => withVary(answerHeaders(context), "Accept");
  const common = { response, isHead: head.method === "HEAD", headers, signal };
  if (isRaw) {
    const chunks = map(call(), (answer) => rawAnswer(rawPart(answer, route)));
    await writeRawStream({ ...common, chunks, onFailure });
    return outcome;
  }
  const { output } = spec.method;
  await writeStream({
    ...common,
    type: () => type,
    messages: map(call(), (answer) => answerJson(answer, output, { registry, field: route.responseBody })),
    toStatus(reason) {
      onFailure(reason);
      return toStatusJson(reason, registry);
    },
  });
  return outcome;
}

async function* map<A, B>(all: AsyncIterable<A>, change: (one: A) => B): AsyncIterable<B> {
  for await (const one of all) yield change(one);
}
