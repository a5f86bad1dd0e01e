import { once } from "node:events";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { createServer, request } from "node:http";
import { connect, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { corsDefaults, withCors } from "../../../../src/rpc/http/cors.ts";
import type { ListenerHandler } from "../../../../src/rpc/listener/handler.ts";

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const app = "https://app.example";
const policy = { origins: [app, "http://localhost:3000"] };
const ok: ListenerHandler = (_req, res) => {
  res.end();
};

interface Call {
  handler?: ListenerHandler;
  policy?: Parameters<typeof withCors>[1];
  method?: string;
  headers?: OutgoingHttpHeaders;
}

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  body: string;
}

// Node's response classes of both versions, over sockets: they differ in how writeHead merges headers.
const versions = [
  {
    name: "HTTP/1.1",
    call: async ({ handler = ok, policy: given = policy, method = "POST", headers = {} }: Call): Promise<Answer> => {
      const server = createServer(withCors(handler, given)).listen(0, "127.0.0.1");
      cleanups.push(() => server.close());
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const req = request({ port, host: "127.0.0.1", method, headers, agent: false }).end();
      const [res] = await once(req, "response");
      let body = "";
      for await (const chunk of res) body += chunk;
      return { status: res.statusCode, headers: res.headers, body };
    },
  },
  {
    name: "HTTP/2",
    call: async ({ handler = ok, policy: given = policy, method = "POST", headers = {} }: Call): Promise<Answer> => {
      const server = createHttp2Server(withCors(handler, given)).listen(0, "127.0.0.1");
      await once(server, "listening");
      const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      cleanups.push(() => session.close() ?? server.close());
      const stream = session.request({ ":method": method, ":path": "/", ...headers }, { endStream: true });
      const [received] = await once(stream, "response");
      let body = "";
      for await (const chunk of stream) body += chunk;
      return { status: received[":status"], headers: received, body };
    },
  },
];

const list = (value: unknown) => String(value).toLowerCase().split(", ");

