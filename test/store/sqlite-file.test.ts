import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { readPragma } from "../../src/store/sqlite/connect.ts";
import { migrate } from "../../src/store/sqlite/migrate.ts";
import { migrations, schemaVersion } from "../../src/store/sqlite/migrations.ts";
import { organizationRef } from "../../src/store/store.ts";
import { addOrganization } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { makeOlderFile } from "./fixtures/older-store.ts";
import { makeDirectory, makePath, openAt } from "./fixtures/places.ts";
import { runScript } from "./fixtures/processes.ts";

async function makeStore(): Promise<string> {
  const path = makePath();
  const store = await openAt(path);
  await store.execute(addOrganization("a"));
  await store.close();
  return path;
}

function change(path: string, sql: string): void {
  using db = new DatabaseSync(path);
  db.exec(sql);
}

/** Opens what should be refused, and checks that nothing in its directory changed. */
async function refuse(path: string, code: Parameters<typeof expectStoreError>[1]): Promise<string> {
  // What SQLite keeps in -shm are the locks of those who have the file open.
  const names = (): string[] => readdirSync(dirname(path));
  const contentOf = (name: string): unknown => (name.endsWith("-shm") ? "" : readFileSync(join(dirname(path), name)));
  const look = (): unknown => names().map((name) => [name, contentOf(name)]);
  const before = look();
  const message = await expectStoreError(openAt(path), code);
  expect(look()).toEqual(before);
  expect(message).toContain(path);
  return message;
}

describe("creating a store", () => {
  it("makes the directories, for this user alone, and one file that only this user can read", async () => {
    const path = join(makeDirectory(), "deep/er/store.db");
    const store = await openAt(path);
    await store.execute(addOrganization("a"));
    await store.close();
    expect(readdirSync(dirname(path))).toEqual(["store.db"]);
    const modes = [path, dirname(path), dirname(dirname(path))].map((made) => statSync(made).mode & 0o777);
    expect(modes).toEqual([0o600, 0o700, 0o700]);
  });

  it("keeps the write-ahead log from other users too", async () => {
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addOrganization("a"));
    expect(["-wal", "-shm"].map((suffix) => statSync(`${path}${suffix}`).mode & 0o777)).toEqual([0o600, 0o600]);
  });

  it("marks the file as ours, with a schema version and a write-ahead log", async () => {
    const header = readFileSync(await makeStore());
    expect(header.subarray(0, 16).toString()).toBe("SQLite format 3\0");
    expect(header.subarray(68, 72).toString()).toBe("Port");
    expect(header.readUInt32BE(60)).toBe(schemaVersion);
    expect([header[18], header[19]]).toEqual([2, 2]);
  });

  it("leaves one store when several processes start at once", { timeout: 30_000 }, async () => {
    const path = join(makeDirectory(), "new/store.db");
    const scripts = Array.from({ length: 5 }, () => runScript("writer-process.ts", [`sqlite:${path}`, "new"]));
    for (const script of scripts) await script.printed(1);
    for (const script of scripts) script.go();
    for (const script of scripts) await script.ended();
    expect(readdirSync(dirname(path))).toEqual(["store.db"]);
    const store = await openAt(path);
    expect(await store.list("organization")).toHaveLength(5);
    expect(await store.verify()).toMatchObject({ problems: [], events: 10 });
  });

  it("removes what a killed process left long ago, and not what may be another's work", async () => {
    const path = makePath();
    for (const name of ["old", "young"]) writeFileSync(`${path}.new-1-${name}`, "half a store");
    utimesSync(`${path}.new-1-old`, 1, 1);
    await openAt(path);
    expect([existsSync(`${path}.new-1-old`), existsSync(`${path}.new-1-young`)]).toEqual([false, true]);
  });
});

