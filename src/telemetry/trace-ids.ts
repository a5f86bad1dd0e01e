import { type ContextValues, createContextKey } from "@connectrpc/connect";

/** As OpenTelemetry names them in logs. */
export interface TraceIds {
  readonly trace_id: string;
  readonly span_id: string;
}

const traceKey = createContextKey<TraceIds | undefined>(undefined, { description: "trace" });

/** The trace and span that a call belongs to; undefined where there are no traces. */
export const traceOf = (values: ContextValues): TraceIds | undefined => values.get(traceKey);

export function setTrace(values: ContextValues, ids: TraceIds): void {
  values.set(traceKey, ids);
}
