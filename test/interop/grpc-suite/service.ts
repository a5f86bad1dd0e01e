// Does what the calls of gRPC's interoperability clients ask for.
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type {
  BoolValue,
  EchoStatus,
  StreamingOutputCallRequest,
  TestService,
} from "../../fixtures/gen/grpc/testing/test_pb.ts";

/** All RPCs but UnimplementedCall, which the server has to refuse by itself. */
export const testService: Partial<ServiceImpl<typeof TestService>> = {
  emptyCall: () => ({}),

  unaryCall(request, context) {
    echoMetadata(context);
    checkCompression(request.expectCompressed, context);
    throwAsked(request.responseStatus);
    return { payload: payloadOf(request.responseSize) };
  },

  streamingOutputCall: answersTo,

  async streamingInputCall(requests, context) {
    let aggregatedPayloadSize = 0;
    for await (const { payload, expectCompressed } of requests) {
      checkCompression(expectCompressed, context);
      aggregatedPayloadSize += payload?.body.length ?? 0;
    }
    return { aggregatedPayloadSize };
  },

  async *fullDuplexCall(requests, context) {
    echoMetadata(context);
    for await (const request of requests) yield* answersTo(request, context);
  },

  async *halfDuplexCall(requests, context) {
    const all: StreamingOutputCallRequest[] = [];
    for await (const request of requests) all.push(request);
    for (const request of all) yield* answersTo(request, context);
  },
};

async function* answersTo(
  { responseParameters, responseStatus }: StreamingOutputCallRequest,
  { signal }: HandlerContext,
): AsyncGenerator<{ payload: { body: Uint8Array } }> {
  throwAsked(responseStatus);
  for (const { size, intervalUs } of responseParameters) {
    if (intervalUs > 0) await delay(intervalUs / 1000, undefined, { signal });
    yield { payload: payloadOf(size) };
  }
}

const payloadOf = (size: number) => ({ body: new Uint8Array(size) });

const initial = "x-grpc-test-echo-initial";
const trailing = "x-grpc-test-echo-trailing-bin";

function echoMetadata({ requestHeader, responseHeader, responseTrailer }: HandlerContext): void {
  const first = requestHeader.get(initial);
  const last = requestHeader.get(trailing);
  if (first !== null) responseHeader.set(initial, first);
  if (last !== null) responseTrailer.set(trailing, last);
}

function throwAsked(status: EchoStatus | undefined): void {
  if (status !== undefined && status.code !== 0) throw new ConnectError(status.message, status.code as Code);
}

/** A handler sees what a call's headers say of compression, and not which of its messages are compressed. */
function checkCompression(expected: BoolValue | undefined, { requestHeader }: HandlerContext): void {
  const encoding = requestHeader.get("grpc-encoding") ?? "identity";
  if (expected?.value && encoding === "identity") {
    throw new ConnectError("the message should be compressed", Code.InvalidArgument);
  }
}
