import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { Api } from "./api.ts";
import { databasePath, readEvents, verifyStore } from "./database.ts";
import { findOldNode } from "./machine.ts";
import {
  complaintsIn,
  PortcullisProcess,
  readAdminToken,
  runCommand,
  runJson,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

const generatedToken = /^portcullis_[A-Za-z0-9_-]{43}$/;
const givenToken = "a-token-of-32-characters-exactly";
const otherToken = "another-token-that-is-long-enough!";

const statusOf = async (server: ServerProcess, token: string): Promise<number> =>
  (await new Api(server.url, token).readInstance()).status;

describe.concurrent("the first start", () => {
  it("says in one line where it serves, and answers there", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("deep", "data");
    await using server = await startServer({ data });
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
    expect(server.tokenPlace).toBe(`in ${directory.join("deep", "data", "admin.token")}`);
    expect(await statusOf(server, server.adminToken)).toBe(200);
    expect(await statusOf(server, `${server.adminToken}x`)).toBe(401);
    const { stderr, ...ended } = await server.stop();
    expect(ended).toEqual({
      exitCode: 0,
      signal: null,
      stdout: `portcullis serves on ${server.url}; the admin token is ${server.tokenPlace}\n`,
    });
    expect(complaintsIn(stderr)).toEqual([]);
  });

  it("creates the instance, the default organization, and the owner with a token for this user alone", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    await using server = await startServer({ data });
    const [organization, ...others] = await runJson<{ id: string }[]>(data, "org", "list");
    expect(others).toEqual([]);
    expect(organization).toMatchObject({ name: "Default", isDefault: true, hasOwnPolicy: false });
    expect(await runJson(data, "user", "list")).toEqual([
      {
        id: expect.any(String),
        name: "admin",
        organizationId: organization?.id,
        roles: [{ role: "IAM_OWNER" }],
      },
    ]);
    expect(server.adminToken).toMatch(generatedToken);
    expect(statSync(directory.join("data", "admin.token")).mode & 0o777).toBe(0o600);
    expect(statSync(databasePath(data)).mode & 0o777).toBe(0o600);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(readFileSync(databasePath(data)).includes(server.adminToken)).toBe(false);
  });

  it("is followed by starts that keep the token and everything else", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    await using first = await startServer({ data });
    const token = first.adminToken;
    expect((await new Api(first.url, token).addFactor("OTP_SMS")).status).toBe(200);
    await first.stop();
    const before = readEvents(data);
    await using second = await startServer({ data });
    expect(second.tokenPlace).toBe(first.tokenPlace);
    expect(second.adminToken).toBe(token);
    expect(await new Api(second.url, token).listFactors()).toEqual(["OTP", "U2F", "OTP_SMS"]);
    expect(readEvents(data)).toEqual(before);
  });

  it("makes what two processes that start at once then share", async () => {
    for (let round = 0; round < 3; round += 1) {
      using directory = new TemporaryDirectory();
      const data = directory.join("data");
      const starts = await Promise.allSettled([startServer({ data }), startServer({ data })]);
      await using stack = new AsyncDisposableStack();
      const servers = starts.map((start) => {
        if (start.status === "rejected") throw start.reason;
        return stack.use(start.value);
      });
      const token = readAdminToken(data);
      for (const server of servers) expect(await statusOf(server, token)).toBe(200);
      // What one writes, the other reads at once.
      const [one, two] = servers.map(({ url }) => new Api(url, token));
      expect((await one?.addFactor("OTP_SMS"))?.status).toBe(200);
      expect(await two?.listFactors()).toContain("OTP_SMS");
      expect((await two?.removeFactor("OTP_SMS"))?.status).toBe(200);
      expect(await one?.listFactors()).not.toContain("OTP_SMS");
      const created = readEvents(data).filter(({ actor }) => actor === "setup");
      expect(created.map(({ type }) => type)).toEqual([
        "InstanceCreated",
        "OrganizationAdded",
        "UserAdded",
        "RoleGranted",
        "TokenCreated",
      ]);
      expect((await verifyStore(data)).problems).toEqual([]);
      expect(readdirSync(data).filter((name) => !name.startsWith("portcullis.db"))).toEqual(["admin.token"]);
    }
  });
});