describe("opening what is no store", () => {
  it.each([
    ["is empty", ""],
    ["is not a SQLite database", "a file of other people, longer than the header of a database would be. ".repeat(20)],
    ["is not a SQLite database", "short"],
  ])("refuses a file that %s and leaves it as it is", async (sentence, content) => {
    const path = makePath();
    writeFileSync(path, content);
    expect(await refuse(path, "unsupported_schema")).toContain(sentence);
  });

  it.each(["DELETE", "WAL"])(
    "refuses a database of another program in %s mode and leaves it as it is",
    async (mode) => {
      const path = makePath();
      change(path, `PRAGMA journal_mode = ${mode}; CREATE TABLE theirs (a); PRAGMA user_version = 1`);
      expect(await refuse(path, "unsupported_schema")).toContain("is a SQLite database of another program");
    },
  );

  it("refuses a store of a newer version and leaves it as it is", async () => {
    const path = await makeStore();
    change(path, "PRAGMA user_version = 99");
    const message = await refuse(path, "unsupported_schema");
    expect(message).toContain(
      `has schema version 99, and this program knows versions up to ${schemaVersion}: start the newer version`,
    );
  });

  it("refuses a store whose newer version is still in its write-ahead log", async () => {
    const path = await makeStore();
    using other = new DatabaseSync(path);
    other.exec("PRAGMA user_version = 99");
    expect(readFileSync(path).readUInt32BE(60)).toBe(schemaVersion);
    expect(await refuse(path, "unsupported_schema")).toContain("has schema version 99");
  });

  it("returns corrupt for a store whose beginning is damaged", async () => {
    const path = await makeStore();
    const bytes = readFileSync(path);
    bytes.fill(0x20, 0, 16);
    writeFileSync(path, bytes);
    expect(await refuse(path, "corrupt")).toContain("is damaged. Verify it, or restore it from a backup.");
  });

  it("returns corrupt for a store without its tables", async () => {
    const path = await makeStore();
    change(path, "DROP TABLE keys");
    await expectStoreError(openAt(path), "corrupt");
  });

  it("says what is wrong with a path", async () => {
    const directory = makeDirectory();
    writeFileSync(join(directory, "file"), "");
    mkdirSync(join(directory, "folder"));
    symlinkSync(join(directory, "nothing"), join(directory, "link"));
    const sentenceFor = (path: string): Promise<string> =>
      expectStoreError(openAt(join(directory, path)), "unavailable");
    expect(await sentenceFor("folder")).toContain("it is a directory. Give the path of a file in it.");
    expect(await sentenceFor("file/store.db")).toContain("a part of its path that should be a directory is a file.");
    expect(await sentenceFor("link")).toContain("it is a symbolic link to nothing.");
    expect(await sentenceFor("n".repeat(300))).toContain("its path is too long.");
    expect(readdirSync(directory)).toEqual(["file", "folder", "link"]);
  });

  it("says that permission is missing", async () => {
    const path = await makeStore();
    chmodSync(dirname(path), 0);
    onTestFinished(() => chmodSync(dirname(path), 0o700));
    // In a process of its own, because root has every permission, and so becomes nobody first.
    const program = `
      const { openStore } = await import(${JSON.stringify(new URL("../../src/store/open.ts", import.meta.url).href)});
      if (process.getuid?.() === 0) process.setuid(65534);
      await openStore({ location: ${JSON.stringify(`sqlite:${path}`)} }).catch(({ code, message }) => {
        console.log(code, message);
      });`;
    const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program]);
    expect(stdout.toString()).toBe(
      `unavailable The store ${path} cannot be opened: ` +
        "this process has no permission to read and write it or its directory.\n",
    );
  });

  it.runIf(process.platform === "linux")("says where it can make no directory", async () => {
    // Nobody may create anything there, not even root.
    const message = await expectStoreError(openAt("/sys/portcullis/store.db"), "unavailable");
    expect(message).toContain("The store /sys/portcullis/store.db cannot be opened");
  });
});

