import { chmodSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { apiScope } from "../../src/wire-names.ts";
import { freePort } from "../fixtures/postgres.ts";
import { redeem, signIn, Visitor } from "../fixtures/visitor.ts";
import { Api, secondFactorsPath } from "./api.ts";
import { verifyStore } from "./database.ts";
import { skipBecause, whyNoStrace } from "./machine.ts";
import {
  complaintsIn,
  type Ended,
  type ProcessOptions,
  runCommand,
  runJson,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
  until,
} from "./portcullis.ts";

// Several processes on one address and one store. The system chooses the process of each new connection.

const whyNotShared =
  process.platform === "linux" ? undefined : "these tests expect what Linux does with connections to one port";

/** Without it, fetch keeps its connections, and with them the process. */
const fresh = { connection: "close" };

interface Shared {
  readonly server: ServerProcess;
  /** Where it alone answers. */
  readonly debugUrl: string;
}

async function startShared(data: string, port: number, ...flags: readonly string[]): Promise<Shared> {
  const debug = `127.0.0.1:${await freePort()}`;
  const shared = ["--listen", `127.0.0.1:${port}`, "--reuse-port", "--debug-listen", debug];
  return { server: await startServer({ data, flags: [...shared, ...flags] }), debugUrl: `http://${debug}` };
}

/** Whether the process has served such requests. */
async function hasServed({ debugUrl }: Shared, metric: RegExp): Promise<boolean> {
  const metrics = await (await fetch(`${debugUrl}/debug/metrics`)).text();
  return metrics.split("\n").some((line) => metric.test(line));
}

const listed = /^portcullis_rpc_duration_seconds_count\{.*method="ListLoginPolicySecondFactors".*\} [1-9]/;

async function listFactors({ url, adminToken }: ServerProcess): Promise<readonly string[]> {
  const headers = { ...fresh, authorization: `Bearer ${adminToken}` };
  const response = await fetch(`${url}${secondFactorsPath}/_search`, { method: "POST", headers });
  expect(response.status).toBe(200);
  return ((await response.json()) as { readonly result: readonly string[] }).result;
}

describe.concurrent("--reuse-port", () => {
  it("serves one address by two processes, and goes on with the other when one stops or is killed", async (context) => {
    skipBecause(context, whyNotShared);
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const port = await freePort();
    const one = await startShared(data, port);
    await using first = one.server;
    const two = await startShared(data, port);
    await using second = two.server;
    expect(second.url).toBe(first.url);
    expect(second.tokenPlace).toBe(first.tokenPlace);

    const both = async () => (await hasServed(one, listed)) && (await hasServed(two, listed));
    await until(async () => {
      await listFactors(first);
      return both();
    }, Boolean);
    // Whichever process writes, whichever reads: what was answered is seen.
    const api = new Api(first.url, first.adminToken);
    for (let turn = 0; turn < 8; turn += 1) {
      const { status } = turn % 2 === 0 ? await api.addFactor("OTP_SMS") : await api.removeFactor("OTP_SMS");
      expect(status).toBe(200);
      for (let read = 0; read < 4; read += 1) {
        const wanted = turn % 2 === 0 ? ["SECOND_FACTOR_TYPE_OTP_SMS"] : [];
        expect((await listFactors(first)).filter((factor) => factor.endsWith("SMS"))).toEqual(wanted);
      }
    }

    const ended = await first.stop();
    expect(ended).toMatchObject({ exitCode: 0, signal: null });
    expect(complaintsIn(ended.stderr)).toEqual([]);
    for (let count = 0; count < 10; count += 1) await listFactors(second);
    const three = await startShared(data, port);
    await using third = three.server;
    second.kill("SIGKILL");
    await second.ended;
    for (let count = 0; count < 10; count += 1) await listFactors(third);
    expect(await hasServed(three, listed)).toBe(true);
    expect(await verifyStore(data)).toMatchObject({ problems: [] });
  });

  it("takes processes that start at once on an empty directory: they have one token", async (context) => {
    skipBecause(context, whyNotShared);
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const port = await freePort();
    const all = await Promise.all([0, 1, 2].map(() => startShared(data, port)));
    try {
      for (const { server } of all) expect(server.tokenPlace).toBe(`in ${directory.join("data", "admin.token")}`);
      for (let count = 0; count < 20; count += 1) await listFactors(all[0]?.server as ServerProcess);
      expect(await runJson<unknown[]>(data, "user", "list")).toHaveLength(1);
    } finally {
      for (const { server } of all) await server[Symbol.asyncDispose]();
    }
  });

  it("lets a sign-in take each step at another process", async (context) => {
    skipBecause(context, whyNotShared);
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const port = await freePort();
    const one = await startShared(data, port, "--issuer");
    await using first = one.server;
    const two = await startShared(data, port, "--issuer");
    await using second = two.server;
    const { password } = await runJson<{ password: string }>(data, "user", "password", "admin");
    const redirectUri = "http://127.0.0.1:9/cb";
    const client = await runJson<{ id: string }>(data, "client", "add", "App", "--redirect-uri", redirectUri);
    const app = { issuer: second.url, clientId: client.id, redirectUri, scope: `openid ${apiScope}` };
    const steps = ["authorize", "sign-in", "token"].map(
      (route) => new RegExp(`^portcullis_http_duration_seconds_count\\{.*route="[^"]*${route}.*\\} [1-9]`),
    );
    const haveBothServedAll = async () => {
      for (const step of steps) if (!((await hasServed(one, step)) && (await hasServed(two, step)))) return false;
      return true;
    };
    // So often that some sign-ins change the process between their steps.
    for (let count = 0; count < 6 || !(await haveBothServedAll()); count += 1) {
      const { returned, verifier } = await signIn(new FreshVisitor(), { ...app, userName: "admin", password });
      const answer = await redeem(app, { code: returned.searchParams.get("code") ?? "", verifier });
      expect(answer.status).toBe(200);
      const { access_token: token } = (await answer.json()) as { readonly access_token: string };
      const headers = { ...fresh, authorization: `Bearer ${token}` };
      expect((await fetch(`${first.url}/admin/v1/policies/login`, { headers })).status).toBe(200);
    }
  });

  it("gets a sentence that names the flag where one of the processes lacks it", async (context) => {
    skipBecause(context, whyNotShared);
    using directory = new TemporaryDirectory();
    const at = `127.0.0.1:${await freePort()}`;
    const serve = (flags: readonly string[], options: ProcessOptions = {}) =>
      runCommand(["serve", "--data", directory.join("data"), "--listen", at, ...flags], options);
    {
      await using server = await startServer({ data: directory.join("data"), flags: ["--listen", at, "--reuse-port"] });
      expect(server.stderr).toContain("give each process a --debug-listen of its own");
      expectSentence(await serve([]), `${at}: the port is in use; choose another address with --listen, or start all`);
    }
    await using server = await startServer({ data: directory.join("data"), flags: ["--listen", at] });
    const ended = await serve(["--reuse-port"]);
    expectSentence(ended, `${at}: the port is in use by a process without --reuse-port or of another user`);
    expect(server.stderr).not.toContain("--debug-listen");
  });

  it("is refused on the address of another user's process", async (context) => {
    const isRoot = process.getuid?.() === 0;
    skipBecause(context, whyNotShared ?? (isRoot ? undefined : "only root can start a process of another user"));
    using directory = new TemporaryDirectory();
    using others = new TemporaryDirectory();
    chmodSync(others.path, 0o777);
    const at = `127.0.0.1:${await freePort()}`;
    const flags = ["--listen", at, "--reuse-port", "--debug-listen", "127.0.0.1:0"];
    await using _server = await startServer({ data: directory.join("data"), flags });
    const ended = await runCommand(["serve", "--data", others.join("data"), ...flags], { uid: 65_534, cwd: "/" });
    expectSentence(ended, `${at}: the port is in use by a process without --reuse-port or of another user`);
  });

  it("is refused where the system cannot share a port", async (context) => {
    skipBecause(context, whyNotShared ?? whyNoStrace());
    using directory = new TemporaryDirectory();
    const under = ["strace", "-f", "-o", "/dev/null", "-e", "inject=setsockopt:error=EOPNOTSUPP"];
    const at = `127.0.0.1:${await freePort()}`;
    const args = ["serve", "--data", directory.join("data"), "--listen", at, "--reuse-port"];
    expectSentence(await runCommand(args, { under }), `${at}: this system cannot share a port between processes`);
  });

  it.for([
    ["with port 0", ["--listen", "127.0.0.1:0", "--reuse-port"], {}, "--reuse-port needs a port in --listen"],
    [
      "with a store in memory",
      ["--listen", "127.0.0.1:1", "--reuse-port", "--store", "memory:"],
      {},
      "--reuse-port needs a store that processes share",
    ],
    ["with a value that is none", [], { PORTCULLIS_REUSE_PORT: "1" }, '--reuse-port must be true or false, not "1"'],
  ] as const)("is refused %s", async ([, flags, env, sentence]) => {
    using directory = new TemporaryDirectory();
    expectSentence(await runCommand(["serve", "--data", directory.join("data"), ...flags], { env }), sentence);
  });
});

/** Makes a new connection for each request. */
class FreshVisitor extends Visitor {
  override go(url: string, init: RequestInit = {}) {
    return super.go(url, { ...init, headers: { ...(init.headers as Record<string, string>), ...fresh } });
  }
}

function expectSentence(ended: Ended, sentence: string): void {
  expect(ended).toMatchObject({ exitCode: 1, signal: null, stdout: "" });
  expect(ended.stderr).toMatch(/^portcullis: [^\n]+\n$/);
  expect(ended.stderr).toContain(sentence);
}
