// Whatever answers GET answers OPTIONS, and a browser that asks for a page of another origin.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService } from "../../gen/zitadel/admin_pb.ts";
import { AuthService } from "../../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { createRouteTable } from "../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { exchange } from "../fixtures/wire.ts";

const page = "https://app.example";

const { routes } = createRouteTable(
  createRpcTable((router) => {
    for (const service of [ManagementService, AdminService, AuthService]) router.service(service, {});
  }),
);
/** What pages call. */
const called = [
  ...routes.filter(({ method }) => method === "GET").map(({ pattern }) => pattern),
  "/debug/healthz",
  "/debug/ready",
  "/debug/metrics",
  "/openapi.json",
  "/openapi.yaml",
  "/.well-known/openid-configuration",
  "/.well-known/oauth-authorization-server",
  "/oauth/v2/keys",
  "/oidc/v1/userinfo",
];
/** Where browsers go themselves, and no page may read. */
const navigated = [
  "/oauth/v2/authorize",
  "/oauth/v2/authorize/of-a-sign-in",
  "/oidc/v1/end_session",
  "/oidc/v1/end_session/success",
  "/sign-in/of-nobody",
];

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ issuer: {}, corsOrigins: [page] });
});
afterAll(() => server.close());

describe.each([1, 2] as const)("OPTIONS over HTTP/%s", (version) => {
  it("has every path", () => {
    expect(called.length).toBeGreaterThan(12);
  });

  it.each([...called, ...navigated])("is answered at %s with 204 and Allow", async (path) => {
    const { status, headers } = await exchange(server.url, { version, method: "OPTIONS", path });
    expect([status, headers.allow?.split(", ")]).toEqual([204, expect.arrayContaining(["GET", "OPTIONS"])]);
    expect(headers["access-control-allow-origin"]).toBe(undefined);
  });

  const preflight = {
    origin: page,
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization",
  };

  it.each(called)("lets a page call %s, and read the answer", async (path) => {
    const asked = await exchange(server.url, { version, method: "OPTIONS", path, headers: preflight });
    expect([asked.status, asked.headers["access-control-allow-origin"]]).toEqual([204, page]);
    expect(asked.headers["access-control-allow-methods"]).toContain("GET");
    expect(asked.headers["access-control-allow-headers"]?.toLowerCase()).toContain("authorization");
    const answer = await exchange(server.url, { version, method: "GET", path, headers: { origin: page } });
    expect(answer.headers["access-control-allow-origin"]).toBe(page);
  });

  it.each(navigated)("lets no page call %s", async (path) => {
    const asked = await exchange(server.url, { version, method: "OPTIONS", path, headers: preflight });
    expect([asked.status, asked.headers["access-control-allow-origin"]]).toEqual([204, undefined]);
    const answer = await exchange(server.url, { version, method: "GET", path, headers: { origin: page } });
    expect(answer.headers["access-control-allow-origin"]).toBe(undefined);
  });

  it("lets a page send headers with the prefix of a grpc-gateway, by name", async () => {
    const headers = { ...preflight, "access-control-request-headers": "grpc-metadata-x-zitadel-orgid,x-else" };
    const asked = await exchange(server.url, { version, method: "OPTIONS", path: "/debug/healthz", headers });
    expect(asked.headers["access-control-allow-headers"]).toMatch(/, grpc-metadata-x-zitadel-orgid$/);
  });
});
