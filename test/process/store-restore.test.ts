import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStore } from "../../src/store/open.ts";
import type { RecordRef } from "../../src/store/store.ts";
import { apiScope } from "../../src/wire-names.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { beginSignIn, redeem, signIn, Visitor } from "../fixtures/visitor.ts";
import { Api } from "./api.ts";
import { databasePath, verifyStore } from "./database.ts";
import { skipBecause, whyNoStrace } from "./machine.ts";
import {
  type Ended,
  PortcullisProcess,
  runCommand,
  runJson,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

// A copy of a store has what was taken away after it was made. Whoever restores it decides once what becomes of that.

const redirectUri = "http://127.0.0.1:9/cb";
const ada = { userName: "ada", password: "correct horse battery" };

interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
}

let directory: TemporaryDirectory;
let postgres: Postgres;
/** Made while the server ran, and before it took everything away. */
let copy: string;
let clientId: string;
/** Signed in before the copy was made. Each takes part in one test. */
const visitors = { first: new Visitor(), ended: new Visitor(), kept: new Visitor() };
let tokens: Tokens;
let personal: { readonly id: string; readonly token: string };
let key: { readonly keyId: string };

beforeAll(async () => {
  directory = new TemporaryDirectory();
  postgres = await startPostgres();
  const data = directory.join("data");
  await using server = await startServer({ data, flags: ["--issuer"] });
  await runJson(data, "user", "add", ada.userName, "--role", "ORG_OWNER");
  const passwordFile = directory.join("password");
  writeFileSync(passwordFile, ada.password, { mode: 0o600 });
  await runJson(data, "user", "password", ada.userName, "--file", passwordFile);
  ({ id: clientId } = await runJson<{ id: string }>(data, "client", "add", "App", "--redirect-uri", redirectUri));
  personal = await runJson(data, "token", "create", "--user", ada.userName);
  await runJson(data, "token", "create", "--user", ada.userName, "--expires", "1s");
  key = await runJson(data, "key", "create", "--user", ada.userName);
  const application = applicationOf(server);
  for (const visitor of Object.values(visitors)) {
    const { returned, verifier } = await signIn(visitor, { ...application, ...ada });
    const redeemed = await redeem(application, { code: returned.searchParams.get("code") ?? "", verifier });
    tokens = (await redeemed.json()) as Tokens;
  }
  copy = directory.join("copy.db");
  expect(await whatCounts(server, visitors.first)).toEqual({ session: true, access: true, personal: true });
  await runJson(data, "store", "backup", copy);

  const { status, body } = await refresh(server);
  await body?.cancel();
  expect(status).toBe(200);
  await runJson(data, "token", "revoke", personal.id);
  await runJson(data, "user", "password", ada.userName);
  expect(await whatCounts(server, visitors.first)).toEqual({ session: false, access: false, personal: false });
  // Reused after its rotation.
  expect(await isRefreshed(server)).toBe(false);
});
afterAll(async () => {
  await postgres.stop();
  directory[Symbol.dispose]();
});

const applicationOf = ({ url }: ServerProcess) => ({
  issuer: url,
  clientId,
  redirectUri,
  scope: `openid offline_access ${apiScope}`,
});

