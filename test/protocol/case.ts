import type { DescMethodUnary, JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import type { Code } from "@connectrpc/connect";
import { AdminService } from "../../gen/zitadel/admin_pb.ts";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";

export const management = ManagementService.method;
export const admin = AdminService.method;

/** A call of one RPC. */
export interface Call {
  readonly method: DescMethodUnary;
  readonly message: MessageInitShape<DescMethodUnary["input"]>;
}

/** A call, typed by its RPC. */
export function call<Method extends DescMethodUnary>(
  method: Method,
  message: MessageInitShape<Method["input"]> = {} as MessageInitShape<Method["input"]>,
): Call {
  return { method, message } as Call;
}

/** One call and what must come of it, the same over every protocol. */
export interface Case {
  readonly name: string;
  /** Calls that `admin` makes before, on the same organization. They succeed. */
  readonly given?: readonly Call[];
  readonly when: Call;
  /** The only role of the caller; by default IAM_OWNER. `nobody`: there is no Authorization header. */
  readonly caller?: string | { readonly authorization: string };
  /** Where an organization role is granted, and what the header says; by default the default one, and no header. */
  readonly organization?: {
    readonly ofCaller?: "default" | "other";
    readonly header?: "default" | "other" | "unknown" | "";
  };
  readonly want: Success | Refusal;
}

export interface Success {
  /** The whole answer as JSON, with times as `<time>` and ids as `<instance>`, `<default>` and `<other>`. */
  readonly body: JsonValue;
  /** Whether the answer says that a policy was created by copying. */
  readonly copied?: boolean;
}

export interface Refusal {
  readonly code: Code;
  readonly http: number;
  /** The text without the id that follows it in brackets. */
  readonly text: string;
  /** The id in the ErrorDetail; absent: there is no ErrorDetail. */
  readonly id?: string;
  /** The field in the BadRequest; absent: there is no BadRequest. */
  readonly field?: string;
}

/** The answer to a write: both dates where it was an Add. */
export const added = (sequence: number, resourceOwner = "<default>"): Success => ({
  body: {
    details: { sequence: String(sequence), creationDate: "<time>", changeDate: "<time>", resourceOwner },
  },
});
export const changed = (sequence: number, resourceOwner = "<default>"): Success => ({
  body: { details: { sequence: String(sequence), changeDate: "<time>", resourceOwner } },
});

/** The answer to a list. */
export const list = (...result: string[]): Success => ({
  body: {
    details: { totalResult: String(result.length), processedSequence: "<position>", viewTimestamp: "<time>" },
    result,
  },
});
