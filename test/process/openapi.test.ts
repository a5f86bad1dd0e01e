import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import {
  PortcullisProcess,
  readAdminToken,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

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
    const head = await fetch(url, { method: "HEAD" });
    expect([head.status, Number(head.headers.get("content-length")) > 10_000]).toEqual([200, true]);
    const put = await fetch(url, { method: "PUT" });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect(await put.json()).toMatchObject({ code: 12 });
  });

  it("lists paths that answer as it says", async () => {
    const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    const headers = { authorization: `Bearer ${readAdminToken(directory.path)}` };
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods)) {
        const url = server.url + path.replace(/\{[^}]+\}/g, "1");
        const withoutToken = await fetch(url, { method: method.toUpperCase() });
        expect(withoutToken.status, `${method} ${path}`).toBe(401);
        if (method === "get") expect((await fetch(url, { headers })).status, path).toBe(200);
      }
    }
  });
});
