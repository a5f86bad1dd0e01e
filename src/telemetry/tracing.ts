import { Code } from "@connectrpc/connect";
import {
  context,
  type DiagLogger,
  DiagLogLevel,
  defaultTextMapGetter,
  diag,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { type Observe, type ObservedCall, requestIdOf } from "@portcullis/rpc";
import type { Log } from "../process/log.ts";
import { nameOf } from "./metrics.ts";
import { setTrace } from "./trace-ids.ts";

/** The export of traces. */
export interface Tracing {
  readonly observe: Observe;
  /** Sends the remaining traces. */
  stop(): Promise<void>;
}

/** The codes that mean a fault of the server, by OpenTelemetry's conventions for gRPC. */
const serverFaults: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);

/**
 * Starts OpenTelemetry's SDK, which reads its other variables itself. Rejects with an Error that says what to do when the SDK is
 * not installed.
 */
export async function startTracing(options: { readonly version: string; readonly log: Log }): Promise<Tracing> {
  const { NodeSDK } = await import("@opentelemetry/sdk-node").catch((cause: unknown) => {
    throw new Error("to export traces, install @opentelemetry/sdk-node beside portcullis", { cause });
  });
  diag.setLogger(diagnosticsTo(options.log), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  // Metrics are at /debug/metrics, and logs go to standard error.
  const { env } = process;
  const isNamed = env["OTEL_SERVICE_NAME"] || /(^|,)\s*service\.name=/.test(env["OTEL_RESOURCE_ATTRIBUTES"] ?? "");
  // The default also exports the command line, which may hold the password of the store.
  env["OTEL_NODE_RESOURCE_DETECTORS"] ??= "env,host,os,serviceinstance";
  const sdk = new NodeSDK({
    ...(!isNamed && { serviceName: "portcullis" }),
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  const tracer = trace.getTracer("portcullis", options.version);

  const observe: Observe = (call) => {
    const parent = propagation.extract(context.active(), call.head.headers, defaultTextMapGetter);
    const span = tracer.startSpan(nameOfSpan(call), { kind: SpanKind.SERVER, attributes: attributesOf(call) }, parent);
    const { traceId, spanId } = span.spanContext();
    setTrace(call.contextValues, { trace_id: traceId, span_id: spanId });
    return (outcome) => {
      span.setAttribute("portcullis.request_id", requestIdOf(call.contextValues));
      span.setAttribute("rpc.response.status_code", nameOf(outcome));
      if (outcome !== 0 && serverFaults.has(outcome)) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    };
  };
  return { observe, stop: () => sdk.shutdown() };
}

/** Logs the SDK's warnings, such as an unknown variable or a failed export: one a minute at most. */
function diagnosticsTo(log: Log): DiagLogger {
  let quietUntil = 0;
  const tell = (message: string, ...rest: unknown[]) => {
    const now = performance.now();
    if (now < quietUntil) return;
    quietUntil = now + quietMs;
    const err = rest.find((one) => one instanceof Error);
    log.warn({ ...(err && { err }) }, `traces: ${message}`);
  };
  return { error: tell, warn: tell, info() {}, debug() {}, verbose() {} };
}

const quietMs = 60_000;

/** Only names that the server knows become names of spans: clients can invent others. */
const nameOfSpan = ({ method }: ObservedCall): string =>
  method === undefined ? "unknown" : `${method.parent.typeName}/${method.name}`;

const attributesOf = ({ protocol, method }: ObservedCall) => ({
  "rpc.system": protocol,
  ...(method && { "rpc.service": method.parent.typeName, "rpc.method": method.name }),
});
