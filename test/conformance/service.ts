// Does what the requests of Connect's conformance suite ask for, and tells what reached it.
import { setTimeout } from "node:timers/promises";
import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  type ConformancePayload_RequestInfo,
  ConformancePayload_RequestInfoSchema,
  type ConformancePayloadSchema,
  type ConformanceService,
  type Error as ErrorDefinition,
  type Header,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  type StreamResponseDefinition,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";

type Payload = MessageInitShape<typeof ConformancePayloadSchema>;

/** All RPCs of the suite but Unimplemented, which the server has to refuse by itself. */
export const conformanceService: Partial<ServiceImpl<typeof ConformanceService>> = {
  async unary(request, context) {
    const requests = [anyPack(UnaryRequestSchema, request)];
    return { payload: await answerOnce(request.responseDefinition, requests, context) };
  },

  async idempotentUnary(request, context) {
    const requests = [anyPack(IdempotentUnaryRequestSchema, request)];
    return { payload: await answerOnce(request.responseDefinition, requests, context) };
  },

  async clientStream(stream, context) {
    const { first, requests } = await readAll(ClientStreamRequestSchema, stream);
    return { payload: await answerOnce(first?.responseDefinition, requests, context) };
  },

  async *serverStream(request, context) {
    const requests = [anyPack(ServerStreamRequestSchema, request)];
    for await (const payload of answerMany(request.responseDefinition, requests, context)) yield { payload };
  },

  async *bidiStream(stream, context) {
    const unread = stream[Symbol.asyncIterator]();
    const { value: first } = await unread.next();
    if (first === undefined) return;
    const definition = first.responseDefinition;
    const answers = first.fullDuplex
      ? answerEach(definition, { first, unread }, context)
      : answerMany(definition, await readRest({ first, unread }), context);
    for await (const payload of answers) yield { payload };
  },
};

/** A stream of requests of which the first has been read. */
type Begun = {
  readonly first: MessageShape<typeof BidiStreamRequestSchema>;
  readonly unread: AsyncIterator<MessageShape<typeof BidiStreamRequestSchema>>;
};

async function answerOnce(
  definition: UnaryResponseDefinition | undefined,
  requests: Any[],
  context: HandlerContext,
): Promise<Payload> {
  setMetadata(definition, context);
  await delay(definition?.responseDelayMs, context.signal);
  const requestInfo = describeCall(requests, context);
  const { response } = definition ?? {};
  if (response?.case === "error") throw toConnectError(response.value, requestInfo);
  return { requestInfo, ...(response?.case === "responseData" && { data: response.value }) };
}

/** The answers of a stream whose requests have all come. */
async function* answerMany(
  definition: StreamResponseDefinition | undefined,
  requests: Any[],
  context: HandlerContext,
): AsyncIterable<Payload> {
  setMetadata(definition, context);
  const answers = definition?.responseData ?? [];
  for (const [index, data] of answers.entries()) {
    await delay(definition?.responseDelayMs, context.signal);
    yield index === 0 ? { data, requestInfo: describeCall(requests, context) } : { data };
  }
  if (definition?.error === undefined) return;
  throw toConnectError(definition.error, answers.length === 0 ? describeCall(requests, context) : undefined);
}

/** One answer to each request as it comes. Where there are more answers than requests, the others follow at the end. */
async function* answerEach(
  definition: StreamResponseDefinition | undefined,
  { first, unread }: Begun,
  context: HandlerContext,
): AsyncIterable<Payload> {
  setMetadata(definition, context);
  const answers = definition?.responseData ?? [];
  // An end of the requests is read once: what comes after it is nothing.
  let last: MessageShape<typeof BidiStreamRequestSchema> | undefined = first;
  for (const [index, data] of answers.entries()) {
    if (index > 0 && last !== undefined) last = await readOne(unread);
    const requests: Any[] = last === undefined ? [] : [anyPack(BidiStreamRequestSchema, last)];
    await delay(definition?.responseDelayMs, context.signal);
    if (index === 0) yield { data, requestInfo: describeCall(requests, context) };
    else yield requests.length === 0 ? { data } : { data, requestInfo: { requests } };
  }
  // The error is for the request that has no answer.
  if (answers.length > 0 && last !== undefined) await readOne(unread);
  if (definition?.error === undefined) return;
  const requests = [anyPack(BidiStreamRequestSchema, first)];
  throw toConnectError(definition.error, answers.length === 0 ? describeCall(requests, context) : undefined);
}

async function readAll<Desc extends DescMessage>(
  desc: Desc,
  stream: AsyncIterable<MessageShape<Desc>>,
): Promise<{ readonly first: MessageShape<Desc> | undefined; readonly requests: Any[] }> {
  let first: MessageShape<Desc> | undefined;
  const requests: Any[] = [];
  for await (const request of stream) {
    first ??= request;
    requests.push(anyPack(desc, request));
  }
  return { first, requests };
}

async function readRest({ first, unread }: Begun): Promise<Any[]> {
  const requests: Any[] = [];
  for (let request: typeof first | undefined = first; request !== undefined; request = await readOne(unread)) {
    requests.push(anyPack(BidiStreamRequestSchema, request));
  }
  return requests;
}

async function readOne<T>(unread: AsyncIterator<T>): Promise<T | undefined> {
  const { done, value } = await unread.next();
  return done ? undefined : value;
}

function setMetadata(
  definition: { readonly responseHeaders: Header[]; readonly responseTrailers: Header[] } | undefined,
  { responseHeader, responseTrailer }: HandlerContext,
): void {
  appendTo(responseHeader, definition?.responseHeaders ?? []);
  appendTo(responseTrailer, definition?.responseTrailers ?? []);
}

function appendTo(headers: Headers, fields: readonly Header[]): void {
  for (const { name, value } of fields) for (const one of value) headers.append(name, one);
}

function describeCall(requests: Any[], context: HandlerContext): ConformancePayload_RequestInfo {
  const timeoutMs = context.timeoutMs();
  const isGet = context.requestMethod === "GET";
  return create(ConformancePayload_RequestInfoSchema, {
    requestHeaders: toFields(context.requestHeader),
    requests,
    ...(timeoutMs !== undefined && { timeoutMs: BigInt(Math.max(0, Math.floor(timeoutMs))) }),
    ...(isGet && { connectGetInfo: { queryParams: toFields(new URL(context.url).searchParams) } }),
  });
}

function toFields(pairs: Iterable<[string, string]>): { name: string; value: string[] }[] {
  return [...pairs].map(([name, value]) => ({ name, value: [value] }));
}

function toConnectError(
  { code, message, details }: ErrorDefinition,
  requestInfo: ConformancePayload_RequestInfo | undefined,
): ConnectError {
  // The numbers are Connect's.
  const error = new ConnectError(message ?? "", code as number);
  const typeName = ({ typeUrl }: Any) => typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
  error.details.push(...details.map((detail) => ({ type: typeName(detail), value: detail.value })));
  if (requestInfo) error.details.push({ desc: ConformancePayload_RequestInfoSchema, value: requestInfo });
  return error;
}

/** Ends early with the reason of the abort: no handler shall outlive its call. */
async function delay(ms: number | undefined, signal: AbortSignal): Promise<void> {
  if (!ms) return;
  await setTimeout(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
