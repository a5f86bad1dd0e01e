import type { DescField, JsonObject } from "@bufbuild/protobuf";
import type { Route } from "../rest/route-table.ts";

// The headers that `portcullis.rpc.v1.rest_headers` makes of fields.

const schema: JsonObject = { type: "string" };

/** A field as JSON names it. */
export const nameOf = (fields: readonly DescField[]): string =>
  `\`${fields.map(({ jsonName }) => jsonName).join(".")}\``;

/** Whether a caller may ask for what it does not hold yet. */
const isComparable = ({ method, headers }: Route): boolean =>
  headers.etag !== undefined && (method === "GET" || method === "HEAD");

/** The request headers of a route. */
export function headerParameters(route: Route): JsonObject[] {
  const { ifMatch, lastEventId } = route.headers;
  const parameter = (name: string, description: string) => ({ name, in: "header", description, schema });
  return [
    ...(ifMatch ? [parameter("If-Match", `Sets the field ${nameOf(ifMatch)}. \`*\` sets nothing.`)] : []),
    ...(isComparable(route)
      ? [parameter("If-None-Match", "ETags that you hold: 304 if one is that of the answer.")]
      : []),
    ...(lastEventId ? [parameter("Last-Event-ID", `Sets the field ${nameOf(lastEventId)}, and wins over it.`)] : []),
  ];
}

/** The headers of the answer to a call that succeeds. */
export function answerHeaders({ headers: { etag } }: Route): JsonObject {
  if (etag === undefined) return {};
  return { headers: { ETag: { description: `The field ${nameOf(etag)}, if it is not empty.`, schema } } };
}

/** The answer to a caller that holds what it asks for. */
export const notModified = (route: Route): JsonObject =>
  isComparable(route) ? { "304": { description: "You hold the answer already.", ...answerHeaders(route) } } : {};
