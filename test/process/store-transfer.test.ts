import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applicationId, migrations, schemaVersion } from "../../src/store/sqlite/migrations.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { Api } from "./api.ts";
import { databasePath } from "./database.ts";
import {
  type Ended,
  program,
  runCommand,
  runJson,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

// Stores that move, are copied and are brought forward by the command line, some of them beside a server that writes.

let directory: TemporaryDirectory;
let server: ServerProcess;
let data: string;
let postgres: Postgres;
let isOver = false;
let writing: Promise<void>;

beforeAll(async () => {
  directory = new TemporaryDirectory();
  data = directory.join("data");
  [server, postgres] = await Promise.all([startServer({ data }), startPostgres()]);
  const admin = new Api(server.url, server.adminToken);
  await runJson(data, "org", "add", "Busy", "--id", "busy");
  await admin.addPolicy("busy");
  writing = (async () => {
    for (let isThere = false; !isOver; isThere = !isThere) {
      const { status } = await (isThere ? admin.removeFactor("OTP_SMS", "busy") : admin.addFactor("OTP_SMS", "busy"));
      if (status !== 200) throw new Error(`a write was answered with ${status}`);
    }
  })();
});
afterAll(async () => {
  isOver = true;
  await writing;
  await server[Symbol.asyncDispose]();
  await postgres.stop();
  directory[Symbol.dispose]();
});

const store = (subcommand: string, ...args: string[]): Promise<Ended> => runCommand(["store", subcommand, ...args]);
const success = (line: RegExp) => ({ exitCode: 0, signal: null, stdout: expect.stringMatching(line), stderr: "" });
const refusal = (sentence: RegExp) => ({
  exitCode: 1,
  signal: null,
  stdout: "",
  stderr: expect.stringMatching(new RegExp(`^portcullis: [^\\n]*${sentence.source}[^\\n]*\\n$`)),
});
const shell = (line: string) =>
  spawnSync("bash", ["-c", `set -o pipefail; ${line}`], {
    encoding: "utf8",
    env: { ...process.env, node: process.execPath, program, data },
  });

/** Serves what is in a directory with the admin's token of the first server, which must be good there. */
async function serve(elsewhere: string): Promise<void> {
  copyFileSync(`${data}/admin.token`, `${elsewhere}/admin.token`);
  await using other = await startServer({ data: elsewhere });
  const admin = new Api(other.url, other.adminToken);
  expect((await admin.readPolicy("busy")).status).toBe(200);
  expect((await admin.addFactor("OTP_EMAIL", "busy")).status).toBe(200);
  expect((await other.stop()).exitCode).toBe(0);
}

describe("store export and import", () => {
  it("move the store of a server that writes to another directory, where it is served", async () => {
    const file = directory.join("moved.jsonl");
    expect(await store("export", file, "--data", data)).toEqual(
      success(/^exported \d+ events of \d+ aggregates to .+moved\.jsonl\n$/),
    );
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const elsewhere = directory.join("moved");
    expect(await store("import", file, "--data", elsewhere)).toEqual(
      success(/^imported \d+ events of \d+ aggregates, in the same state\n$/),
    );
    expect(await store("verify", "--data", elsewhere)).toEqual(success(/^the store is sound/));
    await serve(elsewhere);
  });

  it("move it to PostgreSQL and back through pipes, and the lines stay the same", async () => {
    const url = await postgres.createDatabase();
    const first = directory.join("first.jsonl");
    const { events, aggregates } = await runJson<Record<string, number>>(data, "store", "export", first);
    const toPostgres = shell(`"$node" "$program" store import --store ${url} --json < ${first}`);
    expect(toPostgres).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(toPostgres.stdout)).toEqual({ events, aggregates });
    const back = directory.join("back");
    const piped = shell(
      `"$node" "$program" store export - --store ${url} | "$node" "$program" store import - --data ${back}`,
    );
    expect(piped).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringContaining(`imported ${events} events`),
    });
    const again = await store("export", "--data", back);
    expect(again).toEqual({ exitCode: 0, signal: null, stdout: readFileSync(first, "utf8"), stderr: "" });
    expect(await store("verify", "--store", url)).toEqual(success(/^the store is sound/));
  });

  it.each(["", "-"])("end quietly, but not with 0, when the reader stops before the end ('%s')", (file) => {
    const ended = shell(`"$node" "$program" store export ${file} --data "$data" | true`);
    expect(ended).toMatchObject({ status: 1, stdout: "", stderr: "" });
  });

  it("make no file and no store of what breaks off on the way", () => {
    const elsewhere = directory.join("cut");
    const pipe = `"$node" "$program" store export - --data "$data" | head -c 1000`;
    const ended = shell(`(${pipe} || true) | "$node" "$program" store import - --data ${elsewhere}`);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(ended.stderr).toMatch(/^portcullis: The standard input is cut short [^\n]*\n$/);
    const whole = shell(
      `"$node" "$program" store export - --data "$data" | "$node" "$program" store import - --data ${elsewhere}`,
    );
    expect(whole).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync("-")).toBe(false);
  });

  it.runIf(existsSync("/dev/full"))("say in one sentence that the output cannot be written", () => {
    const ended = shell('"$node" "$program" store export --data "$data" > /dev/full');
    expect(ended).toMatchObject({ status: 1, stderr: "portcullis: the output cannot be written (ENOSPC)\n" });
  });

  it("write over no file, and into no directory that is not there", async () => {
    const taken = directory.join("taken");
    writeFileSync(taken, "kept");
    expect(await store("export", taken, "--data", data)).toEqual(
      refusal(/taken cannot be written \(it is there already\)/),
    );
    expect(readFileSync(taken, "utf8")).toBe("kept");
    const missing = directory.join("missing", "file");
    expect(await store("export", missing, "--data", data)).toEqual(refusal(/cannot be written \(ENOENT\)/));
  });

  it("refuse a store that has events, and one that no other process can open", async () => {
    const file = directory.join("refused.jsonl");
    await runJson(data, "store", "export", file);
    expect(await store("import", file, "--data", data)).toEqual(
      refusal(/has events already: import into an empty one/),
    );
    for (const subcommand of ["export", "import"]) {
      expect(await store(subcommand, "--store", "memory:")).toEqual(
        refusal(/another process cannot open a store in memory/),
      );
    }
  });

  it("refuse what is no whole export, and leave an empty store", async () => {
    const [whole, cut] = [directory.join("whole.jsonl"), directory.join("cut.jsonl")];
    await runJson(data, "store", "export", whole);
    writeFileSync(cut, readFileSync(whole).subarray(0, -100));
    const elsewhere = directory.join("broken");
    expect(await store("import", cut, "--data", elsewhere)).toEqual(refusal(/cut\.jsonl is cut short in line \d+\./));
    expect(await store("import", elsewhere, "--data", elsewhere)).toEqual(refusal(/cannot be read \(EISDIR\)/));
    expect(shell(`"$node" "$program" store import --data ${elsewhere} < /dev/null`)).toMatchObject({
      status: 1,
      stderr: "portcullis: The standard input is empty.\n",
    });
    expect(await store("verify", "--data", elsewhere)).toEqual(success(/: 0 events, 0 aggregates\n$/));
    expect(await store("import", whole, "--data", elsewhere)).toEqual(success(/^imported /));
  });

  it("make no store where there is nothing to read", async () => {
    const elsewhere = directory.join("nothing");
    const missing = directory.join("missing.jsonl");
    expect(await store("import", missing, "--data", elsewhere)).toEqual(refusal(/cannot be read \(ENOENT\)/));
    expect(existsSync(elsewhere)).toBe(false);
    expect(await store("export", "--data", elsewhere)).toEqual(refusal(/there is no store at/));
  });
});

