import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { roles } from "../../src/domain/directory/roles.ts";
import { Api } from "./api.ts";
import { checkContiguous, readEvents } from "./database.ts";
import {
  type Ended,
  program,
  runCommand,
  runJson,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

// The command line beside a server that runs: what it changes holds on the server's very next call.

let directory: TemporaryDirectory;
let server: ServerProcess;
let data: string;
let admin: Api;

beforeAll(async () => {
  directory = new TemporaryDirectory();
  data = directory.join("data");
  server = await startServer({ data });
  admin = new Api(server.url, server.adminToken);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const run = (...args: string[]): Promise<Ended> => runCommand([...args, "--data", data]);
const json = <T>(...args: string[]): Promise<T> => runJson<T>(data, ...args);

interface Organization {
  readonly id: string;
  readonly name: string;
  readonly isDefault: boolean;
  readonly hasOwnPolicy: boolean;
}
interface User {
  readonly id: string;
  readonly name: string;
  readonly organizationId: string;
  readonly roles: readonly { readonly role: string; readonly organizationId?: string }[];
}
interface Token {
  readonly id: string;
  readonly token: string;
  readonly expires: string | null;
}
const organizations = () => json<Organization[]>("org", "list");
const users = () => json<User[]>("user", "list");

/** A caller with one role and a token. */
async function createCaller(
  name: string,
  role: string,
  ...flags: string[]
): Promise<Api & { readonly tokenId: string }> {
  await json("user", "add", name, "--role", role, ...flags);
  const { id, token } = await json<Token>("token", "create", "--user", name);
  return Object.assign(new Api(server.url, token), { tokenId: id });
}

const digits = /^\d{18}$/;
const plainSuccess = (line: RegExp) => ({ exitCode: 0, signal: null, stdout: expect.stringMatching(line), stderr: "" });

describe("portcullis", () => {
  it.concurrent("prints the package's version with --version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await runCommand(["--version"])).toEqual({
      exitCode: 0,
      signal: null,
      stdout: `${version}\n`,
      stderr: "",
    });
  });

  it.concurrent("names its commands with --help", async () => {
    const { exitCode, stdout, stderr } = await runCommand(["--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^Usage: portcullis/);
    for (const command of ["serve", "org", "user", "token", "store"]) expect(stdout).toContain(`  ${command} `);
  });

  it.concurrent("names the flags of serve, their variables and their defaults with --help", async () => {
    const { exitCode, stdout } = await runCommand(["serve", "--help"]);
    expect(exitCode).toBe(0);
    const flags = {
      "--listen": "PORTCULLIS_LISTEN",
      "--data": "PORTCULLIS_DATA",
      "--store": "PORTCULLIS_STORE",
      "--tls-cert": "PORTCULLIS_TLS_CERT",
      "--tls-key": "PORTCULLIS_TLS_KEY",
      "--cors-origin": "PORTCULLIS_CORS_ORIGIN",
    };
    for (const [flag, variable] of Object.entries(flags)) {
      expect(stdout).toContain(flag);
      expect(stdout).toContain(variable);
    }
    expect(stdout).toContain("127.0.0.1:8080");
    expect(stdout).toContain("./data");
  });

  it.concurrent.each([
    ["an unknown command", ["frobnicate"], "portcullis"],
    ["an unknown command of a group", ["org", "frobnicate"], "portcullis org"],
    ["an unknown flag of serve", ["serve", "--frobnicate"], "portcullis serve"],
    ["an unknown flag of a command", ["org", "list", "--frobnicate"], "portcullis org list"],
    ["a missing argument", ["org", "add"], "portcullis org add"],
    ["an argument too many", ["org", "list", "extra"], "portcullis org list"],
    ["a missing flag", ["user", "add", "ada"], "portcullis user add"],
  ])("answers %s with a sentence, where the help is, and exit code 2", async (_, args, command) => {
    const { exitCode, stdout, stderr } = await runCommand(args, { env: { PORTCULLIS_DATA: data } });
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(new RegExp(`^error: [^\\n]+\\nSee: ${command} --help\\n$`));
  });

  it.concurrent.each([[[]], [["org"]]])(
    "answers %j, which is no command, with the usage and exit code 2",
    async (args) => {
      const { exitCode, stdout, stderr } = await runCommand(args);
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
      expect(stderr).toMatch(/^Usage: portcullis/);
    },
  );

  it.concurrent("suggests the flag that was probably meant", async () => {
    const { stderr } = await runCommand(["serve", "--listn"]);
    expect(stderr).toBe("error: unknown option '--listn'\n(Did you mean --listen?)\nSee: portcullis serve --help\n");
  });

  it.concurrent.each([
    [["user", "add"], "--role"],
    [["user", "revoke"], "--role"],
    [["key", "create"], "--user"],
    [["client", "add"], "--redirect-uri"],
    [["serve"], "--tls-cert"],
  ])("has what is of %j itself first in its help", async (command, flag) => {
    const { stdout } = await runCommand([...command, "--help"]);
    const places = [flag, "--force", "--json", "Options of the store:", "--data", "--postgres-pool-size"];
    const found = places.filter((text) => stdout.includes(`${text}`));
    const order = found.map((text) => stdout.indexOf(`\n${text.startsWith("--") ? `  ${text}` : text}`));
    expect(order.every((at) => at >= 0)).toBe(true);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(found).toContain(flag);
  });

  it.concurrent.each(["add", "grant", "revoke"])("names every role in the help of user %s", async (subcommand) => {
    const { stdout } = await runCommand(["user", subcommand, "--help"]);
    for (const role of Object.keys(roles)) expect(stdout).toMatch(new RegExp(`^  ${role} `, "m"));
  });

  it.concurrent.each([
    ["the default organization to be removed", async () => ["org", "remove", await defaultId()], /default/],
    ["an organization's name to be taken twice", ["org", "add", "Default"], /organization named Default/],
    ["an id to be taken twice", async () => ["org", "add", "Other", "--id", await defaultId()], /in use/],
    ["an unknown role", ["user", "add", "ada", "--role", "KING"], /KING is not a role.*ORG_OWNER/],
    ["a user's name to be taken twice", ["user", "add", "admin", "--role", "ORG_OWNER"], /user named admin/],
    ["a role for an unknown user", ["user", "grant", "nobody", "--role", "ORG_OWNER"], /no user named nobody/],
    [
      "a role of the instance on an organization",
      async () => ["user", "grant", "admin", "--role", "IAM_OWNER_VIEWER", "--org", await defaultId()],
      /whole instance/,
    ],
    ["an unknown user to be removed", ["user", "remove", "nobody"], /no user named nobody/],
    ["a token for an unknown user", ["token", "create", "--user", "nobody"], /no user named nobody/],
    ["a token with an odd span", ["token", "create", "--user", "admin", "--expires", "soon"], /--expires.*30d/],
    ["an unknown token to be revoked", ["token", "revoke", "42"], /no token 42/],
  ])("does not allow %s, and says so in one sentence with exit code 1", async (_, wanted, sentence) => {
    const before = readEvents(data).length;
    const ended = await run(...(typeof wanted === "function" ? await wanted() : wanted));
    expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
    expect(ended.stderr).toMatch(/^portcullis: [^\n]+\n$/);
    expect(ended.stderr).toMatch(sentence);
    expect(readEvents(data)).toHaveLength(before);
  });

  it.concurrent.each([
    ["serve", "--client-secret=s3cr3t"],
    ["--admin-token=s3cr3t's"],
    ["user", "add", "ada", "--role", "ORG_OWNER", "--password=s3cr3t\nx"],
  ])("does not repeat what was given to an option that does not exist: %s", async (...args) => {
    const { exitCode, stdout, stderr } = await runCommand(args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/^error: unknown option '--[a-z-]+=…'/);
    expect(stderr).not.toContain("s3cr3t");
  });

  it.concurrent.each([
    ["serve", "--oidc-issuer", "https://login.example", "client-secret=s3cr3t"],
    ["user", "password", "ada", "s3cr3t\nx"],
  ])("does not repeat arguments where none is expected: %s", async (...args) => {
    const { exitCode, stdout, stderr } = await runCommand(args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(
      /^error: too many arguments for '\w+'\. Expected \d arguments? but got \d\.\nSee: portcullis [^\n]+ --help\n$/,
    );
  });

  it("leaves the instance to nobody only by force, and says why", async () => {
    using own = new TemporaryDirectory();
    const at = { data: own.join("data") };
    await using alone = await startServer(at);
    const [token] = await runJson<Token[]>(at.data, "token", "list");
    const removals = [
      ["user", "remove", "admin"],
      ["user", "revoke", "admin", "--role", "IAM_OWNER"],
      ["token", "revoke", token?.id ?? ""],
    ];
    for (const removal of removals) {
      const ended = await runCommand([...removal, "--data", at.data]);
      expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
      expect(ended.stderr).toMatch(/^portcullis: admin is the last instance owner [^\n]+ --force\n$/);
    }
    const { keyId } = await runJson<{ keyId: string }>(at.data, "key", "create", "--user", "admin");
    await runJson(at.data, "token", "revoke", token?.id ?? "");
    const ended = await runCommand(["key", "remove", keyId, "--data", at.data]);
    expect(ended).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("--force") });
    await runJson(at.data, "key", "remove", keyId, "--force");
    await runJson(at.data, "user", "revoke", "admin", "--role", "IAM_OWNER", "--force");
    await runJson(at.data, "user", "remove", "admin", "--force");
    expect((await new Api(alone.url, alone.adminToken).readInstance()).status).toBe(401);
  });

  it.concurrent("says that there is no store rather than make one", async () => {
    const nowhere = directory.join("nowhere");
    const { exitCode, stdout, stderr } = await runCommand(["org", "list", "--data", nowhere]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^portcullis: there is no store at [^\n]+\n$/);
    expect(existsSync(nowhere)).toBe(false);
    const inMemory = await run("org", "list", "--store", "memory:");
    expect(inMemory).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: expect.stringMatching(/^portcullis: [^\n]+\n$/),
    });
  });
});

