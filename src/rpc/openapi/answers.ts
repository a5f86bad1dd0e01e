import type { DescField, JsonObject } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { innerMessage, isTextField } from "../rest/fields.ts";
import { isHttpBody } from "../rest/http-body.ts";
import type { Route } from "../rest/route-table.ts";
import { streamTypes } from "../rest/stream.ts";
import type { SchemaCollection } from "./schemas.ts";

export const binary: JsonObject = { schema: { type: "string", format: "binary" } };

/** A POST route takes a call in gRPC's framings as well, and answers in the same. */
export const framed = (route: Route): JsonObject =>
  route.method === "POST" ? { "application/grpc": binary, "application/grpc-web+proto": binary } : {};

const status: JsonObject = { $ref: "#/components/schemas/google.rpc.Status" };

/** The answer of a route to a call that succeeds; of a stream, also how one tells that it did not. */
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
  const forms = streamTypes.map((type) => [type, { schema: streamSchemas[type]?.(schema) ?? schema }]);
  return {
    description:
      "The messages, each as soon as it is there. An error before the first has its own HTTP status; after it, the form of " +
      "the stream says how an error is told.",
    content: { ...Object.fromEntries(forms), ...framed(route) },
  };
}

/** What a stream of messages is, by its form; see `rest/stream.ts`. */
const streamSchemas: Readonly<Record<string, (message: JsonObject) => JsonObject>> = {
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
  "text/event-stream": (message) => ({
    description:
      "The `data` of one event: a message, or, in an event `error`, what ended the stream. A stream that is complete ends " +
      "with an event `end`, whose `data` is empty.",
    anyOf: [message, status],
  }),
};

/** A field that is sent alone. One that has presence and is not set has a value of its own (`rest/answer.ts`). */
function partSchema(field: DescField, schemas: SchemaCollection): JsonObject {
  const schema = schemas.field(field, "answer");
  if (field.presence !== FeatureSet_FieldPresence.EXPLICIT) return schema;
  if (innerMessage(field) !== undefined) return { anyOf: [schema, { type: "object", maxProperties: 0 }] };
  return isTextField(field) ? { anyOf: [schema, { type: "null" }] } : schema;
}
