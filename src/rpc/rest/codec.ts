import { Code, ConnectError } from "@connectrpc/connect";
import { CallContext } from "../call/context.ts";
import type { Outcome } from "../call/outcome.ts";
import { readTimeout } from "../call/timeout.ts";
import type { Codec } from "../codec.ts";
import { isGone } from "../http/response.ts";
import type { ListenerResponse } from "../listener/handler.ts";
import { answerHeaders } from "./answer.ts";
import { timeHeaders } from "./message.ts";
import type { RestSettings } from "./options.ts";
import type { RestTarget } from "./route-table.ts";
import { codeOf, HttpRefusalError, sendStatus } from "./status.ts";
import { serveStream } from "./stream.ts";
import { serveUnary } from "./unary.ts";

/** REST JSON as google.api.http rules describe it: a request becomes the same in-process call as in any other protocol. */
export function createRestCodec(options: RestSettings): Codec<RestTarget> {
  const { registry } = options;
  return {
    protocol: "rest",

    refuse: ({ reply }, refusal) => sendStatus(reply, new HttpRefusalError(refusal), { registry }),

    async serve(exchange, target) {
      const { head, reply, response, contextValues, end } = exchange;
      const { method, kind } = target.route.rpc.spec;
      const { timeoutMs } = readTimeout(head.headers, ...timeHeaders);
      const context = new CallContext(exchange, { method, protocolName: "rest", timeoutMs });
      reply.onClose(() => context.abortAsGone());
      if (end !== undefined) abortWith(context, end);
      try {
        let outcome: Outcome = 0;
        if (kind === "unary") await serveUnary(exchange, target, { context, options });
        else outcome = await serveStream(exchange, target, { context, options });
        return isCut(response) ? Code.Canceled : outcome;
      } catch (reason) {
        // Interceptors and gate have mapped what is expected: the rest comes from an answer that cannot be encoded.
        const isExpected = reason instanceof ConnectError || reason instanceof HttpRefusalError;
        if (!isExpected && !reply.isGone()) options.onFailure(reason, contextValues);
        sendStatus(reply, reason, { registry, isHead: head.method === "HEAD", header: answerHeaders(context) });
        return reply.isGone() ? Code.Canceled : codeOf(reason);
      } finally {
        context.end();
      }
    },
  };
}

function abortWith(context: CallContext, signal: AbortSignal): void {
  if (signal.aborted) context.abort(signal.reason);
  else signal.addEventListener("abort", () => context.abort(signal.reason), { once: true });
}

/** Whether the client went before its answer was complete. */
const isCut = (response: ListenerResponse): boolean => isGone(response) && !response.writableEnded;
