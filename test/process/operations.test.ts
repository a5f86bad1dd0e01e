// What operators see of a server: readiness, metrics, logs, traces, settings.
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe, expect, it } from "vitest";
import { freePort, OwnServer } from "../fixtures/postgres.ts";
import { runCommand, type ServerProcess, startServer, TemporaryDirectory, until } from "./portcullis.ts";

const listPath = "/management/v1/policies/login/second_factors/_search";

const list = (server: ServerProcess, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  fetch(server.url + listPath, {
    method: "POST",
    headers: { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json", ...headers },
    body: "{}",
  });

const statusOf = async (url: string): Promise<number> => (await fetch(url)).status;

/** The JSON lines of a log. */
const entries = (stderr: string): Record<string, unknown>[] =>
  stderr
    .split("\n")
    .filter((line) => line.startsWith("{") && line.endsWith("}"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe.concurrent("/debug", () => {
  it("says that the process lives and is ready, and counts calls by protocol, method and code", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    expect((await list(server)).status).toBe(200);
    expect((await list(server, { authorization: "Bearer wrong" })).status).toBe(401);
    expect(await statusOf(`${server.url}/made/up/${"x".repeat(10)}`)).toBe(404);
    for (const path of ["/debug/healthz", "/debug/ready", "/management/v1/healthz", "/auth/v1/healthz"]) {
      expect([path, await statusOf(server.url + path)]).toEqual([path, 200]);
    }
    expect(await (await fetch(`${server.url}/admin/v1/healthz`)).json()).toEqual({});
    // Both sides stream, which HTTP/1.1 cannot.
    const streams = `${server.url}/grpc.reflection.v1.ServerReflection/ServerReflectionInfo`;
    const headers = { "content-type": "application/connect+proto" };
    expect((await fetch(streams, { method: "POST", headers, body: "" })).status).toBe(505);
    await (await fetch(`${server.url}/openapi.json`)).text();
    const metrics = await (await fetch(`${server.url}/debug/metrics`)).text();
    const count = (code: string) =>
      `portcullis_rpc_duration_seconds_count{protocol="rest",service="zitadel.management.v1.ManagementService",method="ListLoginPolicySecondFactors",code="${code}"} 1\n`;
    expect(metrics).toContain(count("OK"));
    expect(metrics).toContain(count("UNAUTHENTICATED"));
    expect(metrics).toContain('method="unknown",code="NOT_FOUND"} 1\n');
    expect(metrics).toContain('method="ServerReflectionInfo",code="UNIMPLEMENTED"} 1\n');
    expect(metrics).not.toContain("made");
    expect(metrics).toMatch(/^portcullis_store_duration_seconds_count\{operation="read"\} [1-9]/m);
    expect(metrics).toMatch(/^portcullis_store_commit_commands_count [1-9]/m);
    expect(metrics).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
    expect(metrics).toMatch(/^portcullis_connections_open [1-9]/m);
    expect(metrics).toContain(
      'portcullis_http_duration_seconds_count{route="/openapi.json",method="GET",status="200"} 1',
    );
    expect(metrics).toMatch(/^portcullis_network_bytes_total\{direction="received"\} [1-9]/m);
    // From the start, so that the first one counts as a rise.
    expect(metrics).toMatch(/^portcullis_connections_cut_total\{reason="tls_handshake"\} 0$/m);
  });

  it("is served at an address of its own where it has one", async () => {
    using directory = new TemporaryDirectory();
    const port = await freePort();
    const flags = ["--debug-listen", `127.0.0.1:${port}`];
    await using server = await startServer({ data: directory.join("data"), flags });
    expect(await statusOf(`http://127.0.0.1:${port}/debug/ready`)).toBe(200);
    expect(await statusOf(`${server.url}/debug/ready`)).toBe(404);
    expect(await statusOf(`http://127.0.0.1:${port}${listPath}`)).toBe(404);
    // Callers of the API have always found it there.
    expect(await statusOf(`${server.url}/management/v1/healthz`)).toBe(200);
    expect((await server.stop()).exitCode).toBe(0);
  });

  it("says that the server drains, while it still serves", async () => {
    using directory = new TemporaryDirectory();
    const port = await freePort();
    const flags = ["--debug-listen", `127.0.0.1:${port}`, "--drain-delay", "60000"];
    await using server = await startServer({ data: directory.join("data"), flags });
    server.kill("SIGTERM");
    await until(
      () => statusOf(`http://127.0.0.1:${port}/debug/ready`),
      (status) => status === 503,
    );
    expect(await (await fetch(`http://127.0.0.1:${port}/debug/ready`)).text()).toBe("not ready: draining\n");
    expect(await statusOf(`http://127.0.0.1:${port}/debug/healthz`)).toBe(200);
    expect((await list(server)).status).toBe(200);
  });

  it("says that the database is away, and when it is back", { timeout: 60_000 }, async () => {
    using directory = new TemporaryDirectory();
    const database = new OwnServer();
    try {
      await database.start();
      const env = { PORTCULLIS_STORE: database.url };
      await using server = await startServer({ data: directory.join("data"), env });
      const ready = () => statusOf(`${server.url}/debug/ready`);
      expect(await ready()).toBe(200);
      await database.kill();
      await server.wroteErrors((stderr) => stderr.includes("the store cannot be used: the server is not ready"));
      expect(await ready()).toBe(503);
      expect(await statusOf(`${server.url}/debug/healthz`)).toBe(200);
      await database.start();
      await server.wroteErrors((stderr) => stderr.includes("the store works again: the server is ready"));
      expect(await ready()).toBe(200);
      expect((await list(server)).status).toBe(200);
    } finally {
      await database.stop();
    }
  });
});

describe.concurrent("the log", () => {
  it("has a line for each call at the level debug, with the caller's own id and nothing secret", async () => {
    using directory = new TemporaryDirectory();
    const flags = ["--log-level", "debug", "--trusted-proxy", "127.0.0.1"];
    await using server = await startServer({ data: directory.join("data"), flags });
    await list(server, { "x-request-id": "from-the-proxy/1", "x-forwarded-for": "203.0.113.7" });
    await list(server, { authorization: "Bearer a-secret-of-somebody", "x-request-id": "two\u00a0words" });
    await list(server, { "x-request-id": server.adminToken });
    // What is not served has its path, without what its query may hold, and only as much of it as finds a mistake.
    await fetch(`${server.url}/zitadel.org.v2.OrganizationService/AddOrganization?token=a-secret-of-somebody`);
    await fetch(`${server.url}/${"x".repeat(5_000)}`);
    const callsIn = (stderr: string) => entries(stderr).filter(({ msg }) => msg === "call");
    await server.wroteErrors((stderr) => callsIn(stderr).length === 5);
    const calls = callsIn(server.stderr);
    expect(calls.slice(3).map(({ call }) => call)).toEqual([
      "GET /zitadel.org.v2.OrganizationService/AddOrganization",
      `GET /${"x".repeat(251)}`,
    ]);
    expect(calls[0]).toMatchObject({
      level: 20,
      requestId: "from-the-proxy/1",
      client: "203.0.113.7",
      protocol: "rest",
      call: "zitadel.management.v1.ManagementService/ListLoginPolicySecondFactors",
      code: "OK",
      ms: expect.any(Number),
    });
    expect(calls[1]).toMatchObject({ requestId: expect.stringMatching(/^[0-9a-f]{24}$/), code: "UNAUTHENTICATED" });
    expect(server.stderr).not.toContain("a-secret-of-somebody");
    expect(server.stderr).not.toContain(server.adminToken);
  });

  it("has a line for each answer of the issuer too, without what is secret in its address", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data"), flags: ["--dev", "--log-level", "debug"] });
    const guess = { method: "POST", headers: { authorization: `Basic ${btoa("robot:a-guess")}` } };
    const body = new URLSearchParams({ grant_type: "client_credentials" });
    expect((await fetch(`${server.url}/oauth/v2/token`, { ...guess, body })).status).toBe(401);
    await fetch(`${server.url}/sign-in/an-id-of-somebody?code=hush`);
    const linesIn = (stderr: string) => entries(stderr).filter(({ msg }) => msg === "request");
    await server.wroteErrors((stderr) => linesIn(stderr).length === 2);
    const lines = linesIn(server.stderr);
    const token = { method: "POST", route: "/oauth/v2/token", status: "401" };
    expect(lines).toMatchObject([token, { method: "GET", route: "/sign-in/*" }]);
    for (const secret of ["a-guess", "an-id-of", "hush"]) expect(server.stderr).not.toContain(secret);
    const metrics = await (await fetch(`${server.url}/debug/metrics`)).text();
    expect(metrics).toContain(
      'portcullis_http_duration_seconds_count{route="/oauth/v2/token",method="POST",status="401"} 1',
    );
  });

  it("tells of connections that a stop had to cut", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname).on("error", () => {});
    // A request that never ends.
    const head = `POST ${listPath} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${server.adminToken}\r\n`;
    socket.write(`${head}Content-Type: application/grpc-web+proto\r\nContent-Length: 100\r\n\r\n`);
    const open = async () => (await (await fetch(`${server.url}/debug/metrics`)).text()).includes("rpc_in_flight 1");
    await until(open, (isOpen) => isOpen);
    const { exitCode } = await server.stop();
    expect(exitCode).toBe(0);
    const complaints = entries(server.stderr).filter(({ level }) => level !== 30);
    expect(complaints.map(({ level, msg, connections }) => ({ level, msg, connections }))).toEqual([
      { level: 40, msg: "cutting connections that are still in use at the end of the grace period", connections: 1 },
    ]);
  });

  it("has a line of the start and one of the stop, with what was asked for and without its secrets", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const env = { PORTCULLIS_ADMIN_TOKEN: "a-secret-that-is-long-enough-to-be-taken" };
    await using server = await startServer({
      data,
      env,
      flags: ["--drain-delay", "1", "--cors-origin", "https://a.example"],
    });
    await server.stop();
    const about = {
      level: 30,
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      url: server.url,
      store: `sqlite:${data}/portcullis.db`,
      settings: {
        "--listen": "127.0.0.1:0",
        "--data": data,
        "--drain-delay": "1",
        "--cors-origin": ["https://a.example"],
        "admin token": "(hidden)",
      },
    };
    expect(entries(server.stderr)).toMatchObject([
      { ...about, msg: "serving" },
      { ...about, msg: "stopped", signal: "SIGTERM" },
    ]);
    expect(server.stderr).not.toContain("a-secret");
  });

  it("warns of a variable that is probably misspelt, and of none that Kubernetes sets", async () => {
    using directory = new TemporaryDirectory();
    const env = {
      PORTCULLIS_LISTN: "a-secret",
      PORTCULLIS_PORT: "tcp://10.0.0.1:8080",
      PORTCULLIS_SERVICE_HOST: "10.0.0.1",
    };
    await using server = await startServer({ data: directory.join("data"), env });
    await server.stop();
    const warnings = entries(server.stderr).filter(({ level }) => level === 40);
    const sentence = "PORTCULLIS_LISTN is not a setting and is ignored: did you mean PORTCULLIS_LISTEN?";
    expect(warnings.map(({ msg }) => msg)).toEqual([sentence]);
    expect(server.stderr).not.toContain("a-secret");
    const { stderr } = await runCommand(["config", "print"], { env });
    expect(stderr).toBe(`portcullis: ${sentence}\n`);
  });

  it("is text where that is asked for", async () => {
    using directory = new TemporaryDirectory();
    const flags = ["--log-format", "text", "--log-level", "debug"];
    await using server = await startServer({ data: directory.join("data"), flags });
    await list(server);
    await server.wroteErrors((stderr) => stderr.includes("ListLoginPolicySecondFactors"));
    // In a file there is no colour.
    expect(server.stderr).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: serving \{.*"--log-format":"text".*\}\n/);
    expect(server.stderr).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] DEBUG: call \{.*"code":"OK".*\}\n/m);
  });

  it("warns where tokens cross a network in plaintext", async () => {
    using directory = new TemporaryDirectory();
    const warned = async (flags: readonly string[]) => {
      await using server = await startServer({ data: directory.join(`data-${flags.length}`), flags });
      await server.stop();
      return server.stderr.includes("tokens cross the network in plaintext");
    };
    expect(await warned(["--listen", "0.0.0.0:0"])).toBe(true);
    expect(await warned([])).toBe(false);
    expect(await warned(["--listen", "0.0.0.0:0", "--trusted-proxy", "10.0.0.1"])).toBe(false);
  });
});

