import type { DescField, DescMessage, DescMethod, DescService, JsonObject } from "@bufbuild/protobuf";
import { innerMessage, isTextField } from "../rest/fields.ts";
import { isHttpBody } from "../rest/http-body.ts";
import { hasOneRequest, type Route } from "../rest/route-table.ts";
import { answerOf, binary, framed } from "./answers.ts";
import type { Comments } from "./comments.ts";
import { isMarkedRequired } from "./field-behavior.ts";
import { answerHeaders, headerParameters, notModified } from "./headers.ts";
import { SchemaCollection } from "./schemas.ts";

export interface OpenApiOptions {
  readonly info: JsonObject & { readonly title: string; readonly version: string };
  /** Descriptions, from `readComments`. Default: none. */
  readonly comments?: Comments;
  /** OpenAPI's security schemes, by name. Default: none. */
  readonly securitySchemes?: Readonly<Record<string, JsonObject>>;
  /** The schemes, with their scopes, of which every operation that is not public needs one. Default: none is needed. */
  readonly security?: readonly JsonObject[];
  /** Whether an RPC needs no credentials. Default: every RPC needs what `security` says. */
  isPublic?(method: DescMethod): boolean;
  /** More headers of each service's operations, by the service's full name. Default: none. */
  readonly headers?: Readonly<Record<string, readonly JsonObject[]>>;
  /**
   * Whether a request without this field is refused, for example by validation. Fields that `google.api.field_behavior` or proto2
   * mark as required always count. Default: only those.
   */
  isRequired?(field: DescField): boolean;
}

/** How deep nested fields become query parameters: a message that holds itself has no end. */
const maxQueryDepth = 3;

/**
 * Makes an OpenAPI 3.1 document of the routes, which are those that requests are matched against. It leaves out methods that
 * OpenAPI does not know, such as `*`, and RPCs that stream their requests, which JSON cannot call.
 */
