import { once } from "node:events";
import { constants } from "node:http2";
import { afterEach, describe, expect, it } from "vitest";
import { maxHeaderBytes, maxHeaderCount } from "../../src/rpc/listener/limits.ts";
import { dataFrame, headersFrame } from "../fixtures/http2-frames.ts";
import {
  expectConnectError,
  expectNoInternals,
  expectStatus,
  factorsPath,
  policyPath,
  rpcPath,
  sturdyServer,
} from "../fixtures/sturdy.ts";
import { type Exchange, frame, outcomeOf, type Reply } from "../fixtures/wire.ts";
import { bodyOf, call2, frameClient, http2Preface, rawClient, resetCode, session2 } from "./listener-clients.ts";

const sturdy = sturdyServer();
afterEach(() => sturdy.send({ method: "DELETE", path: policyPath }));

const versions = [{ version: 1 }, { version: 2 }] as const;
const read = rpcPath("GetLoginPolicy");
const nothing = frame(Buffer.alloc(0));
const grpc = { "content-type": "application/grpc", te: "trailers" };
const web = { "content-type": "application/grpc-web+proto" };
const json = { "content-type": "application/json" };

describe.each(versions)("content types over HTTP/$version", ({ version }) => {
  const refusedTypes = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "application/problem+json",
    "application/jsonp",
    "application/json, text/plain",
    "json",
    ";",
    "application/json; charset=iso-8859-1",
    "application/grpcx",
    "application/grpc-webx",
  ];
  const jsonTypes = [
    "application/json",
    "APPLICATION/JSON",
    "application/json; charset=utf-8",
    "application/json;charset=UTF-8",
    'application/json; charset="utf-8"',
    "application/json ; charset=utf-8",
    "application/json; charset=utf-8; profile=x",
    "application/json;",
  ];
  it.each(refusedTypes)("refuses %s on REST with 415, and names the header to set", async (type) => {
    const reply = await sturdy.send({ version, path: policyPath, headers: { "content-type": type }, body: "{}" });
    expect(expectStatus(reply, { http: 415, code: 3 })).toContain("Content-Type: application/json");
  });
  it("refuses a body without a content type on REST", async () => {
    const reply = await sturdy.send({ version, path: policyPath, body: "{}" });
    expect(expectStatus(reply, { http: 415, code: 3 })).toContain("Content-Type: application/json");
  });
  it.each(jsonTypes)("takes %s on REST", async (type) => {
    const reply = await sturdy.send({ version, path: policyPath, headers: { "content-type": type }, body: "{}" });
    expect(reply.status).toBe(200);
  });

  it.each([...refusedTypes, "application/connect+json", "application/connect+proto", "application/grp"])(
    "refuses %s on Connect with 415, and says which are taken",
    async (type) => {
      const reply = await sturdy.send({ version, path: read, headers: { "content-type": type }, body: "{}" });
      expect(expectConnectError(reply, { http: 415, code: "invalid_argument" })).toContain("application/json");
      expect(reply.headers["accept-post"]).toContain("application/json");
    },
  );
  it.each([...jsonTypes, "application/proto", "Application/Proto"])("takes %s on Connect", async (type) => {
    const body = /proto/i.test(type) ? "" : "{}";
    const reply = await sturdy.send({ version, path: read, headers: { "content-type": type }, body });
    expect(reply.status).toBe(200);
  });

  it.each([
    "application/grpc-web",
    "application/grpc-web+proto",
    "APPLICATION/GRPC-WEB+PROTO",
    "application/grpc-web+proto; charset=utf-8",
    "application/grpc-web+json",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
    "Application/Grpc-Web-Text+Proto",
  ])("takes %s", async (type) => {
    const message = type.includes("json") ? frame(Buffer.from("{}")) : nothing;
    const body = /text/i.test(type) ? message.toString("base64") : message;
    const reply = await sturdy.send({ version, path: read, headers: { "content-type": type }, body });
    expect(outcomeOf(reply)).toMatchObject({ code: 0 });
  });
  it.each(["application/grpc-web+xml", "application/grpc-web-text+xml"])(
    "answers %s with a grpc-status",
    async (type) => {
      const reply = await sturdy.send({ version, path: read, headers: { "content-type": type }, body: nothing });
      expect(outcomeOf(reply).code).toBeGreaterThan(0);
    },
  );
});

