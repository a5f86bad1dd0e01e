import type { JsonObject } from "@bufbuild/protobuf";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { createOpenApi } from "../../../../src/rpc/openapi/document.ts";
import { createRouteTable } from "../../../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../../../src/rpc/rpc-table.ts";
import { DocumentService } from "../../../fixtures/gen/portcullis/test/v1/headers_pb.ts";

const { routes } = createRouteTable(createRpcTable((router) => router.service(DocumentService, {})));
const document = createOpenApi(routes, { info: { title: "Test", version: "1" } });

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly description?: string }[];
  readonly responses: Readonly<Record<string, JsonObject>>;
}

function operation(path: string, method: string): Operation {
  const paths = document["paths"] as unknown as Record<string, Record<string, Operation>>;
  const found = paths[path]?.[method];
  if (found === undefined) throw new Error(`no ${method} ${path} among ${Object.keys(paths)}`);
  return found;
}

/** The request headers of an operation, with what they mean. */
const headersOf = ({ parameters = [] }: Operation) =>
  parameters.filter((parameter) => parameter.in === "header").map(({ name, description }) => [name, description]);

describe("the OpenAPI document of fields that are headers", () => {
  it("is valid", async () => {
    expect(await new Validator().validate(structuredClone(document))).toMatchObject({ valid: true });
  });

  it.each([
    ["/h/v1/documents/{name}", "get", [["If-None-Match", "ETags that you hold: 304 if one is that of the answer."]]],
    ["/h/v1/documents/{name}", "patch", [["If-Match", "Sets the field `document.etag`. `*` sets nothing."]]],
    ["/h/v1/documents/{name}:reset", "post", [["If-Match", "Sets the field `etag`. `*` sets nothing."]]],
    ["/h/v1/documents:watch", "get", [["Last-Event-ID", "Sets the field `resumeToken`, and wins over it."]]],
    ["/h/v1/documents:watch", "post", [["Last-Event-ID", "Sets the field `resumeToken`, and wins over it."]]],
  ])("has the request headers of %s, %s", (path, method, headers) => {
    expect(headersOf(operation(path, method))).toEqual(headers);
  });

  it("has the ETag of an answer, and 304 for reads", () => {
    const schema = { type: "string" };
    const get = operation("/h/v1/documents/{name}", "get").responses;
    const headers = { ETag: { description: "The field `etag`, if it is not empty.", schema } };
    expect(get["200"]).toMatchObject({ headers });
    expect(get["304"]).toEqual({ description: "You hold the answer already.", headers });
    const patch = operation("/h/v1/documents/{name}", "patch").responses;
    expect(patch["200"]).toMatchObject({
      headers: { ETag: { description: "The field `received.document.etag`, if it is not empty.", schema } },
    });
    expect(Object.keys(patch)).toEqual(["200", "default"]);
    expect(operation("/h/v1/documents/{name}:reset", "post").responses["200"]).not.toHaveProperty("headers");
  });

  it("says what the id of an event is", () => {
    const { content } = operation("/h/v1/documents:watch", "get").responses["200"] as { content: JsonObject };
    expect(JSON.stringify(content["text/event-stream"])).toContain("The `id` of an event is the field `place.id`.");
  });
});
