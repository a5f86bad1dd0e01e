import { createHash } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http";
import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
  type Registry,
  toJson,
} from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { toNodeHeaders } from "../http/headers.ts";
import type { RequestHead } from "../http/request.ts";
import { isTextField } from "./fields.ts";

/** Headers of other protocols, which come with an error that a handler passes on from elsewhere. */
const foreignHeaders: ReadonlySet<string> = new Set([
  "connect-protocol-version",
  "grpc-encoding",
  "grpc-message",
  "grpc-status",
  "grpc-status-details-bin",
]);

/** A message, or the field of it that is the response body, as proto JSON with every field that has no presence. */
export function answerJson(
  message: Message,
  desc: DescMessage,
  options: { readonly registry: Registry; readonly field?: DescField | undefined },
): JsonValue {
  const { registry, field } = options;
  const json = toJson(desc, message, { registry, alwaysEmitImplicit: true });
  if (field === undefined) return json;
  const value = (json as JsonObject)[field.jsonName];
  if (value !== undefined) return value;
  // It has presence and is not set: the empty value of its type.
  if (field.fieldKind !== "message" || isTextField(field)) return null;
  const { typeName } = field.message;
  return typeName === "google.protobuf.Value" ? null : typeName === "google.protobuf.ListValue" ? [] : {};
}

/** Headers and trailers of the handler and the interceptors. REST has no trailers, so they become headers named `trailer-…`. */
export function answerHeaders(context: HandlerContext): OutgoingHttpHeaders {
  const headers = sendable(context.responseHeader);
  for (const [name, value] of Object.entries(sendable(context.responseTrailer))) headers[`trailer-${name}`] = value;
  return headers;
}

/** The headers that a handler may set. */
export function sendable(headers: Headers): OutgoingHttpHeaders {
  const sent = toNodeHeaders(headers) ?? {};
  for (const name of Object.keys(sent)) if (foreignHeaders.has(name)) delete sent[name];
  return sent;
}

/** A Vary with one more name. */
export function withVary(headers: OutgoingHttpHeaders, name: string): OutgoingHttpHeaders {
  const { vary } = headers;
  return { ...headers, vary: vary === undefined ? name : `${vary}, ${name}` };
}

/** A weak ETag (RFC 9110, 8.8.3): the same for the same bytes before compression. */
export const weakEtag = (body: Buffer): string =>
  `W/"${createHash("sha256").update(body).digest("base64url").slice(0, 27)}"`;

/** Whether the caller holds this very answer (RFC 9110, 13.1.2). */
export function isHeld(head: RequestHead, etag: string): boolean {
  const wanted = head.headers["if-none-match"];
  const opaque = (tag: string) => tag.trim().replace(/^W\//, "");
  return (
    wanted !== undefined && (wanted.trim() === "*" || wanted.split(",").some((tag) => opaque(tag) === opaque(etag)))
  );
}