const defaultId = async () => (await organizations()).find(({ isDefault }) => isDefault)?.id ?? "";

describe("org", () => {
  it.concurrent("adds an organization that the server serves at once, and lists it", async () => {
    const { id } = await json<Organization>("org", "add", "Acme");
    expect(id).toMatch(digits);
    expect((await admin.addFactor("OTP_SMS", id)).status).toBe(200);
    expect(await organizations()).toContainEqual({ id, name: "Acme", isDefault: false, hasOwnPolicy: true });
  });

  it.concurrent("adds an organization with a given id", async () => {
    const added = await json<Organization>("org", "add", "Given", "--id", "given-1");
    expect(added).toEqual({ id: "given-1", name: "Given" });
    expect((await admin.readPolicy("given-1")).status).toBe(200);
  });

  it.concurrent("removes an organization, which the server refuses at once, and never uses its id again", async () => {
    await json("org", "add", "Gone", "--id", "gone-1");
    const owner = await createCaller("gone-owner", "ORG_OWNER", "--org", "gone-1");
    expect((await owner.addFactor("OTP_SMS")).status).toBe(200);
    expect(await run("org", "remove", "gone-1")).toEqual(plainSuccess(/^removed organization gone-1\n$/));
    expect((await owner.addFactor("OTP_EMAIL")).status).toBe(403);
    expect((await owner.readPolicy()).status).toBe(403);
    expect((await admin.readPolicy("gone-1")).status).toBe(403);
    expect((await organizations()).map(({ id }) => id)).not.toContain("gone-1");
    expect(await run("org", "add", "Another", "--id", "gone-1")).toMatchObject({ exitCode: 1 });
    expect(await json("org", "add", "Gone")).toMatchObject({ name: "Gone", id: expect.stringMatching(digits) });
  });

  it.concurrent("prints lines for people without --json", async () => {
    expect(await run("org", "add", "Plain", "--id", "plain-1")).toEqual(plainSuccess(/^added organization plain-1\n$/));
    const { stdout, exitCode, stderr } = await run("org", "list");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^ID +NAME +LOGIN POLICY\n/);
    expect(stdout).toMatch(/^plain-1 +Plain +inherited$/m);
  });
});

