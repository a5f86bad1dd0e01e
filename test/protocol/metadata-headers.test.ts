// grpc-gateway's prefix for the headers of a call, as clients of ZITADEL's REST API send it.
import { once } from "node:events";
import { get } from "node:https";
import type { Interceptor } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { expectConnectError, expectStatus } from "../fixtures/sturdy.ts";
import { openTranscoding } from "../fixtures/transcoding.ts";
import { type Exchange, exchange, type Reply } from "../fixtures/wire.ts";
import { open, rawClient, tls } from "./listener-clients.ts";

const path = "/management/v1/policies/login";
const versions = [1, 2] as const;

describe("Grpc-Metadata- headers", () => {
  let server: TestServer;
  let other: string;
  beforeAll(async () => {
    server = await startTestServer();
    other = (await server.directory.addOrganization("Other")).id;
  });
  afterAll(() => server.close({ graceMs: 0 }));

  const send = (headers: Readonly<Record<string, string>>, rest: Partial<Exchange> = {}): Promise<Reply> =>
    exchange(server.url, { method: "GET", path, headers, ...rest });
  const resourceOwner = (reply: Reply): string => {
    expect(reply.status, reply.body.toString()).toBe(200);
    return JSON.parse(reply.body.toString()).policy.details.resourceOwner;
  };
  const bearer = () => `Bearer ${server.adminToken}`;

  it.each(versions)("say over HTTP/%i who calls, and for which organization", async (version) => {
    // A policy of its own, so that the answer tells of whom it is.
    const headers = { authorization: bearer(), "content-type": "application/json" };
    const added = await send(
      { ...headers, "Grpc-Metadata-X-Zitadel-Orgid": other },
      { version, method: "POST", body: "{}" },
    );
    expect([200, 409]).toContain(added.status);
    const told = { "Grpc-Metadata-Authorization": bearer(), "Grpc-Metadata-X-Zitadel-Orgid": other };
    expect(resourceOwner(await send(told, { version }))).toBe(other);
    expect(resourceOwner(await send({ "Grpc-Metadata-Authorization": bearer() }, { version }))).not.toBe(other);
    const unknown = { authorization: bearer(), "Grpc-Metadata-X-Zitadel-Orgid": "404404404404404404" };
    expect((await send(unknown, { version })).status).toBe(403);
  });

  it.each(versions)(
    "may repeat over HTTP/%i what the header without the prefix says, and not contradict it",
    async (version) => {
      const same = { authorization: bearer(), "x-zitadel-orgid": other, "grpc-metadata-x-zitadel-orgid": other };
      expect((await send(same, { version })).status).toBe(200);
      const contradiction = { ...same, "grpc-metadata-x-zitadel-orgid": server.defaultOrganization };
      expect(
        expectStatus(await send(contradiction, { version }), {
          http: 400,
          code: 3,
          field: "grpc-metadata-x-zitadel-orgid",
        }),
      ).toBe(
        "invalid header grpc-metadata-x-zitadel-orgid: it and x-zitadel-orgid have different values: send one of them",
      );
      const twoCallers = { authorization: bearer(), "grpc-metadata-authorization": "Bearer other" };
      const refused = expectStatus(await send(twoCallers, { version }), { http: 400, code: 3 });
      expect(refused).not.toContain("Bearer");
    },
  );

  it("are refused where one is sent twice", async () => {
    const client = await rawClient(server);
    const lines = [
      `Authorization: ${bearer()}`,
      "Grpc-Metadata-X-Zitadel-Orgid: 1",
      "grpc-metadata-x-zitadel-orgid: 1",
    ];
    client.socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${lines.join("\r\n")}\r\n\r\n`);
    expect(await client.closed).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("change nothing of how HTTP reads the request", async () => {
    const body = "{}";
    const headers = {
      authorization: bearer(),
      "content-type": "application/json",
      "grpc-metadata-content-type": "text/plain",
      "grpc-metadata-content-length": "9999999",
      "grpc-metadata-transfer-encoding": "chunked",
      "grpc-metadata-connection": "close",
      "grpc-metadata-host": "evil.example",
      "grpc-metadata-grpc-timeout": "1n",
      accept: "*/*",
      "grpc-metadata-accept": "text/html",
      "grpc-metadata-x-server-timeout": "0",
    };
    const search = "/management/v1/policies/login/second_factors/_search";
    for (const version of versions) {
      const reply = await send(headers, { version, method: "POST", path: search, body });
      expect(reply.status, reply.body.toString()).toBe(200);
    }
  });

  it("are those of REST alone", async () => {
    const rpc = "/zitadel.management.v1.ManagementService/GetLoginPolicy";
    const headers = { "content-type": "application/json", "grpc-metadata-authorization": bearer() };
    const reply = await send(headers, { method: "POST", path: rpc, body: "{}" });
    expectConnectError(reply, { http: 401, code: "unauthenticated" });
  });
});

it("Grpc-Metadata- headers are headers like any where the option is off", async () => {
  const seen: (string | null)[] = [];
  const look: Interceptor = (next) => (request) => {
    seen.push(request.header.get("x-a"), request.header.get("grpc-metadata-x-a"));
    return next(request);
  };
  const server = await openTranscoding({ interceptors: [look] });
  await exchange(server.url, {
    method: "GET",
    path: "/t/v1/things/a",
    headers: { "grpc-metadata-x-a": "1", "x-a": "2" },
  });
  expect(seen).toEqual(["2", "1"]);
});

it("Grpc-Metadata- headers leave the URL of a call over TLS as it is", async () => {
  const seen: string[] = [];
  const rpcs = createRpcTable((router) =>
    router.service(EchoService, {
      getRoom({ room }, { url, requestHeader }) {
        seen.push(`${url} ${requestHeader.get("x-a")}`);
        return { room };
      },
    }),
  );
  const { url } = await open({ tls, handler: createDispatch(rpcs, { grpcMetadataHeaders: true }) });
  for (const name of ["x-a", "grpc-metadata-x-a"]) {
    const request = get(`${url}/test/v1/rooms/a`, { ca: tls.cert, servername: "localhost", headers: { [name]: "1" } });
    const [response] = await once(request, "response");
    await once(response.resume(), "end");
  }
  expect(seen).toEqual(Array(2).fill(`${url}/test/v1/rooms/a 1`));
});