const refresh = ({ url }: ServerProcess) =>
  fetch(`${url}/oauth/v2/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "refresh_token",
      client_id: clientId,
      refresh_token: tokens.refresh_token,
    }),
  });

async function isRefreshed(server: ServerProcess): Promise<boolean> {
  const { status, body } = await refresh(server);
  await body?.cancel();
  return status === 200;
}

/** Which of what was there before the copy opens a server. */
async function whatCounts(server: ServerProcess, visitor: Visitor) {
  const { url } = await beginSignIn({ ...applicationOf(server), scope: `openid ${apiScope}` });
  const { location } = await visitor.go(`${url}&prompt=none`);
  const opens = async (token: string) => (await new Api(server.url, token).readPolicy()).status === 200;
  return {
    session: new URL(location).searchParams.has("code"),
    access: await opens(tokens.access_token),
    personal: await opens(personal.token),
  };
}

let restored = 0;

/** A new data directory with the copy as its store. */
function putBack(): string {
  restored += 1;
  const data = directory.join(`restored-${restored}`);
  mkdirSync(data);
  copyFileSync(copy, databasePath(data));
  return data;
}

const store = (subcommand: string, ...args: string[]): Promise<Ended> => runCommand(["store", subcommand, ...args]);
const restore = (data: string, ...args: string[]) => store("restore", "--data", data, ...args);

/** How many records of each kind a store has. */
function countRecords(data: string): Readonly<Record<string, number>> {
  using db = new DatabaseSync(databasePath(data), { timeout: 5000 });
  const rows = db.prepare("SELECT kind, count(*) AS count FROM records GROUP BY kind ORDER BY kind").all();
  return Object.fromEntries(rows.map(({ kind, count }) => [String(kind), Number(count)]));
}

async function expectUndecided(data: string): Promise<void> {
  const { exitCode, stdout, stderr } = await runCommand(["serve", "--listen", "127.0.0.1:0", "--data", data]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
  expect(stderr).toMatch(
    /^portcullis: the store is a copy of \d{4}-[\dT:.-]+Z: run "store restore" first, which ends [^\n]*--keep-credentials\n$/,
  );
}

describe("a copy on which nobody has decided", () => {
  it("is not served, nor changed by the attempt", async () => {
    const data = putBack();
    await expectUndecided(data);
    expect(existsSync(`${data}/admin.token`)).toBe(false);
    await expectUndecided(data);
  });

  it("is open to all other commands, which decide nothing, and its copies are like it", async () => {
    const data = putBack();
    expect((await store("verify", "--data", data)).exitCode).toBe(0);
    expect((await store("rebuild", "--data", data)).exitCode).toBe(0);
    expect((await store("export", directory.join("copy.jsonl"), "--data", data)).exitCode).toBe(0);
    await runJson(data, "token", "revoke", personal.id);
    await runJson(data, "user", "add", "bob", "--role", "ORG_OWNER");
    const again = directory.join("copied-again");
    mkdirSync(again);
    await runJson(data, "store", "backup", databasePath(again));
    await expectUndecided(data);
    await expectUndecided(again);
  });
});

describe("store backup", () => {
  it.for([
    { name: "a sync", call: "/^f(data)?sync$", atLeast: 3 },
    { name: "a removal", call: "/^unlink", atLeast: 1 },
  ])("that is killed at $name leaves no file of that name, or one with its mark", async (killed, context) => {
    skipBecause(context, whyNoStrace());
    const { call, atLeast } = killed;
    let kills = 0;
    for (let count = 1; ; count += 1) {
      const data = putBack();
      expect((await restore(data, "--keep-credentials")).exitCode).toBe(0);
      const records = countRecords(data);
      const elsewhere = directory.join(`${kills}-of-${restored}`);
      mkdirSync(elsewhere);
      const kill = ["-e", `trace=${call}`, "-e", `inject=${call}:signal=SIGKILL:when=${count}`];
      const under = ["strace", "-D", "-f", "-o", directory.join("trace"), ...kill];
      const backup = ["store", "backup", databasePath(elsewhere), "--data", data];
      await using process = new PortcullisProcess(backup, { under });
      const { signal } = await process.ended;
      if (existsSync(databasePath(elsewhere))) {
        expect(countRecords(elsewhere)).toEqual({ ...records, copy_mark: 1 });
        expect((await verifyStore(elsewhere)).problems).toEqual([]);
      }
      expect(countRecords(data)).toEqual(records);
      if (signal === null) break;
      kills += 1;
    }
    expect(kills).toBeGreaterThanOrEqual(atLeast);
  });
});

describe("store restore", () => {
  it("ends sessions and issued tokens, and lists the credentials that stay", async () => {
    const data = putBack();
    const { exitCode, stdout, stderr } = await restore(data);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^ended all sessions, codes and issued tokens, and removed the issuer's keys\n/);
    expect(stdout).toMatch(/as it was at \d{4}-[\dT:.-]+Z/);
    expect(stdout).toMatch(/^ada {2,}ORG_OWNER@\d+ {2,}\d{4}-\S+ {2,}no secret$/m);
    expect(stdout).toMatch(new RegExp(`^${personal.id} +ada .* never$`, "m"));
    expect(stdout).toMatch(new RegExp(`^${key.keyId} +ada .* never$`, "m"));
    expect(stdout).toMatch(new RegExp(`^${clientId} +App +no$`, "m"));
    expect(countRecords(data)).toEqual({});
    expect((await verifyStore(data)).problems).toEqual([]);

    await using server = await startServer({ data, flags: ["--issuer"] });
    expect(await whatCounts(server, visitors.ended)).toEqual({ session: false, access: false, personal: true });
    expect(await isRefreshed(server)).toBe(false);
    // The password that was replaced after the copy is the user's again, and so they sign in.
    const { returned } = await signIn(new Visitor(), { ...applicationOf(server), ...ada });
    expect(returned.searchParams.has("code")).toBe(true);
  });

  it("keeps everything where it is told to", async () => {
    const data = putBack();
    const { copy_mark: mark, ...others } = countRecords(data);
    expect(mark).toBe(1);
    expect(await restore(data, "--keep-credentials")).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^kept everything as it was at \d{4}-[\dT:.-]+Z\n$/),
    });
    expect(countRecords(data)).toEqual(others);
    await using server = await startServer({ data, flags: ["--issuer"] });
    expect(await whatCounts(server, visitors.kept)).toEqual({ session: true, access: true, personal: true });
    expect(await isRefreshed(server)).toBe(true);
  });

  it("prints JSON, without what has expired, and has nothing to decide a second time", async () => {
    const data = putBack();
    const before = await runJson<{ readonly tokens: readonly { readonly id: string }[] }>(data, "store", "restore");
    expect(before).toMatchObject({
      decided: "end",
      madeAt: expect.stringMatching(/Z$/),
      users: [{ name: "admin" }, { name: "ada", passwordSet: expect.stringMatching(/Z$/), secretSet: null }],
      keys: [{ id: key.keyId, user: "ada", expires: null }],
      clients: [{ id: clientId, name: "App", isConfidential: false }],
    });
    expect(before.tokens.map(({ id }) => id)).toHaveLength(2);
    expect(before.tokens).toContainEqual(expect.objectContaining({ id: personal.id, user: "ada" }));
    await using _ = await startServer({ data, flags: ["--issuer"] });
    for (const flags of [[], ["--keep-credentials"]]) {
      expect(await runJson(data, "store", "restore", ...flags)).toEqual({ decided: null, madeAt: null });
      expect(await restore(data, ...flags)).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(/^there is nothing to decide: /),
      });
    }
  });

  it("ends what is in any other store only where it is told to", async () => {
    const url = await postgres.createDatabase();
    const exported = directory.join("export.jsonl");
    expect((await store("export", exported, "--store", `sqlite:${copy}`)).exitCode).toBe(0);
    expect((await store("import", exported, "--store", url)).exitCode).toBe(0);
    const opened = await openStore({ location: url });
    try {
      const ref: RecordRef = { record: "issued_Session", id: "a" };
      const records = [{ ref, to: { value: {} } }];
      await opened.execute({ actor: "test", reads: [], decide: () => ({ changes: [], records, value: undefined }) });
      const isThere = async () => (await opened.read([ref])).record(ref) !== undefined;
      expect(await store("restore", "--store", url)).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(/^there is nothing to decide: [^\n]+ --force [^\n]+\n$/),
      });
      expect(await isThere()).toBe(true);
      expect(await store("restore", "--force", "--store", url)).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining("as it was when the copy was made."),
      });
      expect(await isThere()).toBe(false);
    } finally {
      await opened.close();
    }
  });

  it("decides wholly where two decide at once", async () => {
    for (const other of ["--keep-credentials", "--json"]) {
      const data = putBack();
      const decided = await Promise.all([
        runJson<{ decided: string | null }>(data, "store", "restore"),
        runJson<{ decided: string | null }>(data, "store", "restore", other),
      ]);
      const [first, second] = decided.map((each) => each.decided);
      const { copy_mark: mark, ...others } = countRecords(data);
      expect(mark).toBeUndefined();
      expect([first, second]).not.toEqual([null, null]);
      expect(Object.keys(others).length > 0).toBe(first === null && second === "keep");
    }
  });

  it("leaves the decision open, and what it would end in place, until it is made", async (context) => {
    skipBecause(context, whyNoStrace());
    let kills = 0;
    const outcomes = new Set<string>();
    for (const call of ["pwrite64", "fdatasync", "fsync"]) {
      for (let count = 1; ; count += 1) {
        const data = putBack();
        const before = countRecords(data);
        const log = `${databasePath(data)}-wal`;
        const kill = ["-e", `trace=${call}`, "-e", `inject=${call}:signal=SIGKILL:when=${count}`];
        const under = ["strace", "-D", "-f", "-o", directory.join("trace"), "-P", log, ...kill];
        await using process = new PortcullisProcess(["store", "restore", "--data", data], { under });
        const { signal } = await process.ended;
        if (signal === null) break;
        kills += 1;
        const after = countRecords(data);
        outcomes.add(Object.keys(after).length === 0 ? "made" : "open");
        if (Object.keys(after).length > 0) expect(after).toEqual(before);
        expect((await verifyStore(data)).problems).toEqual([]);
        expect((await restore(data)).exitCode).toBe(0);
        expect(countRecords(data)).toEqual({});
      }
    }
    expect(kills).toBeGreaterThanOrEqual(3);
    expect(outcomes).toContain("open");
  });
});
