import {
  create,
  type DescMessage,
  fromJson,
  fromJsonString,
  type JsonValue,
  type MessageShape,
  type Registry,
} from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { type HttpRequest, hasForeignCharset, mediaType } from "../http.ts";
import { HttpRefusalError } from "./status.ts";
import { withoutUnknownFields } from "./unknown-fields.ts";

/**
 * Reads a request body as one JSON message. An empty body is an empty message, of any content type. Rejects with
 * invalid_argument for what is no such message, with HTTP 413 (code 8) as soon as the body exceeds `maxBytes`, and with
 * HTTP 415 for another content type.
 */
export async function readJsonMessage<Desc extends DescMessage>(
  request: HttpRequest,
  { desc, maxBytes, registry }: { readonly desc: Desc; readonly maxBytes: number; readonly registry: Registry },
): Promise<MessageShape<Desc>> {
  const body = await readBody(request, maxBytes);
  if (body.length === 0) return create(desc);
  requireJson(request);
  const json = withoutUnknownFields(desc, parse(body));
  try {
    return fromJson(desc, json, { registry });
  } catch (cause) {
    throw notTheMessage(findMisfit(desc, json, registry), cause);
  }
}

async function readBody(request: HttpRequest, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof HttpRefusalError) throw cause;
    throw new ConnectError("the request body ended early", Code.Canceled, undefined, undefined, cause);
  }
  return Buffer.concat(chunks, length);
}

function tooLarge(maxBytes: number): HttpRefusalError {
  return new HttpRefusalError({
    error: new ConnectError(`the request body is larger than ${maxBytes} bytes`, Code.ResourceExhausted),
    status: 413,
    // The rest of the body is not worth reading, and a connection with unread bytes cannot carry another request.
    header: { connection: "close" },
  });
}

function requireJson(request: HttpRequest): void {
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity") {
    throw new HttpRefusalError({
      error: new ConnectError("send the body without Content-Encoding", Code.InvalidArgument),
      status: 415,
      header: { "accept-encoding": "identity" },
    });
  }
  if (mediaType(request) !== "application/json" || hasForeignCharset(request)) {
    throw new HttpRefusalError({
      error: new ConnectError("set the header Content-Type: application/json", Code.InvalidArgument),
      status: 415,
      header: { accept: "application/json" },
    });
  }
}

function parse(body: Buffer): JsonValue {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
    // Refuses a key given twice, of which JSON.parse would keep the last without a word.
    fromJsonString(ValueSchema, text);
    return JSON.parse(text, keepLongIntegers) as JsonValue;
  } catch (cause) {
    throw new ConnectError("the request body is not valid JSON", Code.InvalidArgument, undefined, undefined, cause);
  }
}

/** A 64-bit number keeps all its digits: as a text, which proto JSON takes too. */
function keepLongIntegers(_: string, value: unknown, { source }: { source?: string } = {}): unknown {
  return typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) ? source : value;
}

/** The path, in wire names, of the first field whose value does not fit; undefined where the whole is no such message. */
function findMisfit(desc: DescMessage, json: JsonValue, registry: Registry): string | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  for (const field of desc.fields) {
    const value = json[field.jsonName] ?? json[field.name];
    if (value === undefined || fits(desc, { [field.name]: value }, registry)) continue;
    if (field.fieldKind === "message" && !field.message.typeName.startsWith("google.protobuf.")) {
      const inner = findMisfit(field.message, value, registry);
      return inner === undefined ? field.name : `${field.name}.${inner}`;
    }
    if (field.fieldKind === "list" && field.listKind === "message" && Array.isArray(value)) {
      for (const [index, item] of value.entries()) {
        const inner = findMisfit(field.message, item, registry);
        if (inner !== undefined) return `${field.name}[${index}].${inner}`;
      }
    }
    return field.name;
  }
  return undefined;
}

function fits(desc: DescMessage, json: JsonValue, registry: Registry): boolean {
  try {
    fromJson(desc, json, { registry });
    return true;
  } catch {
    return false;
  }
}

/** Names the field that does not fit. The parser's own words are the cause, for the log. */
function notTheMessage(field: string | undefined, cause: unknown): ConnectError {
  if (field === undefined) {
    const text = "the request body must be a JSON object with the fields of the request message";
    return new ConnectError(text, Code.InvalidArgument, undefined, undefined, cause);
  }
  const description = "the value does not fit the type of the field";
  return new ConnectError(
    `invalid value for the field ${field}: ${description}`,
    Code.InvalidArgument,
    undefined,
    [{ desc: BadRequestSchema, value: { fieldViolations: [{ field, description }] } }],
    cause,
  );
}
