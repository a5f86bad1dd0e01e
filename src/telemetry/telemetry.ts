import type { Observe } from "@portcullis/rpc";
import type { Log } from "../process/log.ts";
import { createAccessLog } from "./access-log.ts";
import { createClientAddress } from "./client-address.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createObserveHttp, type ObserveHttp } from "./observe-http.ts";
import type { Tracing } from "./tracing.ts";

/** What operators see of a server. */
export interface Telemetry {
  readonly metrics: Metrics;
  /** Observes every RPC: for metrics, for traces, and at the level `debug` for the log. */
  readonly observe: Observe;
  /** Observes requests that are no RPC, for metrics and the log. */
  readonly observeHttp: ObserveHttp;
  /** Sends the remaining traces, for one second at most. Always resolves: traces that cannot be sent are lost, and a warning is logged. */
  stop(): Promise<void>;
}

/** Rejects with an Error that says what to do when traces are configured and cannot be exported. */
export async function startTelemetry(options: {
  readonly log: Log;
  readonly version: string;
  readonly trustedProxies: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}): Promise<Telemetry> {
  const { log, version, trustedProxies, environment } = options;
  const metrics = createMetrics({ version });
  let tracing: Tracing | undefined;
  // Most servers export none, and the SDK takes long to load.
  if (wantsTraces(environment)) tracing = await (await import("./tracing.ts")).startTracing({ version, log });
  const clientAddress = createClientAddress(trustedProxies);
  const observers = [
    metrics.observe,
    ...(tracing ? [tracing.observe] : []),
    ...(log.isLevelEnabled("debug") ? [createAccessLog(log, clientAddress)] : []),
  ];
  return {
    metrics,
    observe: all(observers),
    observeHttp: createObserveHttp({ metrics, log, clientAddress }),
    stop: async () => tracing && stopTracing(tracing, log),
  };
}

/** The SDK retries for ten seconds when the collector is away. A server that stops must be gone by then. */
const stopLimitMs = 1_000;

async function stopTracing(tracing: Tracing, log: Log): Promise<void> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(new Error(`not within ${stopLimitMs} ms`)), stopLimitMs);
  try {
    await Promise.race([tracing.stop(), limit.promise]);
  } catch (err) {
    log.warn({ err }, "the last traces could not be sent");
  } finally {
    clearTimeout(timer);
  }
}

/** Whether the environment configures traces, by the variables that all SDKs of OpenTelemetry share. */
function wantsTraces(environment: NodeJS.ProcessEnv): boolean {
  const { OTEL_SDK_DISABLED: disabled, OTEL_TRACES_EXPORTER: exporter } = environment;
  if (disabled?.toLowerCase() === "true" || exporter === "none") return false;
  const names = ["OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
  return names.some((name) => environment[name]);
}

function all(observers: readonly Observe[]): Observe {
  const [first, ...others] = observers;
  if (first !== undefined && others.length === 0) return first;
  return (call) => {
    const ends = observers.map((observe) => observe(call));
    return (outcome) => {
      for (const end of ends) end(outcome);
    };
  };
}
