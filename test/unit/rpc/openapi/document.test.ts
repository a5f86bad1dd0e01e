import {
  create,
  createFileRegistry,
  type DescService,
  fromBinary,
  type JsonObject,
  type JsonValue,
  setExtension,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { http } from "../../../../gen/google/api/annotations_pb.ts";
import { HttpRuleSchema } from "../../../../gen/google/api/http_pb.ts";
import { AdminService } from "../../../../gen/zitadel/admin_pb.ts";
import { AuthService } from "../../../../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../../../../gen/zitadel/management_pb.ts";
import { issuerPaths } from "../../../../src/auth/issuer/paths.ts";
import { createOpenApi } from "../../../../src/rpc/openapi/document.ts";
import { createRouteTable } from "../../../../src/rpc/rest/route-table.ts";
import { streamTypes } from "../../../../src/rpc/rest/stream-writer.ts";
import { createRpcTable } from "../../../../src/rpc/rpc-table.ts";
import { createApiDocument } from "../../../../src/web/openapi.ts";
import { ruleOf, serviceOf } from "../../../fixtures/builders.ts";
import { TranscodingService } from "../../../fixtures/gen/portcullis/test/v1/transcoding_pb.ts";

const options = { info: { title: "Test", version: "1" }, securitySchemes: {}, security: [] };
const document = createApiDocument({ version: "1.2.3" });

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

const methods = [...ManagementService.methods, ...AdminService.methods, ...AuthService.methods];
const routes = createRouteTable(
  createRpcTable((router) => {
    router.service(ManagementService, {});
    router.service(AdminService, {});
    router.service(AuthService, {});
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
    expect(operations).toHaveLength(28);
  });

  it("asks for a token everywhere but for Healthz", () => {
    const open = Object.entries(at(document, "paths") as JsonObject).flatMap(([path, item]) =>
      Object.values(item as JsonObject).some((operation) => at(operation, "security") !== undefined)
        ? [[path, at(item, "get", "security")]]
        : [],
    );
    expect(open.sort()).toEqual([
      ["/admin/v1/healthz", []],
      ["/auth/v1/healthz", []],
      ["/management/v1/healthz", []],
    ]);
    expect(at(document, "security")).not.toEqual([]);
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

  it("has the security of the published documents where there is an issuer", async () => {
    const withIssuer = createApiDocument({ version: "1.2.3", issuer: {} });
    expect(await problemsOf(withIssuer)).toBeUndefined();
    expect(at(withIssuer, "security")).toEqual([
      { OAuth2: ["openid", "urn:zitadel:iam:org:project:id:zitadel:aud"] },
      { bearer: [] },
    ]);
    const scopes = { openid: expect.any(String), "urn:zitadel:iam:org:project:id:zitadel:aud": expect.any(String) };
    const { authorization, token } = issuerPaths;
    expect(at(withIssuer, "components", "securitySchemes", "OAuth2", "flows")).toEqual({
      authorizationCode: { authorizationUrl: authorization, tokenUrl: token, scopes },
      clientCredentials: { tokenUrl: token, scopes },
    });
  });

  it("says where the issuer is, if that is not where the document is", () => {
    const withIssuer = createApiDocument({ version: "1.2.3", issuer: { url: "https://login.example" } });
    expect(collect(withIssuer, "tokenUrl")).toEqual(Array(2).fill(`https://login.example${issuerPaths.token}`));
    expect(collect(withIssuer, "authorizationUrl")).toEqual([`https://login.example${issuerPaths.authorization}`]);
  });

  it("takes any bearer token where there is no issuer", () => {
    expect(Object.keys(at(document, "components", "securitySchemes") as JsonObject)).toEqual(["bearer"]);
    expect(at(document, "security")).toEqual([{ bearer: [] }]);
  });

  it("asks in requests for what their rules refuse to be without, and promises in answers what they always have", () => {
    const requiredOf = (name: string) => at(document, "components", "schemas", name, "required");
    expect(requiredOf("zitadel.management.v1.AddSecondFactorToLoginPolicyRequest")).toEqual(["type"]);
    expect(requiredOf("zitadel.management.v1.AddIDPToLoginPolicyRequest")).toEqual(["idpId", "ownerType"]);
    expect(requiredOf("zitadel.management.v1.UpdateCustomLoginPolicyRequest")).toBeUndefined();
    expect(requiredOf("zitadel.management.v1.ListLoginPolicySecondFactorsResponse")).toEqual(["result"]);
    expect(requiredOf("zitadel.v1.ObjectDetails")).toEqual(["sequence", "resourceOwner"]);
    const bodyOf = (path: string, method: string) => at(document, "paths", path, method, "requestBody", "required");
    expect(bodyOf("/management/v1/policies/login/second_factors", "post")).toBe(true);
    expect(bodyOf("/management/v1/policies/login", "put")).toBeUndefined();
  });

  it("says that a request may give an enum's number", () => {
    const { type, description } = at(document, "components", "schemas", "zitadel.policy.v1.SecondFactorType") as {
      type: string;
      description: string;
    };
    expect(type).toBe("string");
    expect(description).toMatch(/A request may also give the number of a value\.$/);
  });

  it("has the error of every call", () => {
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
      { name: "Versions", rule: ruleOf("get", "/v1/{name=docs/*/**}/versions/{count}") },
    );
    const table = createRouteTable(createRpcTable((router) => router.service(service, {})));
    const { paths } = createOpenApi(table.routes, options) as { paths: Record<string, object> };
    expect(Object.entries(paths).map(([path, item]) => `${Object.keys(item).join()} ${path}`)).toEqual([
      "get,put /v1/shelves/{name}",
      "get /v1/authors/{name_1}/books/{name_2}",
      "get /v1/files/{name}",
      "get /v1/docs/{name_1}/{name_2}/versions/{count}",
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

/** Two services of one short name, in packages of their own; what is said of `Thing` is said of a request and an answer. */
function twinServices(): readonly DescService[] {
  const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;
  const text = { type: FieldDescriptorProto_Type.STRING, label: OPTIONAL };
  // `google.api.field_behavior`, as it is on the wire: REQUIRED alone, and packed with IMMUTABLE; and IMMUTABLE alone.
  const required = fromBinary(FieldOptionsSchema, new Uint8Array([0xe0, 0x41, 2]));
  const requiredToo = fromBinary(FieldOptionsSchema, new Uint8Array([0xe2, 0x41, 2, 5, 2]));
  const immutable = fromBinary(FieldOptionsSchema, new Uint8Array([0xe2, 0x41, 1, 5]));
  const thing = (name: string) => ({ type: FieldDescriptorProto_Type.MESSAGE, label: OPTIONAL, typeName: name });
  return ["one.v1", "two.v1"].map((name) => {
    const file = create(FileDescriptorProtoSchema, {
      name: `${name}.proto`,
      package: name,
      syntax: "proto3",
      messageType: [
        {
          name: "Shared",
          field: [
            { ...text, name: "title", jsonName: "title", number: 1, options: required },
            { ...text, name: "note", jsonName: "note", number: 2 },
            { ...text, name: "kept", jsonName: "kept", number: 3, options: immutable },
          ],
        },
        {
          name: "PutRequest",
          field: [
            { ...text, name: "id", jsonName: "id", number: 1, options: required },
            { ...text, name: "reason", jsonName: "reason", number: 2, options: requiredToo },
            { ...thing(`.${name}.Shared`), name: "shared", jsonName: "shared", number: 3, options: required },
            { ...text, name: "note", jsonName: "note", number: 4 },
          ],
        },
        {
          name: "PutAnswer",
          field: [
            { ...thing(`.${name}.Shared`), name: "shared", jsonName: "shared", number: 1 },
            { ...text, name: "plain", jsonName: "plain", number: 2 },
            { ...text, name: "list", jsonName: "list", number: 3, label: REPEATED },
            { ...text, name: "maybe", jsonName: "maybe", number: 4, proto3Optional: true, oneofIndex: 0 },
          ],
          oneofDecl: [{ name: "_maybe" }],
        },
      ],
      service: [
        {
          name: "Things",
          method: [
            ["Put", ruleOf("put", `/${name}/{id}`, { body: "*" })] as const,
            ["Note", ruleOf("get", `/${name}/notes/{id}`)] as const,
            [
              "Share",
              ruleOf("post", `/${name}/shared/{id}/{note}`, { body: "shared", responseBody: "shared" }),
            ] as const,
            ["Maybe", ruleOf("delete", `/${name}/{id}/{note}`, { responseBody: "maybe" })] as const,
          ].map(([method, rule]) => {
            const methodOptions = create(MethodOptionsSchema);
            setExtension(methodOptions, http, create(HttpRuleSchema, rule));
            return {
              name: method,
              inputType: `.${name}.PutRequest`,
              outputType: `.${name}.PutAnswer`,
              options: methodOptions,
            };
          }),
        },
      ],
    });
    return createFileRegistry(file, () => undefined).getService(`${name}.Things`) as DescService;
  });
}

const documentOf = (...services: readonly DescService[]): JsonObject =>
  createOpenApi(
    createRouteTable(
      createRpcTable((router) => {
        for (const service of services) router.service(service, {});
      }),
    ).routes,
    options,
  );

describe("the OpenAPI document of two services of one short name", () => {
  const twins = documentOf(...twinServices());
  const schema = (name: string) => at(twins, "components", "schemas", `one.v1.${name}`);

  it("is valid", async () => {
    expect(await problemsOf(twins)).toBeUndefined();
  });

  it("tells them apart by their full names", () => {
    expect(at(twins, "tags")).toEqual([{ name: "one.v1.Things" }, { name: "two.v1.Things" }]);
    expect(at(twins, "paths", "/two.v1/{id}", "put")).toMatchObject({
      tags: ["two.v1.Things"],
      operationId: "two_v1_Things_Put",
    });
    const [one] = twinServices();
    expect(at(documentOf(one as DescService), "tags")).toEqual([{ name: "Things" }]);
  });

  it("asks for what google.api.field_behavior requires, but not in a body for what is in a path", () => {
    expect(at(schema("PutRequest"), "required")).toEqual(["reason", "shared"]);
    expect(at(twins, "paths", "/one.v1/{id}", "put", "requestBody", "required")).toBe(true);
  });

  it("asks for it in a query as well", () => {
    const parameters = at(twins, "paths", "/one.v1/notes/{id}", "get", "parameters");
    const names = (parameters as unknown as { name: string; required?: boolean }[]).map(
      ({ name, required = false }) => `${name}${required ? "!" : ""}`,
    );
    expect(names).toEqual(["id!", "reason!", "shared.title!", "shared.note", "shared.kept", "note"]);
  });

  it("promises what an answer always has", () => {
    expect(at(schema("PutAnswer"), "required")).toEqual(["plain", "list"]);
  });

  it("requires of what requests and answers share only what holds in both", () => {
    expect(at(schema("Shared"), "required")).toEqual(["title"]);
  });

  it("has what stands for a field that is sent alone and is not set", () => {
    const answerOf = (path: string, method: string) =>
      at(twins, "paths", path, method, "responses", "200", "content", "application/json", "schema");
    expect(answerOf("/one.v1/shared/{id}/{note}", "post")).toEqual({
      anyOf: [{ $ref: "#/components/schemas/one.v1.Shared" }, { type: "object", maxProperties: 0 }],
    });
    expect(answerOf("/one.v1/{id}/{note}", "delete")).toEqual({ anyOf: [{ type: "string" }, { type: "null" }] });
  });
});

describe("the OpenAPI document of a stream", () => {
  it("leaves out what takes a stream of requests", () => {
    const service = serviceOf(
      { name: "Upload", rule: ruleOf("post", "/v1/things", { body: "*" }), clientStreaming: true },
      { name: "Chat", rule: ruleOf("post", "/v1/chat", { body: "*" }), clientStreaming: true, serverStreaming: true },
      { name: "Get", rule: ruleOf("get", "/v1/things") },
    );
    const { paths } = documentOf(service) as { paths: Record<string, object> };
    expect(Object.entries(paths).map(([path, item]) => `${Object.keys(item).join()} ${path}`)).toEqual([
      "get /v1/things",
    ]);
  });

  it("says how each form of it tells an error", async () => {
    const service = serviceOf({ name: "Watch", rule: ruleOf("get", "/v1/things"), serverStreaming: true });
    const watched = documentOf(service);
    expect(await problemsOf(watched)).toBeUndefined();
    const answer = at(watched, "paths", "/v1/things", "get", "responses", "200");
    expect(at(answer, "description")).toContain("An error before the first one has its own HTTP status");
    const thing = { $ref: "#/components/schemas/test.Thing" };
    const status = { $ref: "#/components/schemas/google.rpc.Status" };
    const content = at(answer, "content") as JsonObject;
    expect(Object.keys(content)).toEqual(streamTypes);
    expect(content).toMatchObject({
      "application/x-ndjson": {
        schema: { anyOf: [thing, { properties: { error: status }, required: ["error"], additionalProperties: false }] },
      },
      "application/json": { schema: { type: "array", items: thing, description: expect.stringContaining("breaks") } },
      "text/event-stream": { schema: { anyOf: [thing, status], description: expect.stringContaining("`error`") } },
    });
  });
});
