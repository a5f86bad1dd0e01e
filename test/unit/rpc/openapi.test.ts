import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { AdminService } from "../../../gen/zitadel/admin_pb.ts";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { createApiDocument } from "../../../src/openapi.ts";
import { createOpenApi } from "../../../src/rpc/openapi/document.ts";
import { createRouteTable } from "../../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../../src/rpc/router.ts";
import { ruleOf, serviceOf } from "../../fixtures/builders.ts";
import { TranscodingService } from "../../fixtures/gen/portcullis/test/v1/transcoding_pb.ts";

const options = { info: { title: "Test", version: "1" }, comments: {}, securitySchemes: {}, security: [], headers: {} };
const document = createApiDocument("1.2.3");

async function problemsOf(specification: JsonObject): Promise<unknown> {
  const { valid, errors } = await new Validator().validate(structuredClone(specification));
  return valid ? undefined : errors;
}

/** Every value of a key, at any depth. */
function collect(json: JsonValue, key: string): JsonValue[] {
  if (Array.isArray(json)) return json.flatMap((item) => collect(item, key));
  if (typeof json !== "object" || json === null) return [];
  return Object.entries(json).flatMap(([name, value]) => (name === key ? [value] : collect(value, key)));
}

/** What is at a path of keys. */
function at(json: JsonValue | undefined, ...keys: readonly string[]): JsonValue | undefined {
  return keys.reduce<JsonValue | undefined>((inner, key) => (inner as JsonObject | undefined)?.[key], json);
}

const methods = [...ManagementService.methods, ...AdminService.methods];
const routes = createRouteTable(
  createRpcTable((router) => {
    router.service(ManagementService, {});
    router.service(AdminService, {});
  }),
).routes;

