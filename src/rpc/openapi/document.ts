import type { DescField, DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { innerMessage, isTextField } from "../rest/fields.ts";
import { isHttpBody } from "../rest/http-body.ts";
import type { Route } from "../rest/route-table.ts";
import { streamTypes } from "../rest/stream.ts";
import { type Comments, SchemaCollection } from "./schemas.ts";

export interface OpenApiOptions {
  readonly info: JsonObject & { readonly title: string; readonly version: string };
  readonly comments: Comments;
  /** Security schemes by name; every operation asks for one of them. */
  readonly securitySchemes: Readonly<Record<string, JsonObject>>;
  /** The scopes that an operation needs of each scheme. */
  readonly security: readonly JsonObject[];
  /** Headers that the operations of a service take besides, by the service's full name. */
  readonly headers: Readonly<Record<string, readonly JsonObject[]>>;
}

/** How deep nested fields become query parameters: a message that holds itself has no end. */
const maxQueryDepth = 3;

/**
 * An OpenAPI 3.1 document of every route, from the very table that requests are matched against. Routes of other methods than
 * those OpenAPI knows are left out, and so is a method `*`.
 */
export function createOpenApi(routes: readonly Route[], options: OpenApiOptions): JsonObject {
  const schemas = new SchemaCollection(options.comments);
  const paths = new Map<string, JsonObject>();
  const seen = new Map<string, number>();
  const shapes = new Map<string, ReturnType<typeof openApiPath>>();
  for (const route of routes) {
    const method = route.method.toLowerCase();
    if (!["get", "put", "post", "delete", "options", "head", "patch", "trace"].includes(method)) continue;
    const name = operationName(route);
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    const own = openApiPath(route);
    // To OpenAPI, paths that differ in the names of parameters alone are one: the first names them.
    const shape = own.path.replace(/\{[^}]*\}/g, "{}");
    const known = shapes.get(shape) ?? own;
    shapes.set(shape, known);
    const parameters = own.parameters.map((parameter, index) => ({
      ...parameter,
      name: known.parameters[index]?.name ?? parameter.name,
    }));
    const item = paths.get(known.path);
    if (item?.[method] !== undefined) throw new Error(`OpenAPI cannot tell two routes of ${known.path} apart`);
    const id = count === 1 ? name : `${name}_${count}`;
    paths.set(known.path, {
      ...item,
      [method]: operation(route, { ...options, schemas, id, pathParameters: parameters }),
    });
  }
  return {
    openapi: "3.1.0",
    info: options.info,
    servers: [{ url: "/" }],
    tags: tagsOf(routes, schemas),
    security: [...options.security],
    paths: Object.fromEntries(paths),
    components: {
      securitySchemes: options.securitySchemes,
      responses: {
        error: {
          description: "The call failed. `code` is that of gRPC; the HTTP status follows from it.",
          content: { "application/json": { schema: { $ref: "#/components/schemas/google.rpc.Status" } } },
        },
      },
      schemas: { ...schemas.toJson(), ...errorSchemas },
    },
  };
}

// google.rpc.Status, as REST sends it.
const errorSchemas: JsonObject = {
  "google.rpc.Status": {
    type: "object",
    required: ["code", "message", "details"],
    properties: {
      code: { type: "integer", format: "int32", description: "A code of google.rpc.Code, such as 5 for NOT_FOUND." },
      message: { type: "string", description: "A sentence for people. Programs should look at the details." },
      details: {
        type: "array",
        description: "Messages that say more, such as google.rpc.BadRequest.",
        items: {
          type: "object",
          required: ["@type"],
          properties: { "@type": { type: "string", description: "Says which message this is." } },
          additionalProperties: true,
        },
      },
    },
  },
};

const operationName = ({ rpc }: Route): string => `${rpc.spec.method.parent.name}_${rpc.spec.method.name}`;

function tagsOf(routes: readonly Route[], schemas: SchemaCollection): JsonValue[] {
  const services = new Map(routes.map(({ rpc }) => [rpc.spec.method.parent.typeName, rpc.spec.method.parent]));
  return [...services.values()].map(({ name, typeName }) => ({ name, ...schemas.describe(typeName) }));
}

/** A wildcard of a template, as OpenAPI has parameters: each takes one segment. */
interface PathParameter {
  readonly name: string;
  /** The field that it sets alone; absent where it is a part of one, or of none. */
  readonly field?: DescField;
  readonly description?: string;
}

/**
 * The path with a name in braces for every wildcard, and what the names are. The literals of a variable of several segments
 * are written out: no value may hold a slash.
 */
