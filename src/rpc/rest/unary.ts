import type { OutgoingHttpHeaders } from "node:http";
import { admit } from "../call/admit.ts";
import type { CallContext } from "../call/context.ts";
import type { Exchange } from "../call/exchange.ts";
import { invoke } from "../call/invoke.ts";
import { compress, responseEncodings } from "../http/content-coding.ts";
import { answerHeaders, answerJson, isHeld, weakEtag, withVary } from "./answer.ts";
import { etagOf } from "./header-fields.ts";
import { isRawAnswer, rawAnswer, rawPart } from "./http-body.ts";
import { readMessage } from "./message.ts";
import { chooseEncoding, requireAcceptable } from "./negotiation.ts";
import type { RestSettings } from "./options.ts";
import type { RestTarget } from "./route-table.ts";

const json = "application/json";

/** Serves one unary call, up to its answer. Rejects with what goes to the caller as a status. */
export async function serveUnary(
  exchange: Exchange,
  target: RestTarget,
  { context, options }: { readonly context: CallContext; readonly options: RestSettings },
): Promise<void> {
  const { route } = target;
  const { spec } = route.rpc;
  if (spec.kind !== "unary") throw new Error(`${spec.method.name} is not unary`);
  const { head, reply } = exchange;
  const isRaw = isRawAnswer(route);
  const output = await admit(context, options, async () => {
    if (!isRaw) requireAcceptable(head.headers.accept, [json]);
    const message = await readMessage(exchange, target, options);
    return await invoke(spec, { context, message, interceptors: options.interceptors });
  });
  const isRead = head.method === "GET" || head.method === "HEAD";
  const { registry, etags = false } = options;
  let etag = etagOf(output, route);
  let answer: Body;
  if (isRaw) {
    const { contentType, data } = rawAnswer(rawPart(output, route));
    answer = {
      body: Buffer.from(data),
      header: { "content-type": contentType, "x-content-type-options": "nosniff" },
    };
  } else {
    const value = answerJson(output, spec.method.output, { registry, field: route.responseBody });
    const body = Buffer.from(JSON.stringify(value));
    if (etags && isRead) etag ??= context.responseHeader.get("etag") ?? weakEtag(body);
    answer = { body, header: { "content-type": json } };
  }
  const kept = isRead ? etag : undefined;
  const header = {
    "cache-control": kept ? "private, no-cache" : "no-store",
    ...answerHeaders(context),
    ...(etag !== undefined && { etag }),
  };
  if (kept && isHeld(head, kept)) return reply.send({ status: 304, header: withVary(header, "Accept-Encoding") });
  const whole = { body: answer.body, header: { ...header, ...answer.header } };
  if (isRaw) sendBody(exchange, whole);
  else await sendCompressed(exchange, whole);
}

interface Body {
  readonly body: Buffer;
  readonly header: OutgoingHttpHeaders;
}

async function sendCompressed(exchange: Exchange, { body, header: given }: Body): Promise<void> {
  const encoding = chooseEncoding(exchange.head.headers["accept-encoding"] as string | undefined, responseEncodings);
  const header = withVary(given, "Accept-Encoding");
  const compressing = compress(body, encoding);
  if (compressing === undefined) return sendBody(exchange, { body, header });
  sendBody(exchange, { body: await compressing, header: { ...header, "content-encoding": encoding } });
}

function sendBody({ head, reply }: Exchange, { body, header }: Body): void {
  if (head.method === "HEAD") reply.send({ status: 200, header: { ...header, "content-length": body.length } });
  else reply.send({ status: 200, header, body });
}
