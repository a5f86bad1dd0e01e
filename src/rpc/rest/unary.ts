import type { OutgoingHttpHeaders } from "node:http";
import { admit } from "../call/admit.ts";
import type { CallContext } from "../call/context.ts";
import type { Exchange } from "../call/exchange.ts";
import { invoke } from "../call/invoke.ts";
import { compress, responseEncodings } from "../http/content-coding.ts";
import { answerHeaders, answerJson, isHeld, weakEtag, withVary } from "./answer.ts";
import { isRawAnswer, rawAnswer, rawPart } from "./http-body.ts";
import { readMessage } from "./message.ts";
import { chooseEncoding, requireAcceptable } from "./negotiation.ts";
import type { RestOptions } from "./options.ts";
import type { RestTarget } from "./route-table.ts";

const json = "application/json";

/** Serves one unary call, up to its answer. Rejects with what goes to the caller as a status. */
export async function serveUnary(
  exchange: Exchange,
  target: RestTarget,
  { context, options }: { readonly context: CallContext; readonly options: RestOptions },
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
  const headers = { "cache-control": "no-store", ...answerHeaders(context) };
  if (isRaw) {
    const { contentType, data } = rawAnswer(rawPart(output, route));
    const raw = { ...headers, "content-type": contentType, "x-content-type-options": "nosniff" };
    return sendBody(exchange, { body: Buffer.from(data), header: raw });
  }
  const { registry, etags = false } = options;
  const value = answerJson(output, spec.method.output, { registry, field: route.responseBody });
  const body = Buffer.from(JSON.stringify(value));
  const isRead = head.method === "GET" || head.method === "HEAD";
  if (!etags || !isRead) return sendCompressed(exchange, { body, header: { ...headers, "content-type": json } });
  const etag = context.responseHeader.get("etag") ?? weakEtag(body);
  const kept = { "cache-control": "private, no-cache", ...answerHeaders(context), etag };
  if (isHeld(head, etag)) return reply.send({ status: 304, header: withVary(kept, "Accept-Encoding") });
  return sendCompressed(exchange, { body, header: { ...kept, "content-type": json } });
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