describe("user", () => {
  it.concurrent("adds a user with a role on an organization, who may call there and nowhere else", async () => {
    await json("org", "add", "Home", "--id", "home-1");
    const owner = await createCaller("home-owner", "ORG_OWNER", "--org", "home-1");
    expect((await owner.addFactor("OTP_SMS")).status).toBe(200);
    expect((await owner.readPolicy(await defaultId())).status).toBe(403);
    expect((await owner.readInstance()).status).toBe(403);
    expect(await users()).toContainEqual({
      id: expect.stringMatching(digits),
      name: "home-owner",
      organizationId: "home-1",
      roles: [{ role: "ORG_OWNER", organizationId: "home-1" }],
    });
  });

  it.concurrent("grants a role that counts on the very next call", async () => {
    const caller = await createCaller("riser", "ORG_OWNER_VIEWER");
    expect((await caller.addFactor("OTP_EMAIL")).status).toBe(403);
    expect(await run("user", "grant", "riser", "--role", "ORG_SETTINGS_MANAGER")).toEqual(
      plainSuccess(/^granted ORG_SETTINGS_MANAGER to riser\n$/),
    );
    expect((await caller.addFactor("OTP_EMAIL")).status).toBe(200);
    expect((await caller.readInstance()).status).toBe(403);
    await json("user", "grant", "riser", "--role", "IAM_OWNER_VIEWER");
    expect((await caller.readInstance()).status).toBe(200);
  });

  it.concurrent("revokes a role, which is refused on the very next call", async () => {
    await json("org", "add", "Lost", "--id", "lost-1");
    const caller = await createCaller("loser", "ORG_OWNER", "--org", "lost-1");
    expect((await caller.addFactor("OTP_SMS")).status).toBe(200);
    expect(await run("user", "revoke", "loser", "--role", "ORG_OWNER", "--org", "lost-1")).toEqual(
      plainSuccess(/^revoked ORG_OWNER from loser\n$/),
    );
    expect((await caller.removeFactor("OTP_SMS")).status).toBe(403);
    expect((await caller.readPolicy()).status).toBe(403);
    expect((await users()).find(({ name }) => name === "loser")?.roles).toEqual([]);
  });

  it.concurrent("removes a user, whose token is refused on the very next call", async () => {
    const caller = await createCaller("leaver", "ORG_OWNER");
    expect((await caller.readPolicy()).status).toBe(200);
    expect(await run("user", "remove", "leaver")).toEqual(plainSuccess(/^removed user leaver\n$/));
    expect((await caller.readPolicy()).status).toBe(401);
    expect((await users()).map(({ name }) => name)).not.toContain("leaver");
    expect((await json<{ user: string }[]>("token", "list")).map(({ user }) => user)).not.toContain("leaver");
    // The name is free again, and its new user has nothing of the old one.
    await json("user", "add", "leaver", "--role", "ORG_OWNER");
    expect((await caller.readPolicy()).status).toBe(401);
  });

  it.concurrent("lists users with their roles for people", async () => {
    const { stdout } = await run("user", "list");
    expect(stdout).toMatch(/^ID +NAME +HOME ORGANIZATION +ROLES\n/);
    expect(stdout).toMatch(/^\d+ +admin +\d+ +IAM_OWNER$/m);
  });
});