describe.concurrent("traces", () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  it("go on from the caller's, and out where the environment says", async () => {
    using directory = new TemporaryDirectory();
    await using collector = await startCollector();
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_SERVICE_NAME: "gate",
    };
    await using server = await startServer({ data: directory.join("data"), env, flags: ["--log-level", "debug"] });
    await list(server, { traceparent });
    await list(server, { traceparent, authorization: "Bearer wrong" });
    const callsIn = (stderr: string) => entries(stderr).filter(({ msg }) => msg === "call");
    await server.wroteErrors((stderr) => callsIn(stderr).length === 2);
    const calls = callsIn(server.stderr);
    const trace = { trace_id: "0af7651916cd43dd8448eb211c80319c", span_id: expect.stringMatching(/^[0-9a-f]{16}$/) };
    expect(calls).toMatchObject([trace, trace]);
    // What has not been sent is sent at the end.
    expect((await server.stop()).exitCode).toBe(0);
    const sent = JSON.stringify(collector.received);
    expect(sent).toContain('"service.name","value":{"stringValue":"gate"}');
    expect(sent).toContain('"traceId":"0af7651916cd43dd8448eb211c80319c"');
    for (const { span_id: spanId } of calls) expect(sent).toContain(`"spanId":"${spanId}"`);
    expect(sent).toContain('"parentSpanId":"b7ad6b7169203331"');
    expect(sent).toContain('"name":"zitadel.management.v1.ManagementService/ListLoginPolicySecondFactors"');
    expect(sent).toContain('"rpc.response.status_code","value":{"stringValue":"UNAUTHENTICATED"}');
    expect(sent).not.toContain(server.adminToken);
    // Of the command line, which may name the store with its password, nothing.
    expect(sent).not.toContain(directory.path);
  });

  it("hold up no stop where nobody takes them", async () => {
    using directory = new TemporaryDirectory();
    // Nothing listens on port 9, so the SDK would go on trying.
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" };
    await using server = await startServer({ data: directory.join("data"), env });
    await list(server, { traceparent });
    const startedAt = performance.now();
    const { exitCode, stderr } = await server.stop();
    expect(exitCode).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(stderr).toContain("the last traces could not be sent");
  });

  it("are told of in the log where they cannot be exported, and what is not understood", async () => {
    using directory = new TemporaryDirectory();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_TRACES_SAMPLER: "never-heard-of" };
    await using server = await startServer({ data: directory.join("data"), env });
    await server.wroteErrors((stderr) => stderr.includes("never-heard-of"));
    expect(entries(server.stderr)[0]).toMatchObject({ level: 40, msg: expect.stringMatching(/^traces: /) });
  });
});

