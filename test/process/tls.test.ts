import { copyFileSync, readFileSync } from "node:fs";
import { connect } from "node:http2";
import { request } from "node:https";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ServerProcess, startServer, TemporaryDirectory } from "./portcullis.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const certFile = fixture("localhost.cert.pem");
const keyFile = fixture("localhost.key.pem");
const ca = readFileSync(certFile, "utf8");
const path = "/admin/v1/policies/login";

describe.each([
  ["flags", { flags: ["--tls-cert", certFile, "--tls-key", keyFile] }],
  ["the environment", { env: { PORTCULLIS_TLS_CERT: certFile, PORTCULLIS_TLS_KEY: keyFile } }],
])("TLS by %s", (_, options) => {
  let directory: TemporaryDirectory;
  let server: ServerProcess;
  beforeAll(async () => {
    directory = new TemporaryDirectory();
    server = await startServer({ data: directory.join("data"), ...options });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  it("names an https URL", () => {
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:[1-9]\d*$/);
  });

  it("serves HTTP/1.1", async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${server.adminToken}` };
      const sent = request(server.url + path, { ca, headers, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.once("error", reject);
      sent.end();
    });
    expect(status).toBe(200);
  });

  it("serves HTTP/2", async () => {
    const session = connect(server.url, { ca });
    try {
      const status = await new Promise((resolve, reject) => {
        session.once("error", reject);
        const stream = session.request({ ":path": path, authorization: `Bearer ${server.adminToken}` });
        stream.once("error", reject);
        stream.once("response", (headers) => resolve(headers[":status"]));
        stream.resume();
      });
      expect(status).toBe(200);
    } finally {
      session.close();
    }
  });

  it.each([
    [["h2", "http/1.1"], "h2"],
    [["http/1.1"], "http/1.1"],
    [undefined, false],
  ])("answers %j in the handshake with %j", async (offered, chosen) => {
    const { port } = new URL(server.url);
    const protocol = await new Promise((resolve, reject) => {
      const options = { port: Number(port), host: "127.0.0.1", ca, ...(offered && { ALPNProtocols: offered }) };
      const socket = connectTls(options, () => {
        resolve(socket.alpnProtocol);
        socket.destroy();
      });
      socket.once("error", reject);
    });
    expect(protocol).toBe(chosen);
  });
});

describe.concurrent("a server with TLS", () => {
  /** The name of the certificate that new connections get. */
  const serialOf = (server: ServerProcess): Promise<string> =>
    new Promise((resolve, reject) => {
      const { hostname: host, port } = new URL(server.url);
      const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"] }, () => {
        resolve(socket.getPeerCertificate().serialNumber);
        socket.destroy();
      });
      socket.once("error", reject);
    });

  it("takes a certificate that is renewed, without a restart", async () => {
    using directory = new TemporaryDirectory();
    const [cert, tlsKey] = [directory.join("cert.pem"), directory.join("key.pem")];
    const place = (name: string) => {
      copyFileSync(fixture(`${name}.cert.pem`), cert);
      copyFileSync(fixture(`${name}.key.pem`), tlsKey);
    };
    place("localhost");
    const flags = ["--tls-cert", cert, "--tls-key", tlsKey];
    await using server = await startServer({ data: directory.join("data"), flags });
    const before = await serialOf(server);
    place("second");
    await vi.waitUntil(async () => (await serialOf(server)) !== before, { interval: 200, timeout: 60_000 });
    expect(server.stderr).toContain("the certificate has changed");
    expect((await server.stop()).exitCode).toBe(0);
  });

  it("serves only clients with a certificate where it asks for one", async () => {
    using directory = new TemporaryDirectory();
    const flags = ["--tls-cert", certFile, "--tls-key", keyFile, "--tls-client-ca", fixture("client-ca.cert.pem")];
    await using server = await startServer({ data: directory.join("data"), flags });
    const statusWith = (client: object) =>
      new Promise((resolve) => {
        const headers = { authorization: `Bearer ${server.adminToken}` };
        const sent = request(server.url + path, { ca, headers, agent: false, ...client }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        sent.once("error", () => resolve("refused"));
        sent.end();
      });
    const own = { cert: readFileSync(fixture("client.cert.pem")), key: readFileSync(fixture("client.key.pem")) };
    const foreign = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
    expect(await statusWith(own)).toBe(200);
    expect(await statusWith(foreign)).toBe("refused");
    expect(await statusWith({})).toBe("refused");
  });
});