describe.each(versions)("withCors, $name", ({ call }) => {
  const preflight = (origin: string) => ({
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization" },
  });
  const untouched: ListenerHandler = () => {
    throw new Error("the handler was called");
  };

  it("answers a preflight from an allowed origin with 204, before the handler", async () => {
    const { status, headers, body } = await call({ handler: untouched, ...preflight(app) });
    expect(status).toBe(204);
    expect(body).toBe("");
    expect(headers).toMatchObject({
      "access-control-allow-origin": app,
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, HEAD",
      "access-control-max-age": "7200",
      vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    });
    expect(list(headers["access-control-allow-headers"])).toEqual(
      expect.arrayContaining(["authorization", "content-type"]),
    );
    expect(headers).not.toHaveProperty("access-control-allow-credentials");
  });

  it("allows every header of a beginning that a page asks for, and none that is no name", async () => {
    const wide = { ...policy, allowHeaders: ["x-own", "grpc-metadata-*"] };
    const ask = async (asked: string | undefined) => {
      const headers = {
        origin: app,
        "access-control-request-method": "POST",
        ...(asked !== undefined && { "access-control-request-headers": asked }),
      };
      const answer = await call({ handler: untouched, policy: wide, method: "OPTIONS", headers });
      return answer.headers["access-control-allow-headers"];
    };
    expect(await ask("content-type,grpc-metadata-x-zitadel-orgid, Grpc-Metadata-B,x-else")).toBe(
      "x-own, grpc-metadata-x-zitadel-orgid, grpc-metadata-b",
    );
    expect(await ask("grpc-metadata,grpc-metadata-a b,grpc-metadata-<x>,,")).toBe("x-own");
    expect(await ask(undefined)).toBe("x-own");
  });

  it("lets pages send the headers of every protocol", async () => {
    const { headers } = await call({ handler: untouched, ...preflight(app) });
    expect(list(headers["access-control-allow-headers"])).toEqual(
      expect.arrayContaining([
        "connect-protocol-version",
        "connect-timeout-ms",
        "grpc-timeout",
        "x-grpc-web",
        "x-user-agent",
        "connect-content-encoding",
        "connect-accept-encoding",
        "x-server-timeout",
        "if-match",
        "if-none-match",
        "last-event-id",
        // What Grpc.Net.Client.Web and Dart's grpc send besides.
        "grpc-encoding",
        "grpc-accept-encoding",
        "grpc-previous-rpc-attempts",
      ]),
    );
  });

  it.each([`${app}.evil.example`, "http://app.example", "https://app.example:8443", "null"])(
    "answers a preflight from %s with 403 and a Status body",
    async (origin) => {
      const { status, headers, body } = await call({ handler: untouched, ...preflight(origin) });
      expect(status).toBe(403);
      expect(JSON.parse(body)).toEqual({ code: 7, message: "This origin may not call this server.", details: [] });
      expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
      expect(list(headers["vary"])).toContain("origin");
    },
  );

  it("allows every origin with *", async () => {
    const any = { ...policy, origins: ["*"] };
    const first = await call({ policy: any, ...preflight("https://anyone.example") });
    expect(first).toMatchObject({ status: 204, headers: { "access-control-allow-origin": "*" } });
    const second = await call({ policy: any, headers: { origin: "https://anyone.example" } });
    expect(second).toMatchObject({ status: 200, headers: { "access-control-allow-origin": "*" } });
  });

  it("adds allow-origin, expose-headers and Vary to an answer for an allowed origin", async () => {
    const { headers } = await call({ headers: { origin: app } });
    expect(headers).toMatchObject({ "access-control-allow-origin": app, vary: "Origin" });
    expect(list(headers["access-control-expose-headers"])).toEqual(
      expect.arrayContaining([
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "grpc-encoding",
        "grpc-accept-encoding",
        "grpc-retry-pushback-ms",
        "content-encoding",
        "connect-content-encoding",
        "connect-accept-encoding",
        "accept-encoding",
        "accept-post",
        "allow",
        "retry-after",
        "etag",
        "www-authenticate",
      ]),
    );
    expect(headers).not.toHaveProperty("access-control-allow-credentials");
  });

  it("passes requests of foreign origins on, without CORS headers", async () => {
    const { status, headers } = await call({ headers: { origin: "https://evil.example" } });
    expect(status).toBe(200);
    expect(headers).not.toHaveProperty("access-control-allow-origin");
    expect(headers).toHaveProperty("vary", "Origin");
  });

  it("without an Origin marks only answers that a cache may keep", async () => {
    expect((await call({ method: "GET" })).headers).toHaveProperty("vary", "Origin");
    expect((await call({ method: "POST" })).headers).not.toHaveProperty("vary");
  });

  it.each([
    { title: "no policy", given: { policy: { ...policy, origins: [] }, ...preflight(app) } },
    { title: "OPTIONS that is no preflight", given: { method: "OPTIONS", headers: { origin: app } } },
    { title: "OPTIONS without an Origin", given: { method: "OPTIONS" } },
  ])("leaves to the handler: $title", async ({ given }) => {
    const handler: ListenerHandler = (_req, res) => {
      res.statusCode = 405;
      res.end();
    };
    expect((await call({ handler, ...given })).status).toBe(405);
  });

  it.each([
    { title: "setHeader", set: (res: ServerResponse) => res.setHeader("Vary", "Accept-Encoding") },
    {
      title: "writeHead with an object",
      set: (res: ServerResponse) => res.writeHead(200, { Vary: "Accept-Encoding" }),
    },
    {
      title: "writeHead with a message",
      set: (res: ServerResponse) => res.writeHead(200, "OK", { vary: "Accept-Encoding" }),
    },
  ])("keeps the handler's own Vary beside Origin: $title", async ({ set }) => {
    const handler: ListenerHandler = (_req, res) => {
      set(res as ServerResponse);
      res.end();
    };
    const { headers } = await call({ handler, headers: { origin: app } });
    expect(headers).toMatchObject({ vary: "Accept-Encoding, Origin", "access-control-allow-origin": app });
  });

  it("survives connect-node's writeHead, whose headers and Vary stay too", async () => {
    const handler: ListenerHandler = (_req, res) => {
      const header = new Headers({ "content-type": "application/json", vary: "Accept-Encoding", etag: '"1"' });
      const body = (async function* () {
        yield new TextEncoder().encode("{}");
      })();
      universalResponseToNodeResponse({ status: 200, header, body }, res).catch(() => {});
    };
    const { status, headers, body } = await call({ handler, headers: { origin: app } });
    expect({ status, body }).toEqual({ status: 200, body: "{}" });
    expect(headers).toMatchObject({
      "access-control-allow-origin": app,
      "access-control-expose-headers": corsDefaults.exposeHeaders.join(", "),
      "content-type": "application/json",
      etag: '"1"',
      vary: "Accept-Encoding, Origin",
    });
  });
});