describe("store backup", () => {
  it("copies the store of a server that writes, and the copy is sound, and served once that is decided", async () => {
    const elsewhere = directory.join("backup");
    mkdirSync(elsewhere);
    const file = databasePath(elsewhere);
    expect(await store("backup", file, "--data", data)).toEqual(success(/^copied the store to .+portcullis\.db\n$/));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await store("verify", "--store", `sqlite:${file}`)).toEqual(success(/^the store is sound/));
    expect(await store("backup", file, "--data", data)).toEqual(refusal(/that file exists/));
    expect(await store("restore", "--keep-credentials", "--data", elsewhere)).toEqual(success(/^kept everything/));
    await serve(elsewhere);
  });

  it("prints JSON, and refuses what is no file", async () => {
    const file = directory.join("copy-2.db");
    expect(await runJson(data, "store", "backup", file)).toEqual({ file });
    const url = "postgres://ada:s3cret@127.0.0.1:1/x";
    expect(await store("backup", directory.join("no"), "--store", url)).toEqual(refusal(/pg_dump/));
    expect(await store("backup", directory.join("no"), "--data", directory.join("none"))).toEqual(
      refusal(/no store at/),
    );
  });
});

describe("store migrate", () => {
  const unfinished = "the migration is not finished: .*, run .portcullis store migrate --finish.";
  const nothingToDo = new RegExp(
    `^the schema has version ${schemaVersion}, the newest, and is finished: nothing to do\n$`,
  );

  it("brings a file of an older version to the newest, and says so", async () => {
    const path = directory.join("old.db");
    const db = new DatabaseSync(path);
    db.exec(`${migrations[0]} PRAGMA application_id = ${applicationId}; PRAGMA user_version = 1`);
    db.close();
    const location = `sqlite:${path}`;
    expect(await store("migrate", "--store", location)).toEqual(
      success(new RegExp(`^brought the schema from version 1 to version ${schemaVersion}\n${unfinished}\n$`)),
    );
    expect(await store("migrate", "--store", location)).toEqual(success(new RegExp(`^${unfinished}\n$`)));
    const newest = { from: schemaVersion, to: schemaVersion };
    expect(await runJson(data, "store", "migrate", "--store", location)).toEqual({ ...newest, finished: false });
    expect(await store("migrate", "--finish", "--store", location)).toEqual(
      success(/^finished the migration: older versions can no longer write\n$/),
    );
    for (const finish of [[], ["--finish"]]) {
      expect(await store("migrate", ...finish, "--store", location)).toEqual(success(nothingToDo));
      expect(await store("migrate", ...finish, "--store", "memory:")).toEqual(success(nothingToDo));
      expect(await runJson(data, "store", "migrate", ...finish)).toEqual({ ...newest, finished: true });
    }
    expect(await store("migrate", "--data", directory.join("none"))).toEqual(refusal(/no store at/));
  });

  it("makes the schema of a new database", async () => {
    const url = await postgres.createDatabase();
    expect(await store("migrate", "--store", url)).toEqual(
      success(/^brought the schema from version 0 to version \d+\n$/),
    );
    for (const finish of [[], ["--finish"]]) {
      expect(await store("migrate", ...finish, "--store", url)).toEqual(
        success(/version \d+, the newest, and is finished/),
      );
    }
    expect(await store("verify", "--store", url)).toEqual(success(/: 0 events, 0 aggregates\n$/));
  });
});
