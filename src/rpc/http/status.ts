import type { OutgoingHttpHeaders } from "node:http";
import { Code, type ConnectError } from "@connectrpc/connect";

const httpStatuses: Readonly<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

/** The HTTP status of an error code, as google.rpc.Code documents it. */
export const httpStatus = (code: Code): number => httpStatuses[code] ?? 500;

/** A refusal made by HTTP itself rather than by an RPC: its status is not the one that the code stands for. */
export interface HttpRefusal {
  readonly error: ConnectError;
  readonly status: number;
  readonly header?: OutgoingHttpHeaders;
}
