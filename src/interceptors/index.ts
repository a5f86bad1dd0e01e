import type { Interceptor } from "@connectrpc/connect";
import { mapErrors, type ReportFailure } from "./errors.ts";
import { validateRequest } from "./validation.ts";

/** The interceptors of every call, the outermost first. */
export function createInterceptors(report: ReportFailure): readonly Interceptor[] {
  return [mapErrors(report), validateRequest];
}