describe.concurrent("PORTCULLIS_ADMIN_TOKEN", () => {
  it("is the admin's token from the first start on, and no file is written", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const env = { PORTCULLIS_ADMIN_TOKEN: givenToken };
    await using server = await startServer({ data, env });
    expect(server.tokenPlace).toBe("the one from the environment");
    expect(await statusOf(server, givenToken)).toBe(200);
    expect(existsSync(directory.join("data", "admin.token"))).toBe(false);
    await server.stop();
    const before = readEvents(data);
    await using again = await startServer({ data, env });
    expect(await statusOf(again, givenToken)).toBe(200);
    expect(readEvents(data)).toEqual(before);
  });

  it("replaces the admin's token at a later start, and the old one is refused", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    await using first = await startServer({ data });
    const generated = first.adminToken;
    await first.stop();
    await using second = await startServer({ data, env: { PORTCULLIS_ADMIN_TOKEN: givenToken } });
    expect(await statusOf(second, givenToken)).toBe(200);
    expect(await statusOf(second, generated)).toBe(401);
    await second.stop();
    await using third = await startServer({ data, env: { PORTCULLIS_ADMIN_TOKEN: otherToken } });
    expect(await statusOf(third, otherToken)).toBe(200);
    expect(await statusOf(third, givenToken)).toBe(401);
    expect(await runJson(data, "token", "list")).toHaveLength(1);
  });

  it("has no effect after the admin was removed: the log says so, and the server starts", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const env = { PORTCULLIS_ADMIN_TOKEN: givenToken };
    await using first = await startServer({ data, env });
    await first.stop();
    await runJson(data, "user", "add", "ada", "--role", "IAM_OWNER");
    await runJson(data, "token", "create", "--user", "ada");
    await runJson(data, "user", "remove", "admin");
    await using second = await startServer({ data, env });
    expect(second.tokenPlace).toBe("without effect: the user admin was removed");
    expect(await statusOf(second, givenToken)).toBe(401);
    await second.stop();
    expect(second.stderr).toContain("the admin token from the environment has no effect");
    await runJson(data, "user", "add", "admin", "--role", "IAM_OWNER");
    await using third = await startServer({ data, env });
    expect(await statusOf(third, givenToken)).toBe(200);
  });

  it("is not mistaken for the token in the file by a start without it", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    await using first = await startServer({ data, env: { PORTCULLIS_ADMIN_TOKEN: givenToken } });
    await first.stop();
    await using second = await startServer({ data });
    // Whatever becomes of the token: where the line names a file, the token in that file works.
    const file = /^in (.+)$/.exec(second.tokenPlace)?.[1];
    if (file === undefined) expect(await statusOf(second, givenToken)).toBe(200);
    else expect(await statusOf(second, readFileSync(file, "utf8").trim())).toBe(200);
  });

  it("is refused where it is too short, and is not repeated", async () => {
    const token = "a-token-of-31-characters-exactl";
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const ended = await runCommand(["serve", "--listen", "127.0.0.1:0", "--data", data], {
      env: { PORTCULLIS_ADMIN_TOKEN: token },
    });
    expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
    expect(ended.stderr).toMatch(/^portcullis: PORTCULLIS_ADMIN_TOKEN must have at least 32 characters[^\n]*\n$/);
    expect(ended.stderr).not.toContain(token);
    expect(existsSync(data)).toBe(false);
  });
});

