import type { DescMessage, DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { requestIdOf } from "@portcullis/rpc";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ErrorDetailSchema } from "../../gen/zitadel/message_pb.ts";
import { AuthError, type AuthErrorKind } from "../auth/errors.ts";
import { PolicyError, type RefusalKind } from "../domain/login-policy/errors.ts";
import { StoreError, type StoreErrorCode } from "../store/errors.ts";

/** Receives failures of the server itself, with the call or request that met them. */
export type ReportFailure = (failure: {
  readonly reason: unknown;
  /** Present for an RPC. */
  readonly contextValues?: ContextValues;
  /** Present for a request that is no RPC. */
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
  conflict: { code: Code.Aborted, text: "other writers kept changing the same policy; try again" },
  unavailable: { code: Code.Unavailable, text: "the store cannot be reached or written; try again" },
  // A code that clients do not retry by themselves.
  outcome_unknown: {
    code: Code.Unknown,
    text: "whether this was written is unknown: read the current state before you try again",
  },
  closed: { code: Code.Unavailable, text: "the server is shutting down; try again" },
  corrupt: { code: Code.DataLoss, text: "the stored data is damaged" },
  unsupported_schema: { code: Code.Internal, text: "the store has a schema that this server does not know" },
};

/**
 * Maps every error that our code throws to the error that the caller gets. A refusal keeps its text and carries a
 * `zitadel.v1.ErrorDetail`. An unknown error is a bug: the caller gets a constant text with the request id, and the log the
 * cause.
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

/** Whether a service is of our own API, and not of ZITADEL's or for tools. */
const isOurs = ({ typeName }: DescService): boolean => typeName.startsWith("portcullis.");

/** Gives every error of our own API a google.rpc.ErrorInfo, as AIP-193 asks. */
function withErrorInfo(error: ConnectError, reason: unknown): ConnectError {
  const has = ({ typeName }: DescMessage) =>
    error.details.some((detail) => "desc" in detail && detail.desc.typeName === typeName);
  if (has(ErrorInfoSchema)) return error;
  let name = Code[error.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_");
  if (has(BadRequestSchema)) name = "FIELD_INVALID";
  if (reason instanceof PolicyError || reason instanceof AuthError || reason instanceof StoreError) name = reason.code;
  error.details.push({ desc: ErrorInfoSchema, value: { reason: name.toUpperCase(), domain: "portcullis" } });
  return error;
}

/** Maps the errors of implementations and of the interceptors inside it, so it must be the outermost one. */
export function mapErrors(report: ReportFailure): Interceptor {
  return (next) => async (request) => {
    const { contextValues, service } = request;
    const map = (reason: unknown) => {
      const error = toConnectError(reason, { report, contextValues });
      return isOurs(service) ? withErrorInfo(error, reason) : error;
    };
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: mapEach(response.message, map) } : response;
    } catch (reason) {
      throw map(reason);
    }
  };
}

/** The same mapping for the error that ends a stream. Errors of a reader that stops are not mapped: they are not ours. */
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

/** The same mapping for the request gate, which runs before the interceptors. */
export function mapGateErrors(
  gate: (context: HandlerContext) => Promise<void>,
  report: ReportFailure,
): (context: HandlerContext) => Promise<void> {
  return (context) =>
    gate(context).catch((reason: unknown) => {
      const error = toConnectError(reason, { report, contextValues: context.values });
      throw isOurs(context.service) ? withErrorInfo(error, reason) : error;
    });
}