describe("token", () => {
  it.concurrent("creates a token that works, and lists it without its secret", async () => {
    const created = await json<Token>("token", "create", "--user", "admin");
    expect(created).toEqual({ id: expect.stringMatching(digits), token: expect.any(String), expires: null });
    expect((await new Api(server.url, created.token).readInstance()).status).toBe(200);
    const { stdout } = await run("token", "list", "--json");
    expect(JSON.parse(stdout)).toContainEqual({
      id: created.id,
      user: "admin",
      created: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      expires: null,
    });
    expect(stdout).not.toContain(created.token);
    expect(JSON.stringify(readEvents(data))).not.toContain(created.token);
  });

  it.concurrent("prints the token alone without --json", async () => {
    const { stdout, stderr } = await run("token", "create", "--user", "admin");
    expect(stderr).toBe("");
    expect((await new Api(server.url, stdout.trimEnd()).readInstance()).status).toBe(200);
  });

  it.concurrent("revokes a token, which is refused on the very next call while the user's others work on", async () => {
    const caller = await createCaller("keeper", "IAM_OWNER");
    const other = await json<Token>("token", "create", "--user", "keeper");
    expect((await caller.readInstance()).status).toBe(200);
    expect(await run("token", "revoke", caller.tokenId)).toEqual(plainSuccess(/^revoked token \d+\n$/));
    expect((await caller.readInstance()).status).toBe(401);
    expect((await new Api(server.url, other.token).readInstance()).status).toBe(200);
    expect((await json<Token[]>("token", "list")).map(({ id }) => id)).not.toContain(caller.tokenId);
  });

  it.concurrent("accepts a token until it expires and not after", async () => {
    const { token, expires } = await json<Token>("token", "create", "--user", "admin", "--expires", "3s");
    const expiresAt = Date.parse(expires ?? "");
    const caller = new Api(server.url, token);
    const statuses = new Set<number>();
    const isOver = async () => {
      const askedAt = Date.now();
      const { status } = await caller.readInstance();
      statuses.add(status);
      if (Date.now() < expiresAt) expect(status).toBe(200);
      if (askedAt >= expiresAt) expect(status).toBe(401);
      return askedAt >= expiresAt;
    };
    await vi.waitUntil(isOver, { timeout: 10_000, interval: 20 });
    expect(statuses).toEqual(new Set([200, 401]));
  });

  it.concurrent("reckons the span of --expires from now", async () => {
    const before = Date.now();
    const { expires } = await json<Token>("token", "create", "--user", "admin", "--expires", "30d");
    const spanMs = 30 * 86_400_000;
    expect(Date.parse(expires ?? "")).toBeGreaterThanOrEqual(before + spanMs);
    expect(Date.parse(expires ?? "")).toBeLessThanOrEqual(Date.now() + spanMs);
  });
});

