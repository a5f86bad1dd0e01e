import {
  type DescField,
  type DescMessage,
  fromJson,
  fromJsonString,
  type JsonObject,
  type JsonValue,
  mergeFromJson,
  type Registry,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { type HttpRequest, hasForeignCharset, mediaType } from "../http.ts";
import { decompress, requestEncodings } from "./encoding.ts";
import { isTextField, messageOf } from "./fields.ts";
import { isRawBody, setRawBody } from "./http-body.ts";
import { parseWithLongIntegers } from "./long-integers.ts";
import type { Route } from "./route-table.ts";
import { HttpRefusalError } from "./status.ts";
import { withoutUnknownFields } from "./unknown-fields.ts";
import { violation } from "./violations.ts";

/** As deep as protobuf's own parsers go. */
const maxDepth = 100;

export interface BodyOptions {
  /** The largest body in bytes, before and after decompression. */
  readonly maxBytes: number;
  readonly registry: Registry;
  /** Whether fields that the message does not have are passed over, and a body that no field takes is not read. */
  readonly ignoreUnknown: boolean;
}

/**
 * Reads the request body into the part of the message that the route gives it: all of it, one field, or none. An empty body
 * is an empty message, of any content type. Rejects with a ConnectError, invalid_argument, that names the field which does
 * not fit, and with an HttpRefusalError: 413 (code 8) as soon as the body exceeds `maxBytes`, 415 for another content type or
 * encoding.
 */
export async function mergeBody(
  message: ReflectMessage,
  { body, rpc }: Route,
  request: HttpRequest,
  options: BodyOptions,
): Promise<void> {
  if (body === undefined) return options.ignoreUnknown ? undefined : refuseBody(request, options);
  const bytes = await readBody(request, options);
  if (isRawBody(body, rpc.spec.method.input)) {
    return setRawBody(message, body, { contentType: request.headers["content-type"] ?? "", data: bytes });
  }
  if (bytes.length === 0) return body === "whole" ? undefined : setEmpty(message, body);
  requireJson(request);
  mergeJson(message, readText(bytes, body), options);
}

/** A body where none belongs says something that would be lost. */
async function refuseBody(request: HttpRequest, options: BodyOptions): Promise<void> {
  if ((await readBody(request, options)).length === 0) return;
  throw new ConnectError("this method and path take no request body", Code.InvalidArgument);
}

/** A message that was sent empty is there; of the other kinds of fields, nothing was sent. */
function setEmpty(message: ReflectMessage, field: DescField): void {
  if (field.fieldKind !== "message" || isTextField(field)) return;
  // A Value is always a value of some kind, and JSON has none that is empty.
  if (field.message.typeName !== "google.protobuf.Value") message.set(field, reflect(field.message));
}

function mergeJson(message: ReflectMessage, text: string, { registry, ignoreUnknown }: BodyOptions): void {
  const { desc } = message;
  const sent = parseWithLongIntegers(desc, text);
  const json = ignoreUnknown ? withoutUnknownFields(desc, sent) : sent;
  try {
    mergeFromJson(desc, message.message, json, { registry });
  } catch (cause) {
    throw notTheMessage(findMisfit(desc, json, registry), cause);
  }
}

async function readBody(request: HttpRequest, { maxBytes }: BodyOptions): Promise<Buffer> {
  const sent = await readSent(request, maxBytes);
  const encoding = (request.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (sent.length === 0 || encoding === "identity") return sent;
  const decompressed = await decompress(sent, encoding, maxBytes);
  switch (decompressed.kind) {
    case "bytes":
      return decompressed.bytes;
    case "too_large":
      throw tooLarge(maxBytes);
    case "damaged":
      throw new ConnectError(`the request body is not valid ${encoding}`, Code.InvalidArgument);
    case "unknown_encoding":
      throw new HttpRefusalError({
        error: new ConnectError(
          `send the body with Content-Encoding: ${requestEncodings.join(", ")}, or without the header`,
          Code.InvalidArgument,
        ),
        status: 415,
        header: { "accept-encoding": requestEncodings.join(", ") },
      });
  }
}

async function readSent(request: HttpRequest, maxBytes: number): Promise<Buffer> {
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
  if (mediaType(request) !== "application/json" || hasForeignCharset(request)) {
    throw new HttpRefusalError({
      error: new ConnectError("set the header Content-Type: application/json", Code.InvalidArgument),
      status: 415,
      header: { accept: "application/json" },
    });
  }
}

/** The request message as JSON text, of which the body may be one field: with its parent, protobuf's own rules read it. */
function readText(bytes: Buffer, body: "whole" | DescField): string {
  try {
    const sent = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const text = body === "whole" ? sent : `{${JSON.stringify(body.jsonName)}:${sent}}`;
    if (isTooDeep(text)) throw new Error(`nested more than ${maxDepth} deep`);
    // By itself, lest it close what it is put into.
    JSON.parse(sent);
    // Refuses a key given twice, of which JSON.parse would keep the last without a word.
    fromJsonString(EmptySchema, `{"":${text}}`, { ignoreUnknownFields: true });
    return text;
  } catch (cause) {
    throw new ConnectError("the request body is not valid JSON", Code.InvalidArgument, undefined, undefined, cause);
  }
}

/** Parsers call themselves once per level, and a stack has an end. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  let isInString = false;
  // A pattern for strings would begin anew at every quote of one that does not end.
  for (let at = 0; at < text.length && depth <= maxDepth; at += 1) {
    const character = text[at];
    if (character === '"') isInString = !isInString;
    else if (isInString) at += character === "\\" ? 1 : 0;
    else if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") depth -= 1;
  }
  return depth > maxDepth;
}

interface Misfit {
  /** The path of the field, in wire names. */
  readonly field: string;
  readonly description: string;
}

/** The first field whose value does not fit, or that is none; undefined where the whole is no such message. */
function findMisfit(desc: DescMessage, json: JsonValue, registry: Registry): Misfit | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  const isKnown = (name: string) => desc.fields.some((field) => field.jsonName === name || field.name === name);
  const unknown = Object.keys(json).find((name) => !isKnown(name));
  if (unknown !== undefined) return { field: unknown.slice(0, 100), description: "the message has no such field" };
  for (const field of desc.fields) {
    if (field.name !== field.jsonName && Object.hasOwn(json, field.name) && Object.hasOwn(json, field.jsonName)) {
      return { field: field.name, description: "it is given under both of its names" };
    }
    const value = own(json, field.jsonName) ?? own(json, field.name);
    if (value === undefined || fits(desc, { [field.jsonName]: value }, registry)) continue;
    const message = messageOf(field);
    const items = field.fieldKind === "list" && Array.isArray(value) ? value : [value];
    if (message !== undefined && !message.typeName.startsWith("google.protobuf.")) {
      for (const [index, item] of items.entries()) {
        const inner = findMisfit(message, item, registry);
        const place = field.fieldKind === "list" ? `${field.name}[${index}]` : field.name;
        if (inner !== undefined) return { ...inner, field: `${place}.${inner.field}` };
      }
    }
    return { field: field.name, description: "the value does not fit the type of the field" };
  }
  for (const { fields } of desc.oneofs) {
    const [first, second] = fields.filter(
      (field) => (own(json, field.jsonName) ?? own(json, field.name) ?? null) !== null,
    );
    if (first === undefined || second === undefined) continue;
    return { field: second.name, description: `it and ${first.name} are alternatives: send one of them` };
  }
  return undefined;
}

/** A name that every object inherits may be a field's too. */
const own = (json: JsonObject, name: string): JsonValue | undefined =>
  Object.hasOwn(json, name) ? json[name] : undefined;

function fits(desc: DescMessage, json: JsonValue, registry: Registry): boolean {
  try {
    fromJson(desc, json, { registry });
    return true;
  } catch {
    return false;
  }
}

/** Names the field that does not fit. The parser's own words are the cause, for the log. */
function notTheMessage(misfit: Misfit | undefined, cause: unknown): ConnectError {
  if (misfit === undefined) {
    const text = "the request body must be a JSON object with the fields of the request message";
    return new ConnectError(text, Code.InvalidArgument, undefined, undefined, cause);
  }
  const { field, description } = misfit;
  return violation(`invalid value for the field ${field}: ${description}`, { field, description, cause });
}