describe("gRPC's content type", () => {
  it.each(["application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc; charset=utf-8"])(
    "%s is served over HTTP/2",
    async (type) => {
      const reply = await sturdy.send({
        version: 2,
        path: read,
        headers: { ...grpc, "content-type": type },
        body: nothing,
      });
      expect(outcomeOf(reply)).toMatchObject({ code: 0 });
    },
  );
  it("application/grpc+json is served over HTTP/2", async () => {
    const headers = { ...grpc, "content-type": "application/grpc+json" };
    const reply = await sturdy.send({ version: 2, path: read, headers, body: frame(Buffer.from("{}")) });
    expect(outcomeOf(reply)).toMatchObject({ code: 0 });
  });
  it("with a subtype that nobody knows gets a grpc-status", async () => {
    const headers = { ...grpc, "content-type": "application/grpc+xml" };
    const reply = await sturdy.send({ version: 2, path: read, headers, body: nothing });
    expect(outcomeOf(reply).code).toBeGreaterThan(0);
  });
  it.each([read, policyPath, "/nope"])("over HTTP/1.1 is refused: %s", async (path) => {
    const reply = await sturdy.send({ path, headers: grpc, body: nothing });
    expect(expectStatus(reply, { http: 505, code: 12 })).toContain("HTTP/2");
  });
  it.each(["/nope", "/", `${read}/`, `${policyPath}/`, "/a%", "/a.B/%0a", `/a.B/${"c".repeat(5_000)}`])(
    "on the unknown path %s gets grpc-status 12",
    async (path) => {
      const overGrpc = await sturdy.send({ version: 2, path, headers: grpc, body: nothing });
      expect(outcomeOf(overGrpc)).toEqual({ code: 12, message: "no RPC is served at this path", httpStatus: 200 });
      const overWeb = await sturdy.send({ path, headers: web, body: nothing });
      expect(outcomeOf(overWeb)).toEqual({ code: 12, message: "no RPC is served at this path", httpStatus: 200 });
    },
  );
  it.each([
    ["zitadel.org.v2.OrganizationService", "AddOrganization", "the service is not served here"],
    ["zitadel.management.v1.ManagementService", "AddOrg", "the service has no such method here"],
  ])("on the path of %s/%s, which is not served, gets its name, as Connect's does", async (service, method, reason) => {
    const path = `/${service}/${method}`;
    const message = `unknown method ${method} of service ${service}: ${reason}`;
    const overGrpc = await sturdy.send({ version: 2, path, headers: grpc, body: nothing });
    expect(outcomeOf(overGrpc)).toEqual({ code: 12, message, httpStatus: 200 });
    const overWeb = await sturdy.send({ path, headers: web, body: nothing });
    expect(outcomeOf(overWeb)).toEqual({ code: 12, message, httpStatus: 200 });
    for (const type of ["application/json", "application/proto", "Application/JSON; charset=utf-8"]) {
      const overConnect = await sturdy.send({ path, headers: { "content-type": type }, body: "{}" });
      expect(JSON.parse(overConnect.body.toString())).toEqual({ code: "unimplemented", message });
      expect(outcomeOf(overConnect)).toEqual({ code: 12, message, httpStatus: 404 });
    }
    const byGet = await sturdy.send({ method: "GET", path: `${path}?connect=v1&encoding=json&message=%7B%7D` });
    expect(JSON.parse(byGet.body.toString())).toEqual({ code: "unimplemented", message });
    for (const type of ["application/connect+json", "application/connect+proto"]) {
      const ofStream = await sturdy.send({ path, headers: { "content-type": type }, body: nothing });
      expect(ofStream.headers["content-type"]).toBe(type);
      expect(outcomeOf(ofStream)).toEqual({ code: 12, message, httpStatus: 200 });
    }
  });
  it.each([
    { path: "/orgs/Nope", method: "POST", type: "application/json" },
    { path: "/zitadel.org.v2.OrganizationService/AddOrganization", method: "POST", type: "text/plain" },
    { path: "/zitadel.org.v2.OrganizationService/AddOrganization", method: "GET", type: "application/json" },
    { path: "/v1/a.b/c", method: "POST", type: "application/json" },
  ])("is not meant by $method $path with $type, which is REST's", async ({ path, method, type }) => {
    const reply = await sturdy.send({ path, method, headers: { "content-type": type } });
    expect(JSON.parse(reply.body.toString())).toEqual({ code: 5, message: "Not Found", details: [] });
  });
  it.each(["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])("with %s gets a grpc-status", async (method) => {
    for (const path of [read, policyPath]) {
      const overGrpc = await sturdy.send({ version: 2, method, path, headers: grpc });
      expect(outcomeOf(overGrpc)).toMatchObject({ code: 12 });
      const overWeb = await sturdy.send({ method, path, headers: web });
      expect(outcomeOf(overWeb)).toMatchObject({ code: 12 });
    }
  });
});

