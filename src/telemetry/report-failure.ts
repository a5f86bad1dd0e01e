import { requestIdOf } from "@portcullis/rpc";
import type { ReportFailure } from "../interceptors/errors.ts";
import { createLimitedLog } from "../process/limited-log.ts";
import type { Log } from "../process/log.ts";
import { traceOf } from "./trace-ids.ts";

/**
 * Logs failures of the server under the request id that the caller got. Strangers can cause a failure as often as they like, so each
 * type and code of error gets ten lines in ten seconds, and the rest are counted.
 */
export function reportTo(log: Log): ReportFailure {
  const limited = createLimitedLog(log);
  return ({ reason, contextValues, requestId }) => {
    const call = contextValues ? { requestId: requestIdOf(contextValues), ...traceOf(contextValues) } : { requestId };
    limited(`call failed: ${kindOf(reason)}`, "error", { ...call, err: reason }, "call failed");
  };
}

function kindOf(reason: unknown): string {
  if (!(reason instanceof Error)) return typeof reason;
  const { code } = reason as { readonly code?: unknown };
  return code === undefined ? reason.constructor.name : `${reason.constructor.name} ${code}`;
}
