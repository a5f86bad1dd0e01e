import { create, type JsonObject, type Registry, toJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type HttpRefusal, type HttpResponse, httpStatus, send } from "../http.ts";

/**
 * Answers with an error as proto JSON of google.rpc.Status: the numeric code, the message, and `details`, perhaps empty.
 * What is no ConnectError is a bug: it is answered as `internal` without its text.
 */
export function sendStatus(
  response: HttpResponse,
  reason: unknown,
  options: { readonly registry: Registry; readonly header?: Headers },
): void {
  const { error, status, header } = toRefusal(reason);
  send(response, {
    status,
    header: {
      ...Object.fromEntries(options.header ?? []),
      ...Object.fromEntries(error.metadata),
      ...header,
      "content-type": "application/json",
      "cache-control": "no-store",
    },
    body: Buffer.from(JSON.stringify(statusJson(error, options.registry))),
  });
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
  if ("desc" in detail) {
    const json = toJson(detail.desc, create(detail.desc, detail.value), { registry, alwaysEmitImplicit: true });
    return { "@type": `type.googleapis.com/${detail.desc.typeName}`, ...(json as JsonObject) };
  }
  // A detail that came over the wire from elsewhere, still encoded: its bytes are kept.
  return { "@type": `type.googleapis.com/${detail.type}`, value: Buffer.from(detail.value).toString("base64") };
}