describe.each(versions)("verbs over HTTP/$version", ({ version }) => {
  const routes = [
    { path: policyPath, allow: ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"] },
    { path: factorsPath, allow: ["OPTIONS", "POST"] },
    { path: `${factorsPath}/1`, allow: ["DELETE", "OPTIONS"] },
    // Under {type} too: DELETE takes "_search" for a type.
    { path: `${factorsPath}/_search`, allow: ["DELETE", "OPTIONS", "POST"] },
  ];
  const verbs = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT"];
  it.each(
    routes.flatMap(({ path, allow }) =>
      verbs.filter((verb) => !allow.includes(verb)).map((method) => ({ method, path, allow })),
    ),
  )("refuses $method $path with 405 and Allow", async ({ method, path, allow }) => {
    const reply = await sturdy.send({ version, method, path });
    expectStatus(reply, { http: 405, code: 12 });
    expect(reply.headers.allow).toBe(allow.join(", "));
  });
  it("refuses any verb but POST and OPTIONS on the path of an RPC", async () => {
    for (const method of verbs.filter((verb) => verb !== "POST" && verb !== "OPTIONS")) {
      const reply = await sturdy.send({ version, method, path: read });
      expectConnectError(reply, { http: 405, code: "unimplemented" });
      expect(reply.headers.allow).toBe("OPTIONS, POST");
    }
  });
  it.each([...routes, { path: read, allow: ["OPTIONS", "POST"] }])(
    "answers OPTIONS $path with 204 and Allow, to anybody",
    async ({ path, allow }) => {
      for (const authorization of [sturdy.auth.authorization, "Bearer unknown"]) {
        const reply = await sturdy.send({ version, method: "OPTIONS", path, headers: { authorization } });
        expect(reply).toMatchObject({ status: 204, headers: { allow: allow.join(", "), "cache-control": "no-store" } });
        expect(reply.headers).not.toHaveProperty("content-type");
        expect(reply.body).toHaveLength(0);
      }
    },
  );
  it("answers OPTIONS on an unknown path with 404", async () => {
    expectStatus(await sturdy.send({ version, method: "OPTIONS", path: "/nope" }), { http: 404, code: 5 });
  });
  it("answers HEAD without a body", async () => {
    for (const path of [factorsPath, read, "/nope"]) {
      const reply = await sturdy.send({ version, method: "HEAD", path });
      expect(reply.status).toBe(path === "/nope" ? 404 : 405);
      expect(reply.body).toHaveLength(0);
    }
  });
  it("answers HEAD where GET is known as GET, but for the body", async () => {
    const get = await sturdy.send({ version, method: "GET", path: policyPath });
    const head = await sturdy.send({ version, method: "HEAD", path: policyPath });
    const comparable = ({ headers: { date: _, "x-request-id": __, ...headers } }: Reply) => headers;
    expect(head.status).toBe(200);
    expect(comparable(head)).toEqual(comparable(get));
    expect(get.headers["content-length"]).toBe(String(get.body.length));
    expect(head.body).toHaveLength(0);
    const headers = { authorization: "Bearer unknown" };
    const refused = await sturdy.send({ version, method: "HEAD", path: policyPath, headers });
    expect(refused).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
    expect(refused.body).toHaveLength(0);
  });
  it("ignores a method override", async () => {
    const headers = { ...json, "x-http-method-override": "DELETE" };
    expect((await sturdy.send({ version, method: "GET", path: policyPath, headers })).status).toBe(200);
  });
});

describe.each(versions)("paths over HTTP/$version", ({ version }) => {
  it.each([
    "/",
    "/nope",
    "/management/v1",
    `${policyPath}/`,
    `/${policyPath}`,
    policyPath.replace("/policies", "//policies"),
    policyPath.toUpperCase(),
    "/management/v1/policies%2Flogin",
    "/management/v1/policies%5Clogin",
    "/management/v1\\policies\\login",
    `${policyPath};x=1`,
    `${policyPath}%00`,
    `${policyPath}%`,
    "/zitadel.management.v1.ManagementService",
    "/zitadel.management.v1.ManagementService/Nope",
    "/zitadel.management.v1.ManagementService/getLoginPolicy",
    `${read}/`,
    "/zitadel.management.v1.ManagementService%2FGetLoginPolicy",
    "//evil.example/zitadel.management.v1.ManagementService/GetLoginPolicy",
    `${factorsPath}//`,
    `/${"a".repeat(9_000)}`,
    `/${"a/".repeat(4_500)}`,
    `${factorsPath}/${"a/".repeat(4_500)}`,
    "/__proto__",
    "/constructor/toString",
  ])("%s is 404", async (path) => {
    for (const method of ["GET", "POST"]) {
      expectStatus(await sturdy.send({ version, method, path }), { http: 404, code: 5 });
    }
  });

  it.each([
    "/management/v1/../v1/policies/login",
    "/management/v1/./policies/login",
    "/management/v1/x/../policies/login",
    "/management/v1/%2e%2e/v1/policies/login",
    "/management/v1/%2E./v1/policies/login",
    "/management/v1/.%2e/v1/policies/login",
    "/..",
    "/.",
    "/nope/..",
    `${policyPath}/.`,
    `${policyPath}/..`,
    `${factorsPath}/..`,
    `${factorsPath}/%2e%2e`,
    `/admin/v1/policies/login/idps/..`,
    `/admin/v1/policies/login/idps/%2e%2e`,
    `/admin/v1/policies/login/idps/%2E`,
  ])("%s is 400 for its dots", async (path) => {
    for (const method of ["GET", "POST", "DELETE", "OPTIONS"]) {
      const message = expectStatus(await sturdy.send({ version, method, path }), { http: 400, code: 3 });
      expect(message).toContain("segment of dots");
    }
  });
  it.each(["/management/v1/.../policies/login", `${policyPath}/..x`, `/.well-known/nope`])(
    "%s is 404, for its dots mean nothing",
    async (path) => {
      expectStatus(await sturdy.send({ version, method: "GET", path }), { http: 404, code: 5 });
    },
  );
  it.each(["/management/v1/policies/%6Cogin", "/%6d%61nagement/v1/policies/login"])(
    "%s is known by its letters, however they are written",
    async (path) => {
      expect((await sturdy.send({ version, method: "GET", path })).status).toBe(200);
    },
  );

  it.each([
    { path: `${factorsPath}/%`, http: 400 },
    { path: `${factorsPath}/%4`, http: 400 },
    { path: `${factorsPath}/%zz`, http: 400 },
    { path: `${factorsPath}/%ff`, http: 400 },
    { path: `${factorsPath}/%c0%af`, http: 400 },
    { path: `${factorsPath}/%ed%a0%80`, http: 400 },
    { path: `${policyPath}/idps/%`, http: 400 },
    { path: `${policyPath}/idps/%ff`, http: 400 },
  ])("$path holds a bad escape", async ({ path, http }) => {
    expectStatus(await sturdy.send({ version, method: "DELETE", path }), { http, code: 3 });
  });

  it.each([
    "NOPE",
    "second_factor_type_otp",
    "SECOND_FACTOR_TYPE_OTP%00",
    "%00",
    "SECOND_FACTOR_TYPE%2FOTP",
    "0",
    "99",
    "-1",
    "+1",
    "1.0",
    "1e0",
    "0x1",
    "99999999999",
    "1%20",
    "null",
    "true",
    "{type}",
    "__proto__",
    "constructor",
    "...",
    "%F0%9F%98%80",
    "a".repeat(9_000),
  ])("the type %s is 400, naming the field", async (type) => {
    const reply = await sturdy.send({ version, method: "DELETE", path: `${factorsPath}/${type}` });
    expectStatus(reply, { http: 400, code: 3, field: "type" });
  });

  it.each([
    "a%2Fb",
    "a%252Fb",
    "...",
    "..x",
    "%252e%252e",
    ":x",
    "a+b",
    "a%20b",
    "%F0%9F%98%80",
    "__proto__",
    "a".repeat(200),
  ])("the provider %s is an id like any other", async (id) => {
    const reply = await sturdy.send({ version, method: "DELETE", path: `/admin/v1/policies/login/idps/${id}` });
    expectStatus(reply, { http: 404, code: 5 });
  });
  it.each(["%00", "a%00b", "a".repeat(201), "%F0%9F%98%80".repeat(201)])("the provider %s is 400", async (id) => {
    const reply = await sturdy.send({ version, method: "DELETE", path: `/admin/v1/policies/login/idps/${id}` });
    expectStatus(reply, { http: 400, code: 3, field: "idp_id" });
  });

  it.each([
    { name: "a field that the path sets", method: "DELETE", path: `${factorsPath}/1?type=NOPE` },
    { name: "a field of the body", method: "POST", path: `${policyPath}?allowRegister=NOPE` },
    { name: "a message", method: "POST", path: `${policyPath}/idps/_search?query=NOPE` },
  ])("ignores a query that names $name", async ({ method, path }) => {
    const reply = await sturdy.send({ version, method, path });
    expect(reply.status, reply.body.toString()).toBe(200);
  });
  it("ignores a query that names no field", async () => {
    for (const query of [
      "?",
      "?x=1",
      "?policy.isDefault=x&policy.isDefault=y",
      "?__proto__=1&constructor=1&=1&&=",
      "?%",
      "?%ff=%00",
      `?${"a".repeat(9_000)}`,
      "?a?b#c",
    ]) {
      expect((await sturdy.send({ version, method: "GET", path: policyPath + query })).status).toBe(200);
      expect((await sturdy.send({ version, path: read + query, headers: json, body: "{}" })).status).toBe(200);
    }
  });
});

describe("request targets", () => {
  const raw = async (line: string, more = "") => {
    const authorization = `Authorization: Bearer ${sturdy.server.adminToken}\r\n`;
    const client = await rawClient(
      sturdy.server,
      `${line} HTTP/1.1\r\nHost: h\r\n${authorization}Connection: close\r\n${more}\r\n`,
    );
    const answer = await client.closed;
    return { status: Number(answer.slice(9, 12)), answer };
  };
  // RFC 9112, 3.2.2: a server must accept the absolute form.
  it.each([
    { line: `GET http://h${policyPath}`, more: "" },
    { line: `GET https://other.example:1234${policyPath}?x`, more: "" },
    { line: `POST http://h${read}`, more: "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" },
  ])("$line is served", async ({ line, more }) => {
    expect(await raw(line, more)).toMatchObject({ status: 200 });
  });
  it.each([
    { line: "GET http://h", status: 404 },
    { line: "GET http://", status: 404 },
    { line: "GET *", status: 404 },
    { line: "GET nope", status: 400 },
    { line: `GET ${policyPath}\x00`, status: 400 },
    { line: `GET ${policyPath}\x7f`, status: 400 },
    { line: `GET ${policyPath}\xe9`, status: 400 },
    { line: `GET ${policyPath} x`, status: 400 },
    { line: `GET\t${policyPath}`, status: 400 },
    { line: "", status: 400 },
  ])("$line is $status", async ({ line, status }) => {
    const reply = await raw(line);
    expect(reply).toMatchObject({ status });
    expect(bodyOf(reply.answer)).toMatchObject({ code: status === 400 ? 3 : 5, details: [] });
  });
});

describe("OPTIONS *", () => {
  it.each(versions)("is 204, with every method that a route may have, over HTTP/$version", async ({ version }) => {
    const reply = await sturdy.send({ version, method: "OPTIONS", path: "*" });
    expect(reply).toMatchObject({
      status: 204,
      headers: { allow: "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", "cache-control": "no-store" },
    });
    expect(reply.body).toHaveLength(0);
  });
});

describe("hosts", () => {
  /** A request of every protocol on a path of every kind. */
  const requests: readonly (Exchange & { readonly name: string })[] = [
    { name: "REST", method: "GET", path: policyPath },
    { name: "an unknown route", method: "GET", path: "/nope" },
    { name: "Connect", path: read, headers: json, body: "{}" },
    { name: "gRPC-Web", path: read, headers: web, body: nothing },
    { name: "gRPC", version: 2, path: read, headers: grpc, body: nothing },
    { name: "REST over HTTP/2", version: 2, method: "GET", path: policyPath },
    { name: "Connect over HTTP/2", version: 2, path: read, headers: json, body: "{}" },
  ];
  /** What HTTP/2's own parser lets pass. */
  const bad = ["[", "[::1", "h:99999", "h:x", "%", "a%20b"];
  const bad1 = [" ", "a b", "@", "user@h", "a/b", "a?b", "a#b", "a\\b", "<h>"];
  describe.each(requests)("$name", (request) => {
    it.each(request.version === 2 ? bad : [...bad, ...bad1])("%j is 400", async (host) => {
      const named = request.version === 2 ? { ":authority": host } : { host };
      const reply = await sturdy.send({ ...request, headers: { ...request.headers, ...named } });
      expect(outcomeOf(reply)).toMatchObject({
        code: 3,
        httpStatus: /grpc/.test(request.headers?.["content-type"] ?? "") ? 200 : 400,
      });
      expectNoInternals(reply);
    });
    it.each(["h", "h:1", "[::1]:8080", "127.0.0.1", "xn--e1afmkfd.example", "a_b"])("%j is served", async (host) => {
      const named = request.version === 2 ? { ":authority": host } : { host };
      const reply = await sturdy.send({ ...request, headers: { ...request.headers, ...named } });
      expect(outcomeOf(reply).code).toBe(request.path === "/nope" ? 5 : 0);
    });
  });

  it.each(bad1)("%j resets the stream over HTTP/2", async (host) => {
    const session = session2(sturdy.server);
    expect(await resetCode(session.request({ ":path": policyPath, ":authority": host }))).toBe(
      constants.NGHTTP2_PROTOCOL_ERROR,
    );
    expect((await call2(session, { ":path": "/nope" })).status).toBe(404);
  });
  it("neither :authority nor host resets the stream over HTTP/2", async () => {
    const client = await rawClient(sturdy.server, http2Preface);
    // Literal fields without indexing, as RFC 7541, 6.2.2 writes them.
    const field = (name: string, value: string) =>
      Buffer.concat([
        Buffer.from([0, name.length]),
        Buffer.from(name),
        Buffer.from([value.length]),
        Buffer.from(value),
      ]);
    const block = Buffer.concat([field(":method", "GET"), field(":scheme", "http"), field(":path", policyPath)]);
    client.socket.write(Buffer.concat([Buffer.from([0, 0, block.length, 1, 0x05, 0, 0, 0, 1]), block]));
    // RST_STREAM of stream 1 with PROTOCOL_ERROR.
    await client.until(new RegExp(Buffer.from("00000403000000000100000001", "hex").toString("latin1")));
  });
  it("HTTP/1.1 with none or two is 400, HTTP/1.0 with none too", async () => {
    for (const [version, hosts] of [
      ["1.1", ""],
      ["1.1", "Host: a\r\nHost: b\r\n"],
      ["1.0", ""],
    ] as const) {
      const client = await rawClient(
        sturdy.server,
        `GET ${policyPath} HTTP/${version}\r\n${hosts}Connection: close\r\n\r\n`,
      );
      const raw = await client.closed;
      expect(raw).toMatch(/^HTTP\/1\.1 400 /);
      expect(bodyOf(raw)).toMatchObject({ code: 3, details: [] });
    }
  });
});

describe.each(versions)("large headers over HTTP/$version", ({ version }) => {
  /** Fields that fill a request up to so many bytes, path and host included; the token is one of the fields. */
  const fill = (request: Exchange, bytes: number) => {
    const headers = { ...sturdy.auth, ...request.headers };
    const host = `127.0.0.1:${sturdy.server.port}`;
    const connection = version === 1 ? "connectionclose".length : 0;
    const body = request.body === undefined ? 0 : lengthFieldsOf(request);
    const used = Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    const rest = bytes - request.path.length - "host".length - host.length - connection - body - used;
    return { ...headers, "x-fill": "a".repeat(rest - "x-fill".length) };
  };
  // What Node's HTTP/1.1 client adds by itself.
  const lengthFieldsOf = ({ body }: Exchange) =>
    version === 1 ? "content-length".length + String((body as Uint8Array | string).length).length : 0;

  const requests: readonly (Exchange & { readonly name: string; readonly tooLarge: (reply: Reply) => void })[] = [
    { name: "REST", method: "GET", path: policyPath, tooLarge: (reply) => expectStatus(reply, { http: 431, code: 8 }) },
    {
      name: "Connect",
      path: read,
      headers: json,
      body: "{}",
      tooLarge: (reply) => expectConnectError(reply, { http: 431, code: "resource_exhausted" }),
    },
    {
      name: "gRPC-Web",
      path: read,
      headers: web,
      body: nothing,
      tooLarge: (reply) => expect(outcomeOf(reply)).toMatchObject({ code: 8, httpStatus: 200 }),
    },
    ...(version === 2
      ? [
          {
            name: "gRPC",
            path: read,
            headers: grpc,
            body: nothing,
            tooLarge: (reply: Reply) => expect(outcomeOf(reply)).toMatchObject({ code: 8, httpStatus: 200 }),
          },
        ]
      : []),
  ];

  it.each(requests)("$name: 16 KiB are taken, a byte more is not", async (request) => {
    const whole = { ...request, version, headers: fill(request, maxHeaderBytes) };
    expect(outcomeOf(await sturdy.send(whole))).toMatchObject({ code: 0 });
    request.tooLarge(await sturdy.send({ ...request, version, headers: fill(request, maxHeaderBytes + 1) }));
  });
  it.each(requests)("$name: 128 fields are taken, 300 are not", async (request) => {
    const fields = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, "1"]));
    const own = Object.keys(request.headers ?? {}).length + 4;
    const few = { ...request, version, headers: { ...request.headers, ...fields(maxHeaderCount - own) } };
    expect(outcomeOf(await sturdy.send(few))).toMatchObject({ code: 0 });
    request.tooLarge(await sturdy.send({ ...request, version, headers: { ...request.headers, ...fields(300) } }));
  });
});

