import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../gen/google/rpc/error_details_pb.ts";

/** invalid_argument with a google.rpc.BadRequest that names what is wrong; the cause is for the log. */
export function violation(
  message: string,
  { field, description, cause }: { readonly field: string; readonly description: string; readonly cause?: unknown },
): ConnectError {
  const detail = { desc: BadRequestSchema, value: { fieldViolations: [{ field, description }] } };
  return new ConnectError(message, Code.InvalidArgument, undefined, [detail], cause);
}
