import type { Log } from "./log.ts";
import { createLimitedLog } from "./log-limits.ts";

/**
 * Logs failures of the server's own, under the id that the caller was told. Strangers can meet them as often as they like, so
 * of each type and code of errors ten are written in ten seconds, and the others counted.
 */
export function reportTo(log: Log): (failure: { readonly requestId?: string; readonly reason: unknown }) => void {
  const limited = createLimitedLog(log);
  return ({ requestId, reason }) => {
    const { code = "" } = reason instanceof Error ? (reason as { readonly code?: unknown }) : {};
    const type = reason instanceof Error ? reason.constructor.name : typeof reason;
    limited(`call failed: ${type} ${code}`.trim(), "error", { requestId, err: reason }, "call failed");
  };
}
