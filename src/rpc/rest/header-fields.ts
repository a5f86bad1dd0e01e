import { type DescField, getOption, hasOption, type Message, type Registry, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { MethodImplSpec } from "@connectrpc/connect";
import { violation } from "../call/violation.ts";
import { rest_headers } from "../gen/portcullis/rpc/v1/rest_pb.ts";
import type { RequestHead } from "../http/request.ts";
import type { Rpc } from "../rpc-table.ts";
import { resolveTextField } from "./fields.ts";
import { setByText } from "./text-value.ts";
import { conflict } from "./violations.ts";

/** A field of type string, behind the messages that lead to it. */
type FieldPath = readonly DescField[];

/** The fields of one RPC that are headers over REST, as its option `portcullis.rpc.v1.rest_headers` names them. */
export interface HeaderFields {
  /** Of the answer: its ETag. */
  readonly etag?: FieldPath;
  /** Of the request: If-Match. */
  readonly ifMatch?: FieldPath;
  /** Of each streamed answer: the id of its server-sent event. */
  readonly eventId?: FieldPath;
  /** Of the request: Last-Event-ID. */
  readonly lastEventId?: FieldPath;
}

interface Place {
  readonly name: string;
  readonly side: "input" | "output";
  readonly kind: MethodImplSpec["kind"];
}

const places: Readonly<Record<keyof HeaderFields, Place>> = {
  etag: { name: "etag", side: "output", kind: "unary" },
  ifMatch: { name: "if_match", side: "input", kind: "unary" },
  eventId: { name: "event_id", side: "output", kind: "server_streaming" },
  lastEventId: { name: "last_event_id", side: "input", kind: "server_streaming" },
};

/** Reads the option of an RPC. Throws an Error, naming RPC and option, for a path that names no string field, or has no effect. */
export function readHeaderFields({ spec, path }: Rpc): HeaderFields {
  const { method } = spec;
  if (!hasOption(method, rest_headers)) return {};
  const option = getOption(method, rest_headers);
  const found: { -readonly [Name in keyof HeaderFields]: FieldPath } = {};
  for (const [key, { name, side, kind }] of Object.entries(places) as [keyof HeaderFields, Place][]) {
    const fieldPath = option[key];
    if (fieldPath === "") continue;
    try {
      if (spec.kind !== kind)
        throw new Error(`only ${kind === "unary" ? "unary RPCs have" : "streams of answers have"} it`);
      found[key] = resolveString(method[side], fieldPath);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : cause;
      throw new Error(`the option portcullis.rpc.v1.rest_headers of ${path}: ${name}: ${reason}`, { cause });
    }
  }
  return found;
}

function resolveString(message: Parameters<typeof resolveTextField>[0], fieldPath: string): FieldPath {
  const fields = resolveTextField(message, fieldPath.split("."));
  const last = fields.at(-1);
  if (last?.fieldKind !== "scalar" || last.scalar !== ScalarType.STRING) {
    throw new Error(`the path names the field ${fieldPath}, which is no string`);
  }
  return fields;
}

/** RFC 9110, 8.8.3. */
const anEtag = /^(?:W\/)?"[!#-~\x80-\xff]*"$/;

/**
 * Sets the fields that come as headers. Throws a ConnectError, invalid_argument, for If-Match beside a field with another value,
 * and for a header that is not valid.
 */
export function bindHeaders(
  message: ReflectMessage,
  { ifMatch, lastEventId }: HeaderFields,
  { headers, registry }: { readonly headers: RequestHead["headers"]; readonly registry: Registry },
): void {
  const etag = ifMatch && readIfMatch(headers["if-match"]);
  if (ifMatch && etag !== undefined) {
    const name = ifMatch.map((field) => field.name).join(".");
    const given = textAt(message, ifMatch);
    if (given !== "" && given !== etag) {
      throw conflict(name, "the header If-Match has another value: send one of them");
    }
    setByText(message, { fields: ifMatch, texts: [etag], name, registry });
  }
  const eventId = lastEventId && readLastEventId(headers["last-event-id"]);
  if (lastEventId && eventId !== undefined) {
    const name = lastEventId.map((field) => field.name).join(".");
    setByText(message, { fields: lastEventId, texts: [eventId], name, overrides: true, registry });
  }
}

/** The etag; undefined where every state matches. */
function readIfMatch(header: string | undefined): string | undefined {
  const text = header?.trim();
  if (text === undefined || text === "*") return undefined;
  if (!anEtag.test(text)) throw invalid("if-match", "send one etag, in its double quotes, or *");
  return text;
}

/** The id, which browsers send in UTF-8; undefined where there is none, as before the first event. */
function readLastEventId(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined || header === "") return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(String(header), "latin1"));
  } catch {
    throw invalid("last-event-id", "send the id of the last event as it came, in UTF-8");
  }
}

const invalid = (field: string, description: string) =>
  violation(`invalid header ${field}: ${description}`, { field, description });

/** The ETag of an answer; undefined where its field is empty. Throws an Error for a value that no header may have. */
export function etagOf(answer: Message, { rpc, headers: { etag: fields } }: Answered): string | undefined {
  const etag = fields && textAt(reflect(rpc.spec.method.output, answer), fields);
  if (!etag) return undefined;
  if (!anEtag.test(etag)) throw new Error(`the ${fields?.at(-1)} holds no etag in double quotes`);
  return etag;
}

/** The id of the event that a streamed answer becomes; undefined where its field is empty. */
export function eventIdOf(answer: Message, { rpc, headers: { eventId: fields } }: Answered): string | undefined {
  return (fields && textAt(reflect(rpc.spec.method.output, answer), fields)) || undefined;
}

interface Answered {
  readonly rpc: Rpc;
  readonly headers: HeaderFields;
}

/** The value of a field; empty where it is not set. */
function textAt(message: ReflectMessage, fields: FieldPath): string {
  let target = message;
  for (const field of fields.slice(0, -1)) {
    if (!target.isSet(field)) return "";
    target = target.get(field) as ReflectMessage;
  }
  const field = fields.at(-1) as DescField;
  return target.isSet(field) ? (target.get(field) as string) : "";
}
