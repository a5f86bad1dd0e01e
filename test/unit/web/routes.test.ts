import type { ListenerHandler, ListenerRequest, ListenerResponse } from "@portcullis/rpc";
import { describe, expect, it } from "vitest";
import { createWebRoutes, wholePaths, withWebRoutes } from "../../../src/web/routes.ts";

/** Sends one request for each path, and returns which handler served it and under which label it was observed. */
function serve(paths: readonly string[], { without = [] }: { readonly without?: readonly string[] } = {}) {
  const served: string[] = [];
  const handler =
    (name: string): ListenerHandler =>
    () =>
      void served.push(name);
  const handlers = Object.fromEntries(
    ["openApi", "debug", "issuer"].filter((name) => !without.includes(name)).map((name) => [name, handler(name)]),
  );
  const routes = createWebRoutes(handlers as never);
  const labels: string[] = [];
  const all = withWebRoutes(handler("api"), routes, {
    openToPages: (inner) => (request, response) => {
      served.push("pages");
      inner(request, response);
    },
    observe: (_request, _response, label) => void labels.push(label),
  });
  const response = { setHeader() {}, getHeader() {} } as unknown as ListenerResponse;
  for (const url of paths) all({ url, headers: {} } as ListenerRequest, response);
  return { served, labels, routes };
}

describe("the table of paths that are no RPC", () => {
  it("serves each path by its handler, with its CORS and its label", () => {
    expect(serve(["/openapi.json"])).toMatchObject({ served: ["pages", "openApi"], labels: ["/openapi.json"] });
    expect(serve(["/debug/ready"])).toMatchObject({ served: ["pages", "debug"], labels: [] });
    expect(serve(["/oauth/v2/token?x=1"])).toMatchObject({ served: ["issuer"], labels: ["/oauth/v2/token"] });
  });

  it("takes everything below a path that ends in a star, under one label", () => {
    expect(serve(["/sign-in/17", "/sign-in/18"])).toMatchObject({
      served: ["issuer", "issuer"],
      labels: ["/sign-in/*", "/sign-in/*"],
    });
    expect(serve(["/debug/nothing"]).served).toEqual(["pages", "debug"]);
  });

  it("leaves every other path to the API, also those of a handler that is absent", () => {
    expect(serve(["/management/v1/healthz", "/debug", "/openapi.json/"]).served).toEqual(["api", "api", "api"]);
    expect(serve(["/debug/ready", "/oauth/v2/token"], { without: ["debug", "issuer"] }).served).toEqual(["api", "api"]);
  });

  it("names the whole paths, which no HTTP rule may have", () => {
    const paths = wholePaths(serve([]).routes);
    expect(paths).toContain("/debug/ready");
    expect(paths).toContain("/oauth/v2/token");
    expect(paths.some((path) => path.includes("*"))).toBe(false);
  });
});