describe("store", () => {
  it.concurrent("verifies and rebuilds while the server writes", async () => {
    await json("org", "add", "Busy", "--id", "busy-1");
    expect((await admin.addPolicy("busy-1")).status).toBe(200);
    const busy = ["OTP_SMS", "busy-1"] as const;
    let isOver = false;
    const writes = (async () => {
      let count = 0;
      for (; !isOver; count += 1) {
        const isThere = count % 2 === 1;
        const { status } = await (isThere ? admin.removeFactor(...busy) : admin.addFactor(...busy));
        if (status !== 200) throw new Error(`a write was answered with ${status}`);
      }
      return count;
    })();
    try {
      const verified = await json<{ problems: string[]; events: number }>("store", "verify");
      expect(verified.problems).toEqual([]);
      expect(await json("store", "rebuild")).toMatchObject({ events: expect.any(Number) });
      expect((await json<{ events: number }>("store", "rebuild")).events).toBeGreaterThan(verified.events);
    } finally {
      isOver = true;
    }
    const count = await writes;
    expect(count).toBeGreaterThan(0);
    expect((await admin.listFactors("busy-1")).length).toBe(count % 2);
    expect(await run("store", "verify")).toEqual(plainSuccess(/^the store is sound: \d+ events, \d+ aggregates\n$/));
  });
});

describe("the history", () => {
  it("tells the command line from the callers and from the first start", async () => {
    await json("org", "add", "History", "--id", "history-1");
    const caller = await createCaller("historian", "ORG_OWNER", "--org", "history-1");
    await caller.addPolicy();
    await caller.addFactor("OTP_SMS");
    await json("token", "revoke", caller.tokenId);
    await json("org", "remove", "history-1");
    const historian = (await users()).find(({ name }) => name === "historian")?.id ?? "";
    const events = readEvents(data);
    checkContiguous(events);
    const actorsOf = (id: string) =>
      events.filter(({ aggregateId }) => aggregateId === id).map(({ type, actor }) => `${type} by ${actor}`);
    expect(actorsOf("history-1")).toEqual([
      "OrganizationAdded by cli",
      `LoginPolicyAdded by ${historian}`,
      `SecondFactorAdded by ${historian}`,
      "OrganizationRemoved by cli",
    ]);
    expect(actorsOf(historian)).toEqual([
      "UserAdded by cli",
      "RoleGranted by cli",
      "TokenCreated by cli",
      "TokenRevoked by cli",
    ]);
    expect(events.slice(0, 5).map(({ type, actor }) => `${type} by ${actor}`)).toEqual([
      "InstanceCreated by setup",
      "OrganizationAdded by setup",
      "UserAdded by setup",
      "RoleGranted by setup",
      "TokenCreated by setup",
    ]);
  });
});

describe("the environment and the output", () => {
  it("takes an empty variable for one that is not set", async () => {
    using elsewhere = new TemporaryDirectory();
    const names = ["DATA", "STORE", "LISTEN", "TLS_CERT", "TLS_KEY", "CORS_ORIGIN", "ADMIN_TOKEN"];
    const env = Object.fromEntries(names.map((name) => [`PORTCULLIS_${name}`, ""]));
    const ended = await runCommand(["org", "list"], { env, cwd: elsewhere.path });
    expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
    expect(ended.stderr).toContain("there is no store at data/portcullis.db");
  });

  it("warns of a variable that is probably misspelt, before it looks for a store", async () => {
    const ended = await runCommand(["org", "list", "--data", "nowhere"], {
      env: { PORTCULLIS_STOR: "sqlite:other.db" },
    });
    expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
    expect(ended.stderr).toMatch(
      /^portcullis: PORTCULLIS_STOR is not a setting and .*\?\nportcullis: there is no store at [^\n]+\n$/,
    );
  });

  it("refuses an empty --data", async () => {
    expect(await runCommand(["org", "list", "--data", ""])).toMatchObject({
      exitCode: 1,
      stderr: "portcullis: --data must name a directory\n",
    });
  });

  it("does not repeat a location that may hold a password", async () => {
    const ended = await runCommand(["org", "list", "--store", "postgres://admin:s3cret@db/x"]);
    expect(ended.exitCode).toBe(1);
    expect(ended.stderr).not.toContain("s3cret");
  });

  it("ends quietly when its reader stops early", async () => {
    const ended = spawnSync("bash", ["-c", `"${process.execPath}" "${program}" --help | head -c 1`], {
      encoding: "utf8",
    });
    expect(ended).toMatchObject({ status: 0, stdout: "U", stderr: "" });
  });
});
