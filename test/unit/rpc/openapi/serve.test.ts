import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { JsonObject } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type OpenApiService, renderOpenApi, withOpenApi } from "../../../../src/rpc/openapi/serve.ts";

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const document: JsonObject = { openapi: "3.1.0", paths: {}, "x-long": "a".repeat(4096) };
const text = renderOpenApi(document, "json");

/** A server whose other paths answer 204, and a way to call it. */
async function serve(service: Partial<OpenApiService> = {}) {
  const onFailure = (reason: unknown) => expect.unreachable(String(reason));
  const handler = withOpenApi(
    (_request, response) => {
      response.statusCode = 204;
      response.end();
    },
    { document: () => document, onFailure, ...service },
  );
  const server = createServer(handler).listen(0, "127.0.0.1");
  cleanups.push(
    () => server.close(),
    () => server.closeAllConnections(),
  );
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return (path: string, headers: Record<string, string> = {}, method = "GET") =>
    fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
}

describe("withOpenApi", () => {
  it("refuses at once what makes no document", () => {
    for (const service of [{}, { document }]) {
      expect(() => withOpenApi(() => {}, service as unknown as OpenApiService)).toThrow(
        new TypeError("the option document of withOpenApi must be a function that makes the document"),
      );
    }
  });

  it.each([
    { accepted: "gzip", encoding: "gzip" },
    { accepted: "gzip, br", encoding: "br" },
    { accepted: "br;q=0.5, gzip", encoding: "gzip" },
    { accepted: "zstd, *;q=0.1", encoding: "br" },
    { accepted: "identity", encoding: null },
    { accepted: "gzip;q=0, br;q=0", encoding: null },
  ])("sends the document as $encoding where $accepted is accepted", async ({ accepted, encoding }) => {
    const call = await serve();
    const response = await call("/openapi.json", { "accept-encoding": accepted });
    expect([response.status, response.headers.get("content-encoding")]).toEqual([200, encoding]);
    expect(response.headers.get("vary")).toBe("Accept-Encoding");
    const length = Number(response.headers.get("content-length"));
    if (encoding === null) expect(length).toBe(text.length);
    else expect(length).toBeLessThan(1000);
    expect(await response.text()).toBe(text);

    const head = await call("/openapi.json", { "accept-encoding": accepted }, "HEAD");
    expect([head.status, await head.text()]).toEqual([200, ""]);
    for (const name of ["content-encoding", "content-length", "content-type", "etag", "vary"]) {
      expect(head.headers.get(name), name).toBe(response.headers.get(name));
    }
  });

  it("says the same as YAML", async () => {
    const call = await serve();
    const response = await call("/openapi.yaml");
    expect(response.headers.get("content-type")).toBe("application/yaml");
    expect(parse(await response.text())).toEqual(document);
  });

  it("does not compress what is small", async () => {
    const call = await serve({ document: () => ({ openapi: "3.1.0" }) });
    const response = await call("/openapi.json", { "accept-encoding": "gzip" });
    expect(response.headers.get("content-encoding")).toBeNull();
    expect(await response.json()).toEqual({ openapi: "3.1.0" });
  });

  it("has one ETag for every encoding", async () => {
    const call = await serve();
    const etag = (await call("/openapi.json", { "accept-encoding": "br" })).headers.get("etag") ?? "";
    const held = await call("/openapi.json", { "accept-encoding": "gzip", "if-none-match": etag });
    expect([held.status, held.headers.get("etag"), held.headers.get("vary")]).toEqual([304, etag, "Accept-Encoding"]);
    expect((await call("/openapi.json", { "if-none-match": '"another"' })).status).toBe(200);
  });

  it("answers OPTIONS with what there is, and refuses the rest", async () => {
    const call = await serve();
    const options = await call("/openapi.yaml", {}, "OPTIONS");
    expect([options.status, options.headers.get("allow")]).toEqual([204, "GET, HEAD, OPTIONS"]);
    const post = await call("/openapi.yaml", {}, "POST");
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
    expect(await post.json()).toEqual({ code: 12, message: "Method Not Allowed", details: [] });
  });

  it("makes each form once, and leaves other paths to the handler", async () => {
    let made = 0;
    const call = await serve({
      document: () => {
        made++;
        return document;
      },
    });
    expect((await call("/openapi.jsonx")).status).toBe(204);
    expect(made).toBe(0);
    const answers = await Promise.all([1, 2, 3].map(() => call("/openapi.json?a=b")));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(made).toBe(1);
  });

  it("reports why a document cannot be made, and tries again with the next call", async () => {
    const reasons: unknown[] = [];
    let fails = true;
    const call = await serve({
      document: () => {
        if (fails) throw new Error("no file left");
        return document;
      },
      onFailure: (reason) => reasons.push(reason),
    });
    const failed = await call("/openapi.json");
    expect([failed.status, await failed.json()]).toMatchObject([500, { code: 13, details: [] }]);
    expect(reasons).toEqual([new Error("no file left")]);
    fails = false;
    expect((await call("/openapi.json")).status).toBe(200);
  });
});
