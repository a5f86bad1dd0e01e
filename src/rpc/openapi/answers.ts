import type { DescField, JsonObject } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { innerMessage, isTextField } from "../rest/fields.ts";
import { isHttpBody } from "../rest/http-body.ts";
import type { Route } from "../rest/route-table.ts";
import { streamTypes } from "../rest/stream-writer.ts";
import { nameOf } from "./headers.ts";
import type { SchemaCollection } from "./schemas.ts";

export const binary: JsonObject = { schema: { type: "string", format: "binary" } };

/** A POST route also takes a call in the framing of gRPC or gRPC-Web, and answers in the same. */
export const framed = (route: Route): JsonObject =>
  route.method === "POST" ? { "application/grpc": binary, "application/grpc-web+proto": binary } : {};

const status: JsonObject = { $ref: "#/components/schemas/google.rpc.Status" };

/** The answer of a route to a call that succeeds. For a stream, its schema also shows an error after the first message. */
export function answerOf(route: Route, schemas: SchemaCollection): JsonObject {
  const { kind, method } = route.rpc.spec;
  const { responseBody } = route;
  const part = responseBody?.fieldKind === "message" ? responseBody.message : undefined;
  if (isHttpBody(responseBody === undefined ? method.output : part)) {
    const description = kind === "unary" ? "The call succeeded." : "The bytes, as they come. An error breaks them off.";
    return { description, content: { "*/*": binary } };
  }
  const schema =
    responseBody === undefined ? schemas.message(method.output, "answer") : partSchema(responseBody, schemas);
  if (kind === "unary") {
    return { description: "The call succeeded.", content: { "application/json": { schema }, ...framed(route) } };
  }
  const forms = streamTypes.map((type) => [type, { schema: streamSchemas[type]?.(schema, route) ?? schema }]);
  return {
    description:
      "The messages, each as soon as it is ready. An error before the first one has its own HTTP status; the schema shows a " +
      "later one.",
    content: { ...Object.fromEntries(forms), ...framed(route) },
  };
}

/** The schema of a stream of messages, by its media type; see `rest/stream-writer.ts`. */
const streamSchemas: Readonly<Record<string, (message: JsonObject, route: Route) => JsonObject>> = {
  "application/x-ndjson": (message) => ({
    description: "One line. Where an error ended the stream, the last line is an object with `error` alone.",
    anyOf: [
      message,
      { type: "object", properties: { error: status }, required: ["error"], additionalProperties: false },
    ],
  }),
  "application/json": (message) => ({
    type: "array",
    description: "An error after the first message breaks the connection off, and the array has no end.",
    items: message,
  }),
  "text/event-stream": (message, { headers: { eventId } }) => ({
    description:
      "The `data` of one event: a message, or, in an event `error`, what ended the stream. A stream that is complete ends " +
      "with an event `end`, whose `data` is empty." +
      (eventId ? ` The \`id\` of an event is the field ${nameOf(eventId)}.` : ""),
    anyOf: [message, status],
  }),
};

/** The schema of a field that is the whole answer, with its form when it is not set (`rest/answer.ts`). */
function partSchema(field: DescField, schemas: SchemaCollection): JsonObject {
  const schema = schemas.field(field, "answer");
  if (field.presence !== FeatureSet_FieldPresence.EXPLICIT) return schema;
  if (innerMessage(field) !== undefined) return { anyOf: [schema, { type: "object", maxProperties: 0 }] };
  return isTextField(field) ? { anyOf: [schema, { type: "null" }] } : schema;
}