export function createOpenApi(allRoutes: readonly Route[], options: OpenApiOptions): JsonObject {
  const routes = allRoutes.filter(({ rpc }) => hasOneRequest(rpc));
  const bound = new Set(routes.flatMap(({ pathFields }) => pathFields.flat()));
  const isRequired = (field: DescField): boolean => isMarkedRequired(field) || (options.isRequired?.(field) ?? false);
  const schemas = new SchemaCollection({
    comments: options.comments ?? {},
    // A field in the path is not required in the body. A schema serves all routes, so one route with the field in its path is enough.
    isAsked: (field) => isRequired(field) && !bound.has(field),
  });
  const paths = new Map<string, JsonObject>();
  const ids = new Set<string>();
  const tags = tagsOf(routes);
  const shapes = new Map<string, ReturnType<typeof openApiPath>>();
  for (const route of routes) {
    const method = route.method.toLowerCase();
    if (!["get", "put", "post", "delete", "options", "head", "patch", "trace"].includes(method)) continue;
    const { parent, name } = route.rpc.spec.method;
    const tag = tags.get(parent) ?? parent.typeName;
    const id = unusedId(`${tag.replaceAll(".", "_")}_${name}`, ids);
    const own = openApiPath(route);
    // OpenAPI takes paths that differ only in the names of parameters for one path: the first route names them.
    const shape = own.path.replace(/\{[^}]*\}/g, "{}");
    const known = shapes.get(shape) ?? own;
    shapes.set(shape, known);
    const parameters = own.parameters.map((parameter, index) => ({
      ...parameter,
      name: known.parameters[index]?.name ?? parameter.name,
    }));
    const item = paths.get(known.path);
    if (item?.[method] !== undefined) throw new Error(`OpenAPI cannot tell two routes of ${known.path} apart`);
    paths.set(known.path, {
      ...item,
      [method]: operation(route, { ...options, isRequired, schemas, id, tag, pathParameters: parameters }),
    });
  }
  return {
    openapi: "3.1.0",
    info: options.info,
    servers: [{ url: "/" }],
    tags: [...tags].map(([{ typeName }, name]) => ({ name, ...schemas.describe(typeName) })),
    security: [...(options.security ?? [])],
    paths: Object.fromEntries(paths),
    components: {
      securitySchemes: options.securitySchemes ?? {},
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

/** The tag of each service's operations: its short name, or its full one where services share the short one. */
function tagsOf(routes: readonly Route[]): ReadonlyMap<DescService, string> {
  const services = [...new Set(routes.map(({ rpc }) => rpc.spec.method.parent))];
  const isShared = (name: string) => services.filter((service) => service.name === name).length > 1;
  return new Map(services.map((service) => [service, isShared(service.name) ? service.typeName : service.name]));
}

/** The name, with a number where another operation has it already. */
function unusedId(name: string, ids: Set<string>): string {
  let id = name;
  for (let count = 2; ids.has(id); count++) id = `${name}_${count}`;
  ids.add(id);
  return id;
}

/** A wildcard of a template as a parameter of OpenAPI, which takes one segment. */
interface PathParameter {
  readonly name: string;
  /** The field, if this wildcard is the whole value of one. */
  readonly field?: DescField;
  readonly description?: string;
}

/**
 * The path with a name in braces for every wildcard, and its parameters. Literals within a variable are written out, because
 * the value of a parameter cannot hold a slash.
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
    const at = template.variables.findIndex(({ start, end }) => start <= index && index < end);
    const variable = template.variables[at];
    if (variable === undefined) return { name: `segment${index + 1}`, ...slashes };
    const { fieldPath, start, end } = variable;
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
  readonly tag: string;
  isRequired(field: DescField): boolean;
  readonly pathParameters: readonly PathParameter[];
}

function operation(route: Route, options: OperationOptions): JsonObject {
  const { schemas, id, tag, headers = {}, comments = {} } = options;
  const { method } = route.rpc.spec;
  const comment = comments[`${method.parent.typeName}.${method.name}`];
  const parameters = [
    ...options.pathParameters.map((parameter) => pathParameter(parameter, schemas)),
    ...queryParameters(route, options),
    ...headerParameters(route),
    ...(headers[method.parent.typeName] ?? []),
  ];
  const body = requestBody(route, options);
  return {
    operationId: id,
    tags: [tag],
    ...(comment !== undefined && { summary: firstSentence(comment), description: comment }),
    ...(options.isPublic?.(method) && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: body }),
    responses: {
      "200": { ...answerOf(route, schemas), ...answerHeaders(route) },
      ...notModified(route),
      default: { $ref: "#/components/responses/error" },
    },
  };
}

const firstSentence = (text: string): string => /^.*?\.(?=\s|$)/s.exec(text)?.[0].replace(/\s+/g, " ") ?? text;

function pathParameter({ name, field, description }: PathParameter, schemas: SchemaCollection): JsonObject {
  const { description: meaning, ...schema } =
    field === undefined ? { type: "string" } : schemas.field(field, "request");
  const text = [meaning, description].filter((part) => part !== undefined).join(" ");
  return { name, in: "path", required: true, ...(text !== "" && { description: text }), schema };
}

function queryParameters(route: Route, { schemas, isRequired }: OperationOptions): JsonObject[] {
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
        const { description, ...schema } = schemas.field(field, "request");
        found.push({
          name: path.map(({ jsonName }) => jsonName).join("."),
          in: "query",
          ...(path.every(isRequired) && { required: true }),
          ...(description !== undefined && { description }),
          schema,
        });
      } else {
        const inner = innerMessage(field);
        if (inner !== undefined && path.length < maxQueryDepth) collect(inner, path);
      }
    }
  };
  collect(route.rpc.spec.method.input, []);
  return found;
}

function requestBody(route: Route, { schemas, isRequired }: OperationOptions): JsonObject | undefined {
  const { input } = route.rpc.spec.method;
  const { body } = route;
  if (body === undefined) {
    if (route.method !== "POST") return undefined;
    const unread = { schema: { type: "object", description: "Send none: nothing of it is read as JSON." } };
    return { required: false, content: { "application/json": unread, ...framed(route) } };
  }
  const message = body === "whole" ? input : body.fieldKind === "message" ? body.message : undefined;
  if (isHttpBody(message)) return { content: { "*/*": binary } };
  const schema = body === "whole" ? schemas.message(input, "request") : schemas.field(body, "request");
  // An empty body is an empty message, without its required fields.
  const required = body === "whole" ? input.fields.some((field) => schemas.isAsked(field)) : isRequired(body);
  return { ...(required && { required }), content: { "application/json": { schema }, ...framed(route) } };
}
