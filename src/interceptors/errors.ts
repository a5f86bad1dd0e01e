import { Code, ConnectError, type ContextValues, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { requestIdOf } from "@portcullis/rpc";
import { ErrorDetailSchema } from "../../gen/zitadel/message_pb.ts";
import { AuthError, type AuthErrorKind } from "../auth/errors.ts";
import { PolicyError, type RefusalKind } from "../domain/login-policy/errors.ts";
import { StoreError, type StoreErrorCode } from "../store/errors.ts";

/** Told of a failure that is the server's own, and of the call that met it, where one did. */
export type ReportFailure = (failure: {
  readonly reason: unknown;
  /** Of the call. */
  readonly contextValues?: ContextValues;
  /** Of a request that is no call. */
  readonly requestId?: string;
}) => void;

const refusalCodes: Readonly<Record<RefusalKind | AuthErrorKind, Code>> = {
  invalid: Code.InvalidArgument,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  unauthenticated: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
  unavailable: Code.Unavailable,
};

const storeFailures: Readonly<Record<StoreErrorCode, { readonly code: Code; readonly text: string }>> = {
  conflict: { code: Code.Aborted, text: "others kept changing the same policy; try again" },
  unavailable: { code: Code.Unavailable, text: "the store cannot be reached or written just now; try again" },
  // No code that clients take as leave to try again by themselves.
  outcome_unknown: {
    code: Code.Unknown,
    text: "whether this was written is not known: read what there is before you try again",
  },
  closed: { code: Code.Unavailable, text: "the server is shutting down; try again elsewhere" },
  corrupt: { code: Code.DataLoss, text: "the stored data is damaged" },
  unsupported_schema: { code: Code.Internal, text: "the store has a schema that this server does not know" },
};

/**
 * The one mapping from what our code throws to what a caller is told. An expected refusal keeps its text and carries a
 * `zitadel.v1.ErrorDetail`; anything unknown is a bug, answered with a constant text and an id that the log has too.
 */
export function toConnectError(
  reason: unknown,
  options: { readonly report: ReportFailure; readonly contextValues: ContextValues },
): ConnectError {
  if (reason instanceof PolicyError || reason instanceof AuthError) {
    const { id, message, kind } = reason;
    if (id === undefined) return new ConnectError(message, refusalCodes[kind]);
    return new ConnectError(`${message} (${id})`, refusalCodes[kind], undefined, [
      { desc: ErrorDetailSchema, value: { id, message } },
    ]);
  }
  if (reason instanceof ConnectError) return reason;
  const { report, contextValues } = options;
  report({ reason, contextValues });
  const requestId = requestIdOf(contextValues);
  if (reason instanceof StoreError) {
    const { code, text } = storeFailures[reason.code];
    return new ConnectError(`${text} (request ${requestId})`, code);
  }
  return new ConnectError(`the server failed (request ${requestId})`, Code.Internal);
}

/** Maps what interceptors further in and implementations throw. It must be the outermost one that can see an error. */
export function mapErrors(report: ReportFailure): Interceptor {
  return (next) => async (request) => {
    const { contextValues } = request;
    const map = (reason: unknown) => toConnectError(reason, { report, contextValues });
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: mapEach(response.message, map) } : response;
    } catch (reason) {
      throw map(reason);
    }
  };
}

/** The same mapping for what a stream ends with. What goes the other way, because nobody reads on, is no failure of ours. */
function mapEach<Item>(items: AsyncIterable<Item>, map: (reason: unknown) => ConnectError): AsyncIterable<Item> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      return {
        next: () =>
          iterator.next().catch((reason: unknown) => {
            throw map(reason);
          }),
        return: async (value: unknown) => (await iterator.return?.(value)) ?? { done: true, value },
        throw: (reason: unknown) => iterator.throw?.(reason) ?? Promise.reject(reason),
      };
    },
  };
}

/** The same mapping for a request gate, which runs before any interceptor. */
export function mapGateErrors(
  gate: (context: HandlerContext) => Promise<void>,
  report: ReportFailure,
): (context: HandlerContext) => Promise<void> {
  return (context) =>
    gate(context).catch((reason: unknown) => {
      throw toConnectError(reason, { report, contextValues: context.values });
    });
}