describe("opening a store", () => {
  it("follows a symbolic link", async () => {
    const path = await makeStore();
    const link = join(makeDirectory(), "link.db");
    symlinkSync(path, link);
    const store = await openAt(link);
    await store.execute(addOrganization("b"));
    expect(await store.list("organization")).toHaveLength(2);
  });

  it("takes a path with characters that mean something in a URL", async () => {
    const path = join(makeDirectory(), "a ?#%41&immutable=0.db");
    const store = await openAt(path);
    await store.execute(addOrganization("a"));
    await store.close();
    expect(readdirSync(dirname(path))).toEqual(["a ?#%41&immutable=0.db"]);
    expect((await (await openAt(path)).read([organizationRef("a")])).position).toBe(1);
  });

  it("takes a copy that SQLite made, which has no write-ahead log", async () => {
    const copy = makePath();
    change(await makeStore(), `VACUUM INTO '${copy}'`);
    expect(readFileSync(copy)[18]).toBe(1);
    const store = await openAt(copy);
    await store.execute(addOrganization("b"));
    expect(await store.verify()).toMatchObject({ problems: [], events: 2 });
  });

  it("refuses to write to a file that was removed while it was open, and so lost its name", async () => {
    const path = await makeStore();
    const store = await openAt(path);
    await store.execute(addOrganization("b"));
    renameSync(path, `${path}.away`);
    expect(await expectStoreError(store.execute(addOrganization("c")), "unavailable")).toContain("is gone");
    renameSync(`${path}.away`, path);
    await store.execute(addOrganization("c"));
    expect(await store.list("organization")).toHaveLength(3);
  });

  it("refuses to read a file that another has replaced, whose changes it would not see", async () => {
    const path = await makeStore();
    const other = await makeStore();
    const store = await openAt(path);
    await store.list("organization");
    renameSync(path, `${path}.away`);
    // It looks once in each run of microtasks.
    await nextTurn();
    expect(await expectStoreError(store.read([]), "unavailable")).toContain("is gone");
    renameSync(other, path);
    expect(await expectStoreError(store.list("organization"), "unavailable")).toContain("is gone");
  });
});

describe("a file that a killed process left in the middle of a checkpoint", () => {
  it("is opened, although its header is ahead of it", async () => {
    const [path, cut, whole] = [makePath(), makePath(), makePath()];
    const store = await openAt(path);
    await Promise.all(Array.from({ length: 100 }, (_, index) => store.execute(addOrganization(`o${index}`))));
    for (const copy of [cut, whole]) {
      for (const suffix of ["", "-wal"]) copyFileSync(`${path}${suffix}`, `${copy}${suffix}`);
    }
    change(whole, "PRAGMA wal_checkpoint(TRUNCATE)");
    const pageSize = 4096;
    const [header, before] = [readFileSync(whole).subarray(0, pageSize), readFileSync(cut)];
    const pages = header.readUInt32BE(28);
    expect(pages).toBeGreaterThan(before.length / pageSize);
    writeFileSync(cut, Buffer.concat([header, before.subarray(pageSize)]));
    expect(await (await openAt(cut)).verify()).toEqual({ problems: [], events: 100, aggregates: 100 });
  });
});

describe("migrate", () => {
  const later = [...migrations, "CREATE TABLE later (a INTEGER) STRICT; INSERT INTO later SELECT count(*) FROM events"];
  const insertEvent = `INSERT INTO events (position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor)
    VALUES (1, 'user', 'u', 1, 'UserRemoved', 1, '{}', 0, 'test')`;

  it("brings an older store to the newest schema with what it holds", () => {
    using db = new DatabaseSync(":memory:");
    migrate(db);
    db.exec(insertEvent);
    migrate(db, later);
    expect(db.prepare("SELECT a FROM later").all()).toMatchObject([{ a: 1 }]);
    expect(readPragma(db, "user_version")).toBe(schemaVersion + 1);
  });

  it.each(migrations.map((_, index) => index + 1))(
    "opens a file of schema version %i as it was left",
    async (version) => {
      const path = makePath();
      await makeOlderFile(path, version, (store) => store.execute(addOrganization("a", "A")));
      const store = await openAt(path);
      expect(await store.verify()).toEqual({ problems: [], events: 1, aggregates: 1 });
      const ref = { record: "code", id: "a" };
      await store.execute({
        actor: "test",
        reads: [],
        decide: () => ({ changes: [], records: [{ ref, to: { value: 1 } }], value: undefined }),
      });
      expect((await store.read([ref])).record(ref)).toEqual({ value: 1 });
      await store.close();
    },
  );

  it("changes nothing where a step fails", () => {
    using db = new DatabaseSync(":memory:");
    migrate(db);
    db.exec(insertEvent);
    expect(() => migrate(db, [...later, "CREATE TABLE later (b INTEGER) STRICT"])).toThrow();
    expect(readPragma(db, "user_version")).toBe(schemaVersion);
    expect(db.prepare("SELECT name FROM sqlite_schema WHERE name = 'later'").all()).toEqual([]);
  });

  it("does nothing to a store of the newest schema", () => {
    using db = new DatabaseSync(":memory:");
    migrate(db, later);
    migrate(db, later);
    expect(readPragma(db, "user_version")).toBe(schemaVersion + 1);
  });
});
