import type { OutgoingHttpHeaders } from "node:http";
import {
  create,
  type DescMessage,
  fromBinary,
  type JsonObject,
  type JsonValue,
  type Message,
  type MessageInitShape,
  type Registry,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import type { Reply } from "../http/reply.ts";
import { type HttpRefusal, httpStatus } from "../http/status.ts";
import { sendable } from "./answer.ts";

/**
 * Answers with an error as proto JSON of google.rpc.Status: the numeric code, the message, and `details`, perhaps empty.
 * A reason that is no ConnectError is a bug, and becomes `internal` without its text.
 */
export function sendStatus(
  reply: Reply,
  reason: unknown,
  options: { readonly registry: Registry; readonly header?: OutgoingHttpHeaders; readonly isHead?: boolean },
): void {
  const { error, status, header } = toRefusal(reason);
  const body = Buffer.from(JSON.stringify(statusJson(error, options.registry)));
  const headers = {
    ...options.header,
    ...sendable(error.metadata),
    ...(status === 401 && { "www-authenticate": "Bearer" }),
    ...retryAfter(error),
    ...header,
    "content-type": "application/json",
    "cache-control": "no-store",
  };
  if (options.isHead) reply.send({ status, header: { ...headers, "content-length": body.length } });
  else reply.send({ status, header: headers, body });
}

/** An error as proto JSON of google.rpc.Status. */
export const toStatusJson = (reason: unknown, registry: Registry): JsonObject =>
  statusJson(toRefusal(reason).error, registry);

/** The code that the caller sees for an error. */
export const codeOf = (reason: unknown): Code => toRefusal(reason).error.code;

/** What a google.rpc.RetryInfo among the details says, for clients that know HTTP alone: in whole seconds. */
function retryAfter({ details }: ConnectError): OutgoingHttpHeaders {
  for (const detail of details) {
    if (!("desc" in detail) || detail.desc.typeName !== RetryInfoSchema.typeName) continue;
    const { retryDelay } = create(RetryInfoSchema, detail.value as MessageInitShape<typeof RetryInfoSchema>);
    if (retryDelay) return { "retry-after": String(Number(retryDelay.seconds) + (retryDelay.nanos > 0 ? 1 : 0)) };
  }
  return {};
}

/** An HttpRefusal on its way out of a call. */
export class HttpRefusalError extends Error {
  override readonly name = "HttpRefusalError";
  readonly refusal: HttpRefusal;

  constructor(refusal: HttpRefusal) {
    super(refusal.error.rawMessage);
    this.refusal = refusal;
  }
}

function toRefusal(reason: unknown): HttpRefusal {
  if (reason instanceof HttpRefusalError) return reason.refusal;
  const error = reason instanceof ConnectError ? reason : new ConnectError("internal error", Code.Internal);
  return { error, status: httpStatus(error.code) };
}

function statusJson(error: ConnectError, registry: Registry): JsonObject {
  return {
    code: error.code,
    message: error.rawMessage,
    details: error.details.map((detail) => detailJson(detail, registry)),
  };
}

function detailJson(detail: ConnectError["details"][number], registry: Registry): JsonObject {
  if ("desc" in detail) return messageJson(detail.desc, create(detail.desc, detail.value), registry);
  // A detail that came over the wire from elsewhere, still encoded.
  const desc = registry.getMessage(detail.type);
  if (desc !== undefined) {
    try {
      return messageJson(desc, fromBinary(desc, detail.value), registry);
    } catch {
      // Then its bytes are sent, as for an unknown type.
    }
  }
  return bytesJson(detail.type, detail.value);
}

function messageJson(desc: DescMessage, message: Message, registry: Registry): JsonObject {
  let json: JsonValue;
  try {
    json = toJson(desc, message, { registry, alwaysEmitImplicit: true });
  } catch {
    // It holds a message of an unknown type, or a text that is no Unicode. The code is worth more than the detail.
    return bytesJson(desc.typeName, toBinary(desc, message));
  }
  // A type with a JSON form of its own, a text perhaps, is a value beside its name.
  const fields = desc.typeName.startsWith("google.protobuf.") ? { value: json } : (json as JsonObject);
  return { "@type": `type.googleapis.com/${desc.typeName}`, ...fields };
}

const bytesJson = (typeName: string, bytes: Uint8Array): JsonObject => ({
  "@type": `type.googleapis.com/${typeName}`,
  value: Buffer.from(bytes).toString("base64"),
});
