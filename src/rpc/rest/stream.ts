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
import { eventIdOf } from "./header-fields.ts";
import { isRawAnswer, rawAnswer, rawPart } from "./http-body.ts";
import { readMessage } from "./message.ts";
import { requireAcceptable } from "./negotiation.ts";
import type { RestSettings } from "./options.ts";
import type { RestTarget } from "./route-table.ts";
import { codeOf, toStatusJson } from "./status.ts";
import { frame, framingOf, type StreamedMessage, streamTypes, writeStream } from "./stream-writer.ts";

/** Serves one call that streams its answers. Rejects with what goes to the caller as a status, where no answer has begun. */
export async function serveStream(
  exchange: NodeExchange,
  target: RestTarget,
  { context, options }: { readonly context: CallContext; readonly options: RestSettings },
): Promise<Outcome> {
  const { route } = target;
  const { spec } = route.rpc;
  if (spec.kind !== "server_streaming") throw new Error(`${spec.method.name} does not stream`);
  const { head, response, contextValues } = exchange;
  const { registry } = options;
  const { signal } = context;
  const isRaw = isRawAnswer(route);
  // The first answer may set another one.
  let type = "application/octet-stream";
  let outcome: Outcome = 0;

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

  async function* rawPieces(): AsyncIterable<Uint8Array> {
    let isFirst = true;
    for await (const answer of call()) {
      const { contentType, data } = rawAnswer(rawPart(answer, route));
      if (isFirst) type = contentType;
      isFirst = false;
      yield data;
    }
  }

  async function* messages(): AsyncIterable<StreamedMessage> {
    const { output } = spec.method;
    for await (const answer of call()) {
      const json = JSON.stringify(answerJson(answer, output, { registry, field: route.responseBody }));
      yield { json, eventId: eventIdOf(answer, route) };
    }
  }

  await writeStream({
    response,
    isHead: head.method === "HEAD",
    signal,
    pieces: isRaw ? rawPieces() : frame(messages(), () => framingOf(type)),
    headers: () => ({
      ...withVary(answerHeaders(context), "Accept"),
      "content-type": type,
      ...(isRaw ? { "x-content-type-options": "nosniff" } : { "x-accel-buffering": "no" }),
    }),
    errorPiece(reason) {
      outcome = codeOf(reason);
      if (!(reason instanceof ConnectError)) options.onFailure(reason, contextValues);
      // Bytes of an unknown type have no place for an error.
      const error = isRaw ? undefined : framingOf(type).error;
      return error && Buffer.from(error(JSON.stringify(toStatusJson(reason, registry))));
    },
  });
  return outcome;
}