function openApiPath({ template, pathFields }: Route): { readonly path: string; readonly parameters: PathParameter[] } {
  const parameters: PathParameter[] = [];
  const parts = template.segments.map((segment, index) => {
    if (segment.kind === "literal") return encodeURIComponent(segment.text);
    const parameter = parameterAt(index);
    parameters.push(parameter);
    return `{${parameter.name}}`;
  });

  function parameterAt(index: number): PathParameter {
    const isRest = template.segments[index]?.kind === "rest";
    const slashes = isRest ? { description: "It may hold slashes." } : {};
    const at = template.variables.findIndex(
      ({ start, end = template.segments.length }) => start <= index && index < end,
    );
    const variable = template.variables[at];
    if (variable === undefined) return { name: `segment${index + 1}`, ...slashes };
    const { fieldPath, start, end = template.segments.length } = variable;
    const wildcards = template.segments.slice(start, end).filter(({ kind }) => kind !== "literal");
    const name = fieldPath.join(".");
    const field = pathFields[at]?.at(-1);
    if (end - start === 1 && field !== undefined) return { name, field, ...slashes };
    if (wildcards.length === 1) return { name, description: `Part of the field ${name}.`, ...slashes };
    const number = template.segments.slice(start, index).filter(({ kind }) => kind !== "literal").length + 1;
    return { name: `${name}_${number}`, description: `Part ${number} of the field ${name}.`, ...slashes };
  }

  return { path: `/${parts.join("/")}${template.verb === undefined ? "" : `:${template.verb}`}`, parameters };
}

interface OperationOptions extends OpenApiOptions {
  readonly schemas: SchemaCollection;
  readonly id: string;
  readonly pathParameters: readonly PathParameter[];
}

function operation(route: Route, options: OperationOptions): JsonObject {
  const { schemas, id, headers, comments } = options;
  const { method } = route.rpc.spec;
  const comment = comments[`${method.parent.typeName}.${method.name}`];
  const parameters = [
    ...options.pathParameters.map((parameter) => pathParameter(parameter, schemas)),
    ...queryParameters(route, schemas),
    ...(headers[method.parent.typeName] ?? []),
  ];
  const body = requestBody(route, schemas);
  return {
    operationId: id,
    tags: [method.parent.name],
    ...(comment !== undefined && { summary: firstSentence(comment), description: comment }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: body }),
    responses: {
      "200": { description: "The call succeeded.", content: answerContent(route, schemas) },
      default: { $ref: "#/components/responses/error" },
    },
  };
}

const firstSentence = (text: string): string => /^.*?\.(?=\s|$)/s.exec(text)?.[0].replace(/\s+/g, " ") ?? text;

function pathParameter({ name, field, description }: PathParameter, schemas: SchemaCollection): JsonObject {
  const { description: meaning, ...schema } = field === undefined ? { type: "string" } : schemas.field(field);
  const text = [meaning, description].filter((part) => part !== undefined).join(" ");
  return { name, in: "path", required: true, ...(text !== "" && { description: text }), schema };
}

function queryParameters(route: Route, schemas: SchemaCollection): JsonObject[] {
  if (route.body === "whole") return [];
  const isBound = (chain: readonly DescField[]) =>
    chain[0] === route.body ||
    route.pathFields.some((bound) => bound.length === chain.length && bound.every((field, i) => field === chain[i]));
  const found: JsonObject[] = [];
  const collect = (message: DescMessage, chain: readonly DescField[]): void => {
    for (const field of message.fields) {
      const path = [...chain, field];
      if (isBound(path)) continue;
      if (isTextField(field)) {
        const { description, ...schema } = schemas.field(field);
        const name = path.map(({ jsonName }) => jsonName).join(".");
        found.push({ name, in: "query", ...(description !== undefined && { description }), schema });
      } else {
        const inner = innerMessage(field);
        if (inner !== undefined && path.length < maxQueryDepth) collect(inner, path);
      }
    }
  };
  collect(route.rpc.spec.method.input, []);
  return found;
}

const binary = { schema: { type: "string", format: "binary" } };

/** A POST route takes a call in gRPC's framings as well, and answers in the same. */
const framed = (route: Route): JsonObject =>
  route.method === "POST" ? { "application/grpc": binary, "application/grpc-web+proto": binary } : {};

function requestBody(route: Route, schemas: SchemaCollection): JsonObject | undefined {
  const { input } = route.rpc.spec.method;
  const { body } = route;
  if (body === undefined) {
    if (route.method !== "POST") return undefined;
    const unread = { schema: { type: "object", description: "Send none: nothing of it is read as JSON." } };
    return { required: false, content: { "application/json": unread, ...framed(route) } };
  }
  const message = body === "whole" ? input : body.fieldKind === "message" ? body.message : undefined;
  if (isHttpBody(message)) return { content: { "*/*": binary } };
  const schema = body === "whole" ? schemas.message(input) : schemas.field(body);
  return { content: { "application/json": { schema }, ...framed(route) } };
}

function answerContent(route: Route, schemas: SchemaCollection): JsonObject {
  const { output } = route.rpc.spec.method;
  const { responseBody } = route;
  const message = responseBody?.fieldKind === "message" ? responseBody.message : output;
  if (isHttpBody(message)) return { "*/*": binary };
  const schema = responseBody === undefined ? schemas.message(output) : schemas.field(responseBody);
  if (route.rpc.spec.kind === "unary") return { "application/json": { schema }, ...framed(route) };
  const forms = streamTypes.map((type) => [
    type,
    { schema: type === "application/json" ? { type: "array", items: schema } : schema },
  ]);
  return { ...Object.fromEntries(forms), ...framed(route) };
}
