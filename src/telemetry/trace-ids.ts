import { type ContextValues, createContextKey } from "@connectrpc/connect";

/** The ids of a trace and a span, under the names that OpenTelemetry uses in logs. */
export interface TraceIds {
  readonly trace_id: string;
  readonly span_id: string;
}

const traceKey = createContextKey<TraceIds | undefined>(undefined, { description: "trace" });

/** The trace and span of a call; undefined when traces are off. */
export const traceOf = (values: ContextValues): TraceIds | undefined => values.get(traceKey);

export function setTrace(values: ContextValues, ids: TraceIds): void {
  values.set(traceKey, ids);
}
