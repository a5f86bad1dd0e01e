import type { Interceptor } from "@connectrpc/connect";
import type { PermissionTable } from "../auth/permissions.ts";
import type { Store } from "../store/store.ts";
import { authorizeResource } from "./authorization.ts";
import { mapErrors, type ReportFailure } from "./errors.ts";
import { validateRequest } from "./validation.ts";

/** The interceptors of every call, the outermost first. */
export function createInterceptors(options: {
  readonly store: Store;
  readonly permissions: PermissionTable;
  readonly report: ReportFailure;
}): readonly Interceptor[] {
  const { store, permissions, report } = options;
  return [mapErrors(report), authorizeResource(store, permissions), validateRequest];
}
