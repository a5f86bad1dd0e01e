import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { ErrorDetailSchema } from "../../../gen/zitadel/message_pb.ts";
import type { PolicyError } from "../../domain/login-policy/errors.ts";

/** Names this server in google.rpc.ErrorInfo. */
const domain = "portcullis";

interface Refusal {
  readonly code: Code;
  /** Programs compare this: in capitals, with underscores. */
  readonly reason: string;
  /** A sentence that says what to do. */
  readonly text: string;
  /** The field to blame, by its path in wire names. */
  readonly field?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The error that a caller of portcullis.v1 gets: with a google.rpc.ErrorInfo, and a BadRequest where a field is to blame. */
export function refusal({ code, reason, text, field, metadata = {} }: Refusal): ConnectError {
  const detail = <Desc extends DescMessage>(desc: Desc, value: MessageInitShape<Desc>) => ({ desc, value }) as never;
  return new ConnectError(text, code, undefined, [
    detail(ErrorInfoSchema, { reason, domain, metadata: { ...metadata } }),
    ...(field === undefined
      ? []
      : [detail(BadRequestSchema, { fieldViolations: [{ field, description: text, reason }] })]),
  ]);
}

export const invalidField = (field: string, text: string, reason = "FIELD_INVALID"): ConnectError =>
  refusal({ code: Code.InvalidArgument, reason, text: `${field}: ${text}`, field });

export const etagMismatch = (current: string): ConnectError =>
  refusal({
    code: Code.Aborted,
    reason: "ETAG_MISMATCH",
    text: "the policy is not the one that the etag names: read it again, and decide again",
    metadata: { etag: current },
  });

export const revisionNotFound = (name: string): ConnectError =>
  refusal({ code: Code.NotFound, reason: "REVISION_NOT_FOUND", text: `the policy has no revision ${name}` });

/** A refusal that v1 has an id for, with the field to blame. */
export function refusedField(field: string, { id, message, code }: PolicyError, advice: string): ConnectError {
  const error = refusal({
    code: Code.InvalidArgument,
    reason: code.toUpperCase(),
    text: `${message} (${id}): ${advice}`,
    field,
  });
  error.details.unshift({ desc: ErrorDetailSchema, value: { id, message } });
  return error;
}