describe.concurrent("serve", () => {
  it("listens on 127.0.0.1:8080 and keeps its data in ./data where it is told nothing", async () => {
    using directory = new TemporaryDirectory();
    // The port is taken, by this test or by somebody else, so it can only name it.
    const holder = createServer();
    await new Promise<void>((resolve) => {
      holder.once("error", () => resolve());
      holder.listen(8080, "127.0.0.1", resolve);
    });
    try {
      const ended = await runCommand(["serve"], { cwd: directory.path });
      expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
      expect(ended.stderr).toMatch(/^portcullis: cannot listen on 127\.0\.0\.1:8080: the port is in use[^\n]*\n$/);
      expect(existsSync(directory.join("data", "portcullis.db"))).toBe(true);
    } finally {
      holder.close();
    }
  });

  it("takes its settings from the environment", async () => {
    using directory = new TemporaryDirectory();
    const origins = ["https://one.example", "https://two.example"];
    await using server = new PortcullisProcess(["serve"], {
      cwd: directory.path,
      env: {
        PORTCULLIS_LISTEN: "localhost:0",
        PORTCULLIS_DATA: directory.join("kept"),
        PORTCULLIS_STORE: `sqlite:${directory.join("elsewhere", "policies.db")}`,
        PORTCULLIS_CORS_ORIGIN: origins.join(","),
      },
    });
    const url = /^portcullis serves on (http:\/\/localhost:\d+); /.exec(await server.firstLine())?.[1] ?? "";
    const token = readAdminToken(directory.join("kept"));
    expect((await new Api(url, token).readInstance()).status).toBe(200);
    expect(readdirSync(directory.join("kept"))).toEqual(["admin.token"]);
    expect(existsSync(directory.join("elsewhere", "policies.db"))).toBe(true);
    expect(readdirSync(directory.path).sort()).toEqual(["elsewhere", "kept"]);
    for (const origin of origins) expect(await allowedOrigin(url, origin)).toBe(origin);
    expect(await allowedOrigin(url, "https://three.example")).toBeUndefined();
  });

  it("prefers flags over the environment", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("flag");
    await using server = await startServer({
      data,
      flags: ["--store", `sqlite:${directory.join("flag", "flag.db")}`],
      env: {
        PORTCULLIS_LISTEN: "no address",
        PORTCULLIS_DATA: directory.join("environment"),
        PORTCULLIS_STORE: "no store",
      },
    });
    expect(await statusOf(server, server.adminToken)).toBe(200);
    expect(readdirSync(directory.path)).toEqual(["flag"]);
    expect(existsSync(directory.join("flag", "flag.db"))).toBe(true);
  });

  it("allows each origin that is given by its own flag, and none by default", async () => {
    using directory = new TemporaryDirectory();
    const flags = ["--cors-origin", "https://one.example", "--cors-origin", "http://localhost:3000"];
    await using server = await startServer({ data: directory.join("with"), flags });
    expect(await allowedOrigin(server.url, "https://one.example")).toBe("https://one.example");
    expect(await allowedOrigin(server.url, "http://localhost:3000")).toBe("http://localhost:3000");
    expect(await allowedOrigin(server.url, "http://localhost:3001")).toBeUndefined();
    await using closed = await startServer({ data: directory.join("without") });
    expect(await allowedOrigin(closed.url, "https://one.example")).toBeUndefined();
  });

  it("forgets a store in memory, and makes a new one with the same token", async () => {
    using directory = new TemporaryDirectory();
    const options = { data: directory.join("data"), flags: ["--store", "memory:"] };
    await using first = await startServer(options);
    const token = first.adminToken;
    expect((await new Api(first.url, token).addFactor("OTP_SMS")).status).toBe(200);
    await first.stop();
    expect(readdirSync(options.data)).toEqual(["admin.token"]);
    await using second = await startServer(options);
    expect(second.adminToken).toBe(token);
    expect(await new Api(second.url, token).listFactors()).toEqual(["OTP", "U2F"]);
  });

  it("uses a data directory that is there already, and leaves other files in it alone", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    mkdirSync(data, { mode: 0o750 });
    writeFileSync(directory.join("data", "note.txt"), "mine");
    await using server = await startServer({ data });
    expect(await statusOf(server, server.adminToken)).toBe(200);
    expect(statSync(data).mode & 0o777).toBe(0o750);
    expect(readFileSync(directory.join("data", "note.txt"), "utf8")).toBe("mine");
  });
});

/** The origin that a preflight's answer allows. */
function allowedOrigin(url: string, origin: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { origin, "access-control-request-method": "POST" };
    const preflight = request(`${url}/management/v1/policies/login`, { method: "OPTIONS", headers, agent: false });
    preflight.once("error", reject);
    preflight.once("response", (response) => {
      response.resume();
      resolve(response.headers["access-control-allow-origin"]);
    });
    preflight.end();
  });
}

describe("an older Node", () => {
  it("is told in one sentence which one is wanted", async (context) => {
    const old = findOldNode();
    if (old === undefined) {
      // Not demanded in CI, whose machines may have nothing but the right one.
      context.skip("no Node older than 24 is installed");
      return;
    }
    for (const args of [["serve"], ["--version"]]) {
      using directory = new TemporaryDirectory();
      const ended = await runCommand(args, { node: old.path, cwd: directory.path });
      expect(ended).toMatchObject({ exitCode: 1, signal: null, stdout: "" });
      expect(ended.stderr).toMatch(/^portcullis needs Node 24 or newer[^\n]*\n$/);
      expect(ended.stderr).toContain(`Node ${old.version}`);
      // With it, npm ci leaves out the Node that is wanted.
      expect(ended.stderr).toContain("without --omit=dev");
      expect(readdirSync(directory.path)).toEqual([]);
    }
  });
});
