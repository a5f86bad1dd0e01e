// Every answer carries `x-request-id`: the caller's own, or a new one.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { paths, startTestServer, type TestServer } from "../fixtures/server.ts";
import { type Exchange, exchange } from "../fixtures/wire.ts";

const list = "/zitadel.management.v1.ManagementService/ListLoginPolicySecondFactors";
const listRest = "/management/v1/policies/login/second_factors/_search";
const watch = "/grpc.health.v1.Health/Watch";
const reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const empty = Buffer.alloc(5);

interface Row {
  readonly name: string;
  readonly request: Exchange;
  readonly status: number;
  /** gRPC needs HTTP/2. */
  readonly versions?: readonly (1 | 2)[];
  readonly isAnonymous?: boolean;
}

const of = (type: string) => ({ headers: { "content-type": type } });

const rows: readonly Row[] = [
  { name: "gRPC", request: { path: list, ...of("application/grpc"), body: empty }, status: 200, versions: [2] },
  {
    name: "gRPC that is refused, in one block of headers",
    request: { path: list, ...of("application/grpc"), body: empty },
    status: 200,
    versions: [2],
    isAnonymous: true,
  },
  {
    name: "gRPC with an Origin",
    request: {
      path: list,
      headers: { "content-type": "application/grpc", origin: "https://page.example" },
      body: empty,
    },
    status: 200,
    versions: [2],
  },
  {
    name: "gRPC on no RPC",
    request: { path: "/a.b.C/D", ...of("application/grpc"), body: empty },
    status: 200,
    versions: [2],
  },
  {
    name: "a stream of gRPC",
    request: { path: reflection, ...of("application/grpc"), body: "" },
    status: 200,
    versions: [2],
  },
  { name: "gRPC-Web", request: { path: list, ...of("application/grpc-web+proto"), body: empty }, status: 200 },
  {
    name: "gRPC-Web as text",
    request: { path: list, ...of("application/grpc-web-text"), body: "AAAAAAA=" },
    status: 200,
  },
  {
    name: "gRPC-Web that is refused",
    request: { path: list, ...of("application/grpc-web+proto"), body: empty },
    status: 200,
    isAnonymous: true,
  },
  { name: "Connect", request: { path: list, ...of("application/json"), body: "{}" }, status: 200 },
  { name: "Connect in binary", request: { path: list, ...of("application/proto"), body: "" }, status: 200 },
  { name: "Connect that is refused", request: { path: list, ...of("application/json"), body: "{" }, status: 400 },
  {
    name: "a stream of Connect that is refused",
    request: { path: watch, ...of("application/connect+json"), body: "{" },
    status: 200,
  },
  { name: "REST", request: { path: listRest, ...of("application/json"), body: "{}" }, status: 200 },
  {
    name: "REST that is refused",
    request: { path: "/management/v1/policies/login/second_factors", ...of("application/json"), body: "{" },
    status: 400,
  },
  { name: "REST without a token", request: { path: listRest, body: "{}" }, status: 401, isAnonymous: true },
  { name: "a path that nobody serves", request: { method: "GET", path: "/nowhere" }, status: 404 },
  { name: "a wrong method", request: { method: "PATCH", path: listRest }, status: 405 },
  { name: "OPTIONS", request: { method: "OPTIONS", path: listRest }, status: 204 },
  {
    name: "a preflight",
    request: {
      method: "OPTIONS",
      path: list,
      headers: { origin: "https://page.example", "access-control-request-method": "POST" },
    },
    status: 204,
  },
  { name: "a document", request: { method: "GET", path: "/openapi.json" }, status: 200 },
  { name: "HEAD of a document", request: { method: "HEAD", path: "/openapi.yaml" }, status: 200 },
  {
    name: "a refusal of the listener",
    request: { method: "GET", path: "/admin/v1/healthz", headers: { "x-padded": " a" } },
    status: 400,
    versions: [2],
  },
  { name: "readiness", request: { method: "GET", path: "/debug/ready" }, status: 200 },
  { name: "metrics that there are none of", request: { method: "GET", path: "/debug/metrics" }, status: 404 },
  { name: "the health of an API", request: { method: "GET", path: "/admin/v1/healthz" }, status: 200 },
  { name: "the issuer's settings", request: { method: "GET", path: "/.well-known/openid-configuration" }, status: 200 },
  {
    name: "a refusal of the issuer",
    request: { method: "GET", path: "/oauth/v2/authorize?client_id=nobody" },
    status: 400,
  },
  {
    name: "a token that is refused",
    request: { path: "/oauth/v2/token", ...of("application/x-www-form-urlencoded"), body: "grant_type=a" },
    status: 400,
  },
];

describe.each(paths)("the $path path", ({ stockHandlers }) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ stockHandlers, issuer: {}, corsOrigins: ["https://page.example"] });
  });
  afterAll(() => server.close());

  const cases = rows.flatMap((row) => (row.versions ?? [1, 2]).map((version) => ({ ...row, version })));
  it.each(cases)("names $name over HTTP/$version", async ({ request, status, version, isAnonymous }) => {
    const authorization = isAnonymous ? {} : { authorization: `Bearer ${server.adminToken}` };
    const send = (more: Readonly<Record<string, string>>) =>
      exchange(server.url, { ...request, version, headers: { ...authorization, ...request.headers, ...more } });
    const own = await send({ "x-request-id": "the-caller/1" });
    expect([own.status, own.headers["x-request-id"]]).toEqual([status, "the-caller/1"]);
    expect(own.trailers).not.toHaveProperty("x-request-id");
    const [one, other] = [await send({}), await send({ "x-request-id": "not one" })];
    expect(one.headers["x-request-id"]).toMatch(/^[0-9a-f]{24}$/);
    expect(other.headers["x-request-id"]).toMatch(/^[0-9a-f]{24}$/);
    expect(other.headers["x-request-id"]).not.toBe(one.headers["x-request-id"]);
  });

  it("lets a page of another origin read it", async () => {
    const headers = { origin: "https://page.example", "content-type": "application/json" };
    const { headers: received } = await exchange(server.url, { path: list, headers, body: "{}" });
    expect(received["access-control-expose-headers"]).toMatch(/\bx-request-id\b/);
  });
});

it("names a failure by the id that its answer carries", async () => {
  const server = await startTestServer();
  await server.store.close();
  const { status, headers, body } = await exchange(server.url, {
    path: listRest,
    headers: { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" },
    body: "{}",
  });
  expect(status).toBe(503);
  expect(headers["x-request-id"]).toMatch(/^[0-9a-f]{24}$/);
  expect(body.toString()).toContain(`(request ${headers["x-request-id"]})`);
  await server.close();
});
