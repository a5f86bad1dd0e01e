import { type DescField, type DescMessage, mergeFromJson, type Registry } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Exchange } from "../call/exchange.ts";
import { violation } from "../call/violation.ts";
import { readBody as readBodyOf } from "../http/body.ts";
import { decompress, requestEncodings } from "../http/content-coding.ts";
import { hasForeignCharset, mediaType, type RequestHead } from "../http/request.ts";
import { fieldNamed, isTextField, isWellKnown, messageOf } from "./fields.ts";
import { isRawBody, setRawBody } from "./http-body.ts";
import { findRepeatedKey, isNestedDeeper } from "./json-text.ts";
import { parseWithLongIntegers } from "./long-integers.ts";
import { checkMessage, formOf, Misfit } from "./proto-json.ts";
import type { Route } from "./route-table.ts";
import { HttpRefusalError } from "./status.ts";
import { withoutUnknownFields } from "./unknown-fields.ts";
import { flaw, shown } from "./violations.ts";

/** As deep as protobuf's own parsers go. */
const maxDepth = 100;

export type ReceivedBody = Pick<Exchange, "head" | "source">;

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
 * not fit, or `body` where it is all of it, and with an HttpRefusalError: 413 (code 8) as soon as the body exceeds
 * `maxBytes`, 415 for another content type or encoding.
 */
export async function mergeBody(
  message: ReflectMessage,
  { body, rpc }: Route,
  received: ReceivedBody,
  options: BodyOptions,
): Promise<void> {
  const { head } = received;
  if (body === undefined) return options.ignoreUnknown ? undefined : refuseBody(received, options);
  const bytes = await readBody(received, options);
  if (isRawBody(body, rpc.spec.method.input)) {
    return setRawBody(message, body, { contentType: head.headers["content-type"] ?? "", data: bytes });
  }
  if (bytes.length === 0) return body === "whole" ? undefined : setEmpty(message, body);
  requireJson(head);
  mergeJson(message, readText(bytes, body, message.desc), options);
}

/** What a body says would be lost where the rule has none. */
async function refuseBody(received: ReceivedBody, options: BodyOptions): Promise<void> {
  if ((await readBody(received, options)).length === 0) return;
  throw flaw("body", "this method and path take no request body: leave it out");
}

/** An empty body sets a field that is a message, and no other kind of field. */
function setEmpty(message: ReflectMessage, field: DescField): void {
  if (field.fieldKind !== "message" || isTextField(field)) return;
  // A Value is always a value of some kind, and no JSON value is empty.
  if (field.message.typeName !== "google.protobuf.Value") message.set(field, reflect(field.message));
}

function mergeJson(message: ReflectMessage, text: string, { registry, ignoreUnknown }: BodyOptions): void {
  const { desc } = message;
  const sent = parseWithLongIntegers(desc, text, registry);
  try {
    const json = checkMessage(desc, ignoreUnknown ? withoutUnknownFields(desc, sent) : sent, registry);
    // A level of the text can be two of its own: a Value and the list in it.
    mergeFromJson(desc, message.message, json, { registry, recursionLimit: 2 * maxDepth });
  } catch (cause) {
    // The parser's own words are for the log.
    if (!(cause instanceof Misfit) || cause.path === "") {
      throw flaw("body", `the request body must be ${formOf({ message: desc })}`, cause);
    }
    const { path: field, message: description } = cause;
    throw violation(`invalid value for the field ${field}: ${description}`, { field, description, cause });
  }
}

async function readBody(received: ReceivedBody, { maxBytes }: BodyOptions): Promise<Uint8Array> {
  const sent = await readSent(received, maxBytes);
  const encoding = (received.head.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (sent.length === 0 || encoding === "identity") return sent;
  const decompressed = await decompress(sent, encoding, maxBytes);
  switch (decompressed.kind) {
    case "bytes":
      return decompressed.bytes;
    case "too_large":
      throw tooLarge(maxBytes);
    case "damaged":
      throw violation(`the request body is not valid ${encoding}`, {
        field: "body",
        description: "compress it as the header Content-Encoding says, or leave the header out",
      });
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

async function readSent({ head, source }: ReceivedBody, maxBytes: number): Promise<Buffer> {
  if (Number(head.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  return readBodyOf(source, (length) => {
    if (length > maxBytes) throw tooLarge(maxBytes);
  });
}

function tooLarge(maxBytes: number): HttpRefusalError {
  return new HttpRefusalError({
    error: new ConnectError(`the request body is larger than ${maxBytes} bytes`, Code.ResourceExhausted),
    status: 413,
  });
}

function requireJson(head: RequestHead): void {
  const isJson = mediaType(head) === "application/json";
  if (isJson && !hasForeignCharset(head)) return;
  const charset = isJson ? ", with charset=utf-8 or without a charset" : "";
  throw new HttpRefusalError({
    error: new ConnectError(`set the header Content-Type: application/json${charset}`, Code.InvalidArgument),
    status: 415,
    header: { accept: "application/json" },
  });
}

/** The request message as JSON text. A body that is one field is put into its parent, which protobuf then reads by its rules. */
function readText(bytes: Uint8Array, body: "whole" | DescField, desc: DescMessage): string {
  let sent: string;
  try {
    sent = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw notJson(cause);
  }
  const text = body === "whole" ? sent : `{${JSON.stringify(body.jsonName)}:${sent}}`;
  if (isNestedDeeper(text, maxDepth)) {
    throw flaw("body", `the request body is nested too deep: send no more than ${maxDepth} levels`);
  }
  try {
    // Parsed by itself: it must not close the object that it is put into.
    JSON.parse(sent);
  } catch (cause) {
    throw notJson(cause);
  }
  const repeated = findRepeatedKey(text);
  if (repeated !== undefined) {
    const field = wirePath(desc, repeated);
    const description = "it is given twice: send it once";
    throw violation(`invalid value for the field ${field}: ${description}`, { field, description });
  }
  return text;
}

const notJson = (cause: unknown): ConnectError =>
  flaw("body", "the request body is not valid JSON: send one JSON value, in UTF-8", cause);

/** A path through JSON in wire names, as far as the message has them. */
function wirePath(desc: DescMessage, way: readonly (string | number)[]): string {
  let within: DescMessage | undefined = desc;
  let path = "";
  for (const step of way) {
    if (typeof step === "number") {
      path += `[${step}]`;
      continue;
    }
    const field: DescField | undefined = within && !isWellKnown(within) ? fieldNamed(within, step) : undefined;
    path += `${path === "" ? "" : "."}${field?.name ?? shown(step)}`;
    within = field && messageOf(field);
  }
  return path;
}