describe("the headers that decide who calls, and for whom", () => {
  const withToken = (fields: readonly (readonly [string, string])[]) =>
    fields.map(([name, value]) => [name, value.replace("TOKEN", sturdy.server.adminToken)] as const);
  const twice = [
    ["authorization", "Bearer TOKEN"],
    ["authorization", "Bearer TOKEN"],
  ] as const;
  const bad: readonly { name: string; fields: readonly (readonly [string, string])[]; code: number; id?: string }[] = [
    { name: "no Authorization", fields: [], code: 16 },
    { name: "an empty one", fields: [["authorization", ""]], code: 16, id: "AUTH-7fs1e" },
    { name: "two of them", fields: twice, code: 16, id: "AUTH-7fs1e" },
    {
      name: "a good and a bad one",
      fields: [
        ["authorization", "Bearer TOKEN"],
        ["authorization", "Basic YTpi"],
      ],
      code: 16,
      id: "AUTH-7fs1e",
    },
    { name: "a token alone", fields: [["authorization", "TOKEN"]], code: 16, id: "AUTH-7fs1e" },
    { name: "a scheme alone", fields: [["authorization", "Bearer"]], code: 16, id: "AUTH-7fs1e" },
    { name: "the scheme in upper case", fields: [["authorization", "BEARER TOKEN"]], code: 16, id: "AUTH-7fs1e" },
    { name: "two blanks", fields: [["authorization", "Bearer  TOKEN"]], code: 16, id: "AUTH-7fs1e" },
    { name: "a token cut short", fields: [["authorization", "Bearer portcullis_"]], code: 16, id: "AUTH-7fs1e" },
    { name: "a token with more behind", fields: [["authorization", "Bearer TOKEN x"]], code: 16, id: "AUTH-7fs1e" },
    { name: "a long token", fields: [["authorization", `Bearer ${"a".repeat(8_000)}`]], code: 16, id: "AUTH-7fs1e" },
    { name: "a token that is no ASCII", fields: [["authorization", "Bearer \xe9\xff"]], code: 16, id: "AUTH-7fs1e" },
    { name: "a token in the query alone", fields: [["x-token", "TOKEN"]], code: 16 },
    {
      name: "two x-zitadel-orgid",
      fields: [
        ["authorization", "Bearer TOKEN"],
        ["x-zitadel-orgid", "1"],
        ["x-zitadel-orgid", "2"],
      ],
      code: 3,
    },
    {
      name: "two that agree",
      fields: [
        ["authorization", "Bearer TOKEN"],
        ["x-zitadel-orgid", "1"],
        ["X-Zitadel-Orgid", "1"],
      ],
      code: 3,
    },
    {
      name: "an organization that is no ASCII",
      fields: [
        ["authorization", "Bearer TOKEN"],
        ["x-zitadel-orgid", "\xe9"],
      ],
      code: 7,
      id: "AUTH-Bs7Ds",
    },
  ];
  const http = { 16: 401, 3: 400, 7: 403 } as Readonly<Record<number, number>>;

  it.each(bad)("$name, over HTTP/1.1", async ({ fields, code, id }) => {
    const lines = withToken(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    const requests = [
      { head: `GET ${policyPath}?access_token=${sturdy.server.adminToken} HTTP/1.1\r\n`, tail: "\r\n" },
      { head: `POST ${read} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n`, tail: "\r\n{}" },
    ];
    for (const { head, tail } of requests) {
      const client = await rawClient(sturdy.server);
      client.socket.write(Buffer.from(`${head}Host: h\r\nConnection: close\r\n${lines.join("")}${tail}`, "latin1"));
      const raw = await client.closed;
      expect(raw).toMatch(new RegExp(`^HTTP/1\\.1 ${http[code]} `));
      if (id !== undefined) expect(raw).toContain(id);
      expect(raw).not.toContain(sturdy.server.adminToken);
    }
    const client = await rawClient(sturdy.server);
    const head = `POST ${read} HTTP/1.1\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 5\r\n`;
    client.socket.write(
      Buffer.from(`${head}Host: h\r\nConnection: close\r\n${lines.join("")}\r\n\0\0\0\0\0`, "latin1"),
    );
    expect(await client.closed).toMatch(new RegExp(`grpc-status: ${code}\\r\\n`));
  });

  it.each(bad)("$name, over HTTP/2", async ({ fields, code, id }) => {
    const session = session2(sturdy.server);
    const flat = withToken(fields).flatMap(([name, value]) => [name.toLowerCase(), value]);
    const rest = await call2(session, [":method", "GET", ":path", policyPath, ...flat]);
    expect(rest.status).toBe(http[code]);
    expect(JSON.parse(rest.body)).toMatchObject({ code });
    if (id !== undefined) expect(rest.body).toContain(id);

    const stream = session.request(
      [":method", "POST", ":path", read, "content-type", "application/grpc", "te", "trailers", ...flat] as never,
      { endStream: false },
    );
    stream.end(nothing);
    let status: unknown;
    stream.on("response", (headers) => {
      status = headers["grpc-status"];
    });
    stream.on("trailers", (trailers) => {
      status ??= trailers["grpc-status"];
    });
    stream.resume();
    await once(stream, "end");
    expect(status).toBe(String(code));
  });

  describe("is not taken for absent where it cannot be read", () => {
    const organization = "x-zitadel-orgid: 999";
    const padded = [" 999", "999 ", "\t999", "999\t", " ", "\t"];
    const control = ["\0", "\r", "\n", "\x01", "\x1f", "\x7f"].flatMap((one) => [`999${one}`, `${one}999`, `9${one}9`]);

    async function over1(lines: string): Promise<string> {
      const client = await rawClient(sturdy.server);
      const head = `GET ${policyPath} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n`;
      client.socket.write(`${head}Authorization: Bearer ${sturdy.server.adminToken}\r\n${lines}\r\n\r\n`, "latin1");
      return client.closed;
    }

    /** The start of the answer's body, or that the stream was reset. */
    async function over2(fields: Readonly<Record<string, string>>, type?: string): Promise<string> {
      const client = await frameClient(sturdy.server);
      const call = type ? { ":method": "POST", ":path": read } : { ":method": "GET", ":path": policyPath };
      const pseudo = { ...call, ":scheme": "http", ":authority": "h" };
      const own = { authorization: `Bearer ${sturdy.server.adminToken}`, ...(type && { "content-type": type }) };
      client.write(headersFrame(1, { ...pseudo, ...own, ...fields }, type === undefined));
      if (type) client.write(dataFrame(1, nothing, true));
      const frame = await client.next("data", "reset");
      return frame.name === "reset" ? "reset" : frame.payload.toString();
    }

    it.each(control.filter((value) => !/^[\r\n]|[\r\n]$/.test(value)))("%j, over HTTP/1.1", async (value) => {
      expect(await over1(`x-zitadel-orgid: ${value}`)).toMatch(/^HTTP\/1\.1 400 /);
    });

    it.each([
      "x-zitadel-orgid : 999",
      "x-zitadel-orgid\0: 999",
      "x-zitadel-orgid\t: 999",
      "\x01x-zitadel-orgid: 999",
      "x-zitadel-orgid",
      `x-other: 1\n${organization}`,
      `x-other: 1\r${organization}`,
      "x-zitadel-orgid:\r\n 999",
      "x-zitadel-orgid: 9\r\n\t99",
      ` ${organization}`,
    ])("the lines %j, over HTTP/1.1", async (lines) => {
      // Another organization, which is none of ours, or no HTTP.
      expect(await over1(lines)).toMatch(/^HTTP\/1\.1 40[03] /);
    });

    it.each(padded)("%j with blanks around it, over HTTP/1.1 and HTTP/2", async (value) => {
      // Over HTTP/1.1, blanks around a value are no part of it.
      const [status] = /^HTTP\/1\.1 \d+/.exec(await over1(`x-zitadel-orgid: ${value}`)) ?? [];
      expect(status).toBe(value.trim() === "" ? "HTTP/1.1 200" : "HTTP/1.1 403");
      const refusal = "A header's value begins or ends with a blank";
      expect(await over2({ "x-zitadel-orgid": value })).toContain(refusal);
      expect(await over2({ "x-zitadel-orgid": value }, "application/grpc")).toContain(refusal);
    });

    it.each(["X-Zitadel-Orgid", ":x-zitadel-orgid"])("the name %j, over HTTP/2", async (name) => {
      expect(await over2({ [name]: "999" })).toBe("reset");
    });

    // nghttp2 drops such a field, and Node 24 lets nobody see it. docs/security.md says so; this fails once it is refused.
    it.fails.each(control)("%j, over HTTP/2", async (value) => {
      expect(await over2({ "x-zitadel-orgid": value })).toMatch(/^(reset$|\{"code":)/);
    });
  });

  it("an empty x-zitadel-orgid is none", async () => {
    for (const { version } of versions) {
      const reply = await sturdy.send({ version, method: "GET", path: policyPath, headers: { "x-zitadel-orgid": "" } });
      expect(reply.status).toBe(200);
    }
  });
});