describe("the OpenAPI document of the API", () => {
  it("is valid OpenAPI 3.1", async () => {
    expect(await problemsOf(document)).toBeUndefined();
    expect(document["openapi"]).toBe("3.1.0");
  });

  it("is found to be invalid where it is broken", async () => {
    expect(await problemsOf({ ...document, paths: { "no slash": {} } })).toBeDefined();
  });

  it("has every route under its method, and nothing else", () => {
    const operations = Object.entries(at(document, "paths") as JsonObject).flatMap(([path, item]) =>
      Object.keys(item as JsonObject).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(operations.sort()).toEqual(routes.map(({ method, pattern }) => `${method} ${pattern}`).sort());
    expect(operations).toHaveLength(25);
  });

  it("names each operation once, by its RPC", () => {
    const names = collect(at(document, "paths") as JsonValue, "operationId");
    expect(names.sort()).toEqual(methods.map(({ name, parent }) => `${parent.name}_${name}`).sort());
  });

  it("refers only to schemas that it has, and has none that nobody refers to", () => {
    const schemas = Object.keys(at(document, "components", "schemas") as JsonObject);
    const referred = new Set(collect(document, "$ref").map((ref) => String(ref)));
    referred.delete("#/components/responses/error");
    expect([...referred].sort()).toEqual(schemas.map((name) => `#/components/schemas/${name}`).sort());
  });

  it("says what every operation, message and field means", () => {
    const silent = Object.entries(at(document, "components", "schemas") as JsonObject).flatMap(([name, schema]) => {
      const { description, properties = {} } = schema as { description?: string; properties?: JsonObject };
      const fields = Object.entries(properties).filter(([, field]) => at(field, "description") === undefined);
      const isSaid = description !== undefined || name === "google.rpc.Status";
      return [...(isSaid ? [] : [name]), ...fields.map(([field]) => `${name}.${field}`)];
    });
    expect(silent).toEqual([]);
    const operations = Object.values(at(document, "paths") as JsonObject).flatMap((item) =>
      Object.values(item as JsonObject),
    );
    for (const operation of operations) {
      expect(at(operation, "description")).toMatch(/\.$/);
      expect(at(operation, "summary")).toMatch(/\.$/);
    }
  });

  it("takes a POST in three content types, and answers in the same", () => {
    const post = at(document, "paths", "/management/v1/policies/login/second_factors", "post");
    const types = ["application/json", "application/grpc", "application/grpc-web+proto"];
    expect(Object.keys(at(post, "requestBody", "content") as JsonObject)).toEqual(types);
    expect(Object.keys(at(post, "responses", "200", "content") as JsonObject)).toEqual(types);
    expect(at(post, "requestBody", "content", "application/json", "schema")).toEqual({
      $ref: "#/components/schemas/zitadel.management.v1.AddSecondFactorToLoginPolicyRequest",
    });
  });

  it("asks for no JSON where the rule has no body", () => {
    const search = at(document, "paths", "/management/v1/policies/login/second_factors/_search", "post");
    expect(at(search, "requestBody", "required")).toBe(false);
    expect(at(search, "requestBody", "content", "application/json", "schema", "properties")).toBeUndefined();
    expect(at(document, "paths", "/management/v1/policies/login", "get", "requestBody")).toBeUndefined();
  });

  it("has the organization header on the calls of an organization alone", () => {
    const named = Object.entries(at(document, "paths") as JsonObject).flatMap(([path, item]) =>
      collect(item, "name").includes("x-zitadel-orgid") ? [path] : [],
    );
    const paths = Object.keys(at(document, "paths") as JsonObject);
    expect(named).toEqual(paths.filter((path) => path.startsWith("/management/")));
  });

  it("has the security of the published documents, and the error of every call", () => {
    expect(at(document, "security")).toEqual([
      { OAuth2: ["openid", "urn:zitadel:iam:org:project:id:zitadel:aud"] },
      { bearer: [] },
    ]);
    expect(at(document, "components", "securitySchemes", "OAuth2", "flows", "authorizationCode")).toMatchObject({
      authorizationUrl: "/oauth/v2/authorize",
      tokenUrl: "/oauth/v2/token",
    });
    const operations = Object.values(at(document, "paths") as JsonObject).flatMap((item) =>
      Object.values(item as JsonObject),
    );
    for (const operation of operations) {
      expect(at(operation, "responses", "default")).toEqual({ $ref: "#/components/responses/error" });
    }
  });

  it("has path parameters with their type", () => {
    const remove = at(document, "paths", "/management/v1/policies/login/second_factors/{type}", "delete");
    expect(at(remove, "parameters")).toContainEqual(
      expect.objectContaining({
        name: "type",
        in: "path",
        required: true,
        schema: { $ref: "#/components/schemas/zitadel.policy.v1.SecondFactorType" },
      }),
    );
  });
});

describe("the OpenAPI document of a service that uses every feature", () => {
  it("writes out the literals of a variable, since no value may hold a slash, and takes paths of one shape together", () => {
    const service = serviceOf(
      { name: "GetShelf", rule: ruleOf("get", "/v1/{name=shelves/*}") },
      { name: "GetAuthor", rule: ruleOf("get", "/v1/{name=authors/*/books/*}") },
      { name: "Put", rule: ruleOf("put", "/v1/shelves/{display_name}") },
      { name: "File", rule: ruleOf("get", "/v1/files/{name=**}") },
    );
    const table = createRouteTable(createRpcTable((router) => router.service(service, {})));
    const { paths } = createOpenApi(table.routes, options) as { paths: Record<string, object> };
    expect(Object.entries(paths).map(([path, item]) => `${Object.keys(item).join()} ${path}`)).toEqual([
      "get,put /v1/shelves/{name}",
      "get /v1/authors/{name_1}/books/{name_2}",
      "get /v1/files/{name}",
    ]);
  });

  it("has every route of a method that OpenAPI knows", () => {
    const { routes: all } = createRouteTable(createRpcTable((router) => router.service(TranscodingService, {})));
    const known = all.filter(({ method }) => /^(GET|PUT|POST|DELETE|PATCH|HEAD|OPTIONS)$/.test(method));
    const names = collect(createOpenApi(all, options)["paths"] as JsonValue, "operationId");
    expect(names).toHaveLength(known.length);
    expect(new Set(names).size).toBe(names.length);
  });

  it("is valid", async () => {
    const table = createRouteTable(createRpcTable((router) => router.service(TranscodingService, {})));
    expect(await problemsOf(createOpenApi(table.routes, options))).toBeUndefined();
  });
});
