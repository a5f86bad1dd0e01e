import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService } from "../../gen/zitadel/admin_pb.ts";
import { AuthService } from "../../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { type Client, createClients } from "../fixtures/clients.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { exchange } from "../fixtures/wire.ts";

let server: TestServer;
let clients: readonly Client[];
beforeAll(async () => {
  server = await startTestServer();
  clients = createClients(server.url);
});
afterAll(async () => {
  for (const client of clients) client.close();
  await server.close();
});

describe.each([
  { service: ManagementService, path: "/management/v1/healthz" },
  { service: AdminService, path: "/admin/v1/healthz" },
  { service: AuthService, path: "/auth/v1/healthz" },
])("$service.typeName/Healthz", ({ service, path }) => {
  it("answers on every protocol, without a token and with one that nobody has", async () => {
    expect(clients).toHaveLength(5);
    for (const { protocol, call } of clients) {
      for (const headers of [{}, { authorization: "Bearer of-nobody", "x-zitadel-orgid": "404" }]) {
        const { code, body } = await call({ method: service.method.healthz, message: {}, headers });
        expect([protocol, code, body]).toEqual([protocol, 0, {}]);
      }
    }
  });

  it.each([1, 2] as const)("answers GET, HEAD and OPTIONS over HTTP/%s", async (version) => {
    const get = await exchange(server.url, { version, method: "GET", path });
    expect([get.status, get.headers["content-type"], get.body.toString()]).toEqual([200, "application/json", "{}"]);
    const head = await exchange(server.url, { version, method: "HEAD", path });
    expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, "2", 0]);
    const options = await exchange(server.url, { version, method: "OPTIONS", path });
    expect([options.status, options.headers.allow]).toEqual([204, "GET, HEAD, OPTIONS"]);
  });
});
