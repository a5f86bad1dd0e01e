import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { readCopyMark } from "../../src/application/restored-copy.ts";
import { copyMarkRef } from "../../src/store/copy-mark.ts";
import { backupStore, finishStore, migrateStore } from "../../src/store/open.ts";
import { applicationId, migrations, schemaVersion } from "../../src/store/sqlite/migrations.ts";
import { addCounter, countUp } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { makeDirectory, makePath, openAt } from "./fixtures/places.ts";

/** A store as the first version of the program made it. */
function makeFirstVersion(): string {
  const path = makePath();
  using db = new DatabaseSync(path);
  db.exec(
    `${migrations[0]} PRAGMA application_id = ${applicationId}; PRAGMA user_version = 1; PRAGMA journal_mode = WAL`,
  );
  return path;
}

describe("a copy of a SQLite file", () => {
  it("is a sound store as of one moment, beside writers who do not wait for it", async () => {
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addCounter("a"));
    let isOver = false;
    let written = 0;
    const writing = (async () => {
      while (!isOver) written = (await store.execute(countUp("a"))).value;
    })();
    const directory = makeDirectory();
    const copies = [];
    for (let n = 0; n < 5; n += 1) {
      const before = written;
      const to = join(directory, `${n}.db`);
      await backupStore({ location: `sqlite:${path}`, to });
      copies.push({ to, before, after: written + 1 });
    }
    isOver = true;
    await writing;
    expect(readdirSync(directory)).toHaveLength(5);
    for (const { to, before, after } of copies) {
      expect(statSync(to).mode & 0o777).toBe(0o600);
      const copy = await openAt(to);
      const { problems, events } = await copy.verify();
      expect(problems).toEqual([]);
      expect(events - 2).toBeGreaterThanOrEqual(before);
      expect(events - 2).toBeLessThanOrEqual(after);
      expect((await copy.execute(countUp("a"))).value).toBe(events - 1);
    }
    expect(await store.verify()).toMatchObject({ problems: [], events: written + 2 });
  });

  it("is made of a store of an older version as it is, from the first version that can have its mark", async () => {
    const [path, to, again] = [makeFirstVersion(), makePath(), makePath()];
    await backupStore({ location: `sqlite:${path}`, to });
    await backupStore({ location: `sqlite:${to}`, to: again });
    expect([path, to, again].map((file) => readFileSync(file).readUInt32BE(60))).toEqual([1, 2, 2]);
    expect(await readCopyMark(await openAt(to))).toEqual({ madeAt: expect.any(Number) });
  });

  it("has the mark of a copy in its one file, and the store has not", async () => {
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addCounter("a"));
    const directory = makeDirectory();
    const before = Date.now();
    await backupStore({ location: `sqlite:${path}`, to: join(directory, "copy.db") });
    const after = Date.now();
    expect(readdirSync(directory)).toEqual(["copy.db"]);
    expect(await readCopyMark(store)).toBeUndefined();
    const copy = await openAt(join(directory, "copy.db"));
    const { madeAt = 0 } = (await readCopyMark(copy)) ?? {};
    expect(madeAt).toBeGreaterThanOrEqual(before);
    expect(madeAt).toBeLessThanOrEqual(after);
  });

  it("keeps the mark through writes and a rebuild, and hands it on to its own copies", async () => {
    const [path, to, again] = [makePath(), makePath(), makePath()];
    await openAt(path);
    await backupStore({ location: `sqlite:${path}`, to });
    const copy = await openAt(to);
    const mark = await readCopyMark(copy);
    expect(mark).toBeDefined();
    // The clock may show the same millisecond, so the copy of the copy would not differ.
    const earlier = { madeAt: (mark?.madeAt ?? 0) - 1000 };
    const records = [{ ref: copyMarkRef, to: { value: earlier } }];
    await copy.execute({ actor: "test", reads: [], decide: () => ({ changes: [], records, value: undefined }) });
    await copy.execute(addCounter("a"));
    await copy.rebuild();
    await backupStore({ location: `sqlite:${to}`, to: again });
    for (const each of [copy, await openAt(again)]) expect(await readCopyMark(each)).toEqual(earlier);
  });

  it("takes no name that is taken, not even the store's own", async () => {
    const path = makePath();
    await openAt(path);
    const taken = join(dirname(path), "taken");
    writeFileSync(taken, "kept");
    for (const to of [taken, path]) {
      const message = await expectStoreError(backupStore({ location: `sqlite:${path}`, to }), "unavailable");
      expect(message).toBe(`The copy ${to} cannot be made: that file exists. Give another name.`);
    }
    expect(readFileSync(taken, "utf8")).toBe("kept");
  });

  it("makes no directory, and leaves nothing behind where it fails", async () => {
    const path = makePath();
    await openAt(path);
    const to = join(dirname(path), "missing", "copy.db");
    const message = await expectStoreError(backupStore({ location: `sqlite:${path}`, to }), "unavailable");
    expect(message).toBe(`The copy ${to} cannot be made: its directory does not exist. Make it first.`);
    expect(existsSync(dirname(to))).toBe(false);
  });

  it("is made of nothing that is no store", async () => {
    const path = makePath();
    writeFileSync(path, "a text");
    chmodSync(path, 0o600);
    const to = makePath();
    await expectStoreError(backupStore({ location: `sqlite:${path}`, to }), "unsupported_schema");
    expect(existsSync(to)).toBe(false);
  });

  it("is left to PostgreSQL's own program there, and makes no sense of a store in memory", async () => {
    const to = makePath();
    const message = await expectStoreError(backupStore({ location: "postgres://a@127.0.0.1:1/b", to }), "unavailable");
    expect(message).toContain("pg_dump");
    await expectStoreError(backupStore({ location: "memory:", to }), "unavailable");
  });
});

describe("migrating a SQLite file by hand", () => {
  it("brings it to the newest version, once", async () => {
    const path = makeFirstVersion();
    expect(await migrateStore({ location: `sqlite:${path}` })).toEqual({
      from: 1,
      to: schemaVersion,
      isFinished: false,
    });
    expect(await migrateStore({ location: `sqlite:${path}` })).toEqual({
      from: schemaVersion,
      to: schemaVersion,
      isFinished: false,
    });
    const store = await openAt(path);
    await store.execute(addCounter("a"));
  });

  it("makes no store where there is none", async () => {
    const path = makePath();
    await expectStoreError(migrateStore({ location: `sqlite:${path}` }), "unavailable");
    expect(existsSync(path)).toBe(false);
  });

  it("has nothing to do in memory", async () => {
    expect(await migrateStore({ location: "memory:" })).toMatchObject({ from: schemaVersion, isFinished: true });
    expect(await finishStore({ location: "memory:" })).toBe(false);
  });
});
