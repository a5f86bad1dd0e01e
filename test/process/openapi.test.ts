import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { responseEncodings } from "../../src/rpc/http/content-coding.ts";
import {
  PortcullisProcess,
  readAdminToken,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

interface Schema {
  readonly $ref?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Operation {
  /** Absent: the one of the document. */
  readonly security?: readonly object[];
  readonly requestBody?: { readonly required?: boolean };
  readonly responses: {
    readonly "200": { readonly content: Readonly<Record<"application/json", { schema: Schema }>> };
  };
}

interface Document {
  readonly security: readonly object[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** Fails where a value lacks what its schema requires, at any depth. Returns how many required properties there were. */
function checkRequired(
  document: Document,
  { schema: given, value, at }: { readonly schema: Schema; readonly value: unknown; readonly at: string },
): number {
  const name = given.$ref?.replace("#/components/schemas/", "");
  const schema = (name === undefined ? given : document.components.schemas[name]) ?? {};
  const required = schema.required ?? [];
  if (required.length > 0) expect(Object.keys(value as object), at).toEqual(expect.arrayContaining([...required]));
  const inner = Array.isArray(value)
    ? value.map((item, index) => ({ schema: schema.items ?? {}, value: item, at: `${at}[${index}]` }))
    : Object.entries(schema.properties ?? {})
        .filter(([key]) => Object.hasOwn(value as object, key))
        .map(([key, property]) => ({
          schema: property,
          value: (value as Record<string, unknown>)[key],
          at: `${at}.${key}`,
        }));
  return inner.reduce((count, one) => count + checkRequired(document, one), required.length);
}

describe("the OpenAPI document", () => {
  let directory: TemporaryDirectory;
  let server: ServerProcess;
  beforeAll(async () => {
    directory = new TemporaryDirectory();
    server = await startServer({ data: directory.path });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  async function print(...flags: string[]): Promise<string> {
    await using command = new PortcullisProcess(["openapi", ...flags]);
    const { exitCode, stdout, stderr } = await command.ended;
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    return stdout;
  }

  it("is printed as it is served, as JSON and as YAML, which say the same", async () => {
    const served = await fetch(`${server.url}/openapi.json`);
    expect(served.headers.get("content-type")).toBe("application/json");
    const json = await served.text();
    expect(await print()).toBe(json);
    const yaml = await fetch(`${server.url}/openapi.yaml`);
    expect(yaml.headers.get("content-type")).toBe("application/yaml");
    const text = await yaml.text();
    expect(await print("--yaml")).toBe(text);
    expect(parse(text)).toEqual(JSON.parse(json));
  });

  it("is for everyone, told only once to who keeps it, and cannot be written", async () => {
    const url = `${server.url}/openapi.json`;
    const etag = (await fetch(url)).headers.get("etag") ?? "";
    const again = await fetch(url, { headers: { "if-none-match": etag } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    const head = await fetch(url, { method: "HEAD", headers: { "accept-encoding": "identity" } });
    expect([head.status, Number(head.headers.get("content-length")) > 10_000]).toEqual([200, true]);
    const put = await fetch(url, { method: "PUT" });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
    expect(await put.json()).toMatchObject({ code: 12 });
    const options = await fetch(url, { method: "OPTIONS" });
    expect([options.status, options.headers.get("allow")]).toEqual([204, "GET, HEAD, OPTIONS"]);
  });

  it("is sent compressed", async () => {
    for (const encoding of responseEncodings) {
      const response = await fetch(`${server.url}/openapi.json`, { headers: { "accept-encoding": encoding } });
      expect(response.headers.get("content-encoding")).toBe(encoding);
      expect(response.headers.get("vary")).toContain("Accept-Encoding");
      expect(await response.json()).toMatchObject({ openapi: "3.1.0" });
    }
  });

  it("names the issuer's flows where there is one", async () => {
    const schemesOf = (json: string) => Object.keys(JSON.parse(json).components.securitySchemes);
    expect(schemesOf(await print())).toEqual(["bearer"]);
    using data = new TemporaryDirectory();
    await using issuer = await startServer({ data: data.path, flags: ["--issuer"] });
    const served = await (await fetch(`${issuer.url}/openapi.json`)).text();
    expect(schemesOf(served)).toEqual(["OAuth2", "bearer"]);
    expect(await print("--issuer")).toBe(served);
    const { OAuth2 } = JSON.parse(served).components.securitySchemes;
    const { authorizationUrl, tokenUrl } = OAuth2.flows.authorizationCode;
    expect((await fetch(new URL(authorizationUrl, issuer.url))).status).not.toBe(404);
    const token = await fetch(new URL(tokenUrl, issuer.url), { method: "POST", body: new URLSearchParams() });
    expect(await token.json()).toMatchObject({ error: "invalid_request" });
  });

  it("is printed for an issuer of another address, if that is an origin", async () => {
    const { flows } = JSON.parse(await print("--issuer", "https://login.example")).components.securitySchemes.OAuth2;
    expect(flows.clientCredentials.tokenUrl).toBe("https://login.example/oauth/v2/token");
    await using command = new PortcullisProcess(["openapi", "--issuer", "https://login.example/path"]);
    const { exitCode, stderr } = await command.ended;
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("--issuer must be an origin")]);
  });

  it("lists paths that answer as it says", async () => {
    const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document;
    const headers = { authorization: `Bearer ${readAdminToken(directory.path)}` };
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { security = document.security }] of Object.entries(methods)) {
        const url = server.url + path.replace(/\{[^}]+\}/g, "1");
        const withoutToken = await fetch(url, { method: method.toUpperCase() });
        expect(withoutToken.status, `${method} ${path}`).toBe(security.length > 0 ? 401 : 200);
        if (method === "get") expect((await fetch(url, { headers })).status, path).toBe(200);
      }
    }
  });

  it("requires in answers what they have, and in requests what they need", async () => {
    const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document;
    const authorization = `Bearer ${readAdminToken(directory.path)}`;
    const headers = { authorization, "content-type": "application/json" };
    let checked = 0;
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { requestBody, responses }] of Object.entries(methods)) {
        const url = server.url + path;
        if (method === "get" || path.endsWith("_search")) {
          const answer = await fetch(url, { method: method.toUpperCase(), headers });
          const { schema } = responses["200"].content["application/json"];
          checked += checkRequired(document, { schema, value: await answer.json(), at: path });
        } else if (requestBody?.required) {
          const refused = await fetch(url, { method: method.toUpperCase(), headers, body: "{}" });
          expect([refused.status, await refused.json()], path).toMatchObject([400, { code: 3 }]);
          checked++;
        }
      }
    }
    expect(checked).toBeGreaterThan(50);
  });
});