describe.concurrent("config print", () => {
  it("prints every setting, where it comes from, and no secret", async () => {
    const env = {
      PORTCULLIS_STORE: "postgres://gate:p%40ss/word@db.example/portcullis?sslpassword=hush&sslmode=require",
      PORTCULLIS_ADMIN_TOKEN: "a-token-of-32-characters-exactly",
      PORTCULLIS_CORS_ORIGIN: "https://a.example, https://b.example",
    };
    const { exitCode, stdout } = await runCommand(["config", "print", "--listen", "[::1]:1", "--json"], { env });
    expect(exitCode).toBe(0);
    for (const secret of ["ss/word", "hush", env.PORTCULLIS_ADMIN_TOKEN]) expect(stdout).not.toContain(secret);
    const rows = JSON.parse(stdout) as { setting: string; value: unknown; source: string }[];
    const row = (setting: string) => rows.find((one) => one.setting === setting);
    expect(row("--listen")).toMatchObject({ value: "[::1]:1", source: "flag" });
    expect(row("--store")).toMatchObject({
      value: "postgres://(hidden)@db.example/portcullis?sslpassword=(hidden)&sslmode=require",
      source: "environment",
    });
    expect(row("--cors-origin")).toMatchObject({ value: ["https://a.example", "https://b.example"] });
    expect(row("--data")).toMatchObject({ value: "./data", source: "default" });
    expect(row("admin token")).toMatchObject({ value: "(hidden)", source: "environment" });
    for (const store of [
      "POSTGRES://u:secret@h/db",
      "postgres://h/db?user=u&pass%77ord=secret",
      "postgres://u:secret",
      "mysql://u:secret@h",
      " postgres://u:secret@h/d",
    ]) {
      const { stdout: printed, stderr } = await runCommand(["config", "print", "--store", store]);
      expect(printed + stderr).not.toContain("secret");
    }
    const text = await runCommand(["config", "print"]);
    expect(text.stdout).toMatch(
      /^SETTING +VALUE +FROM +ENVIRONMENT\n--listen +127\.0\.0\.1:8080 +default +PORTCULLIS_LISTEN\n/,
    );
  });

  it("says what follows from another setting", async () => {
    const store = "postgres://db.example/portcullis?connect_timeout=7";
    const { stdout } = await runCommand(["config", "print", "--dev", "--store", store]);
    const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
    expect(rows).toContainEqual(["--issuer", "true", "--dev", "PORTCULLIS_ISSUER"]);
    expect(rows).toContainEqual(["--cors-origin", "*", "--dev", "PORTCULLIS_CORS_ORIGIN"]);
    const timeout = ["--postgres-connect-timeout", "7000", "--store", "PORTCULLIS_POSTGRES_CONNECT_TIMEOUT"];
    expect(rows).toContainEqual(timeout);
  });

  it("refuses what serve would refuse", async () => {
    const { exitCode, stderr } = await runCommand(["config", "print", "--listen", "nowhere"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("--listen must be HOST:PORT");
  });
});

/** Takes what an exporter of OpenTelemetry sends as JSON. */
async function startCollector() {
  const received: unknown[] = [];
  const server = createServer((incoming: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      received.push(JSON.parse(Buffer.concat(chunks).toString()));
      response.setHeader("content-type", "application/json").end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
