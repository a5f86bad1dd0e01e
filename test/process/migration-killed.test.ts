import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { finishStore, migrateStore, openStore } from "../../src/store/open.ts";
import { migrations as postgresMigrations } from "../../src/store/postgres/migrations.ts";
import { schemaVersion } from "../../src/store/sqlite/migrations.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { isWhole } from "../fixtures/sample.ts";
import { addCounter, countUp } from "../store/fixtures/commands.ts";
import { type Fill, makeOlderDatabase, makeOlderFile } from "../store/fixtures/older-store.ts";
import { databasePath, versionOf } from "./database.ts";
import { TemporaryDirectory } from "./portcullis.ts";
import { SickDisk } from "./sick-disk.ts";

// A migration is killed before each of its steps, or loses power there: the store is as before, or migrated, and sound.

const counters = 5;
const events = counters * 3;
const fill: Fill = async (store) => {
  for (let number = 0; number < counters; number += 1) {
    await store.execute(addCounter(`c${number}`));
    await store.execute(countUp(`c${number}`));
  }
};

/** Brings the store to the newest schema, in a process of its own. Resolves to whether it was killed. */
async function runKilled(env: Readonly<Record<string, string>>, ...args: string[]): Promise<boolean> {
  const script = fileURLToPath(new URL("migrate-process.ts", import.meta.url));
  const child = spawn(process.execPath, [script, ...args], { env: { ...process.env, ...env }, stdio: "inherit" });
  const [exitCode, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  expect([exitCode, signal]).toEqual(signal === null ? [0, null] : [null, "SIGKILL"]);
  return signal !== null;
}

async function expectSound(location: string): Promise<void> {
  const store = await openStore({ location });
  try {
    expect(await store.verify()).toEqual({ problems: [], events, aggregates: counters });
  } finally {
    await store.close();
  }
}

/** From the first schema version, all migrations run. */
const cases = [
  { work: "migrate", step: isWhole ? 1 : 3 },
  // It has many more changes.
  { work: "finish", step: isWhole ? 3 : 9 },
] as const;

describe.each(cases)("$work of a SQLite file", { timeout: 300_000 }, ({ work, step }) => {
  it("can be killed, or lose power, before the changes of its files", async (context) => {
    using directory = new TemporaryDirectory();
    const disk = SickDisk.create(context, directory);
    const original = directory.join("original");
    mkdirSync(original, { mode: 0o700 });
    await makeOlderFile(databasePath(original), 1, fill);
    const locationOf = (data: string) => `sqlite:${databasePath(data)}`;
    // What ends a migration has the newest schema before it.
    if (work === "finish") await migrateStore({ location: locationOf(original) });
    const before = versionOf(original);
    const found = new Set<number>();
    let kills = 0;
    for (let isKilled = true; isKilled; kills += 1) {
      const data = directory.join(`data-${kills}`);
      cpSync(original, data, { recursive: true });
      // The index of the log, whose name ends in m, is made again.
      disk.fail({ fault: "KILL", operations: "change", of: `${data}/*[!m]`, from: 1 + kills * step });
      isKilled = await runKilled({ ...disk.env, ...disk.follow(data) }, locationOf(data), work);
      disk.heal();
      for (const left of [disk.losePower(data, `durable-${kills}`), data]) {
        const version = versionOf(left);
        expect(isKilled ? [before, schemaVersion] : [schemaVersion]).toContain(version);
        found.add(version);
        await expectSound(locationOf(left));
        if (work === "migrate") continue;
        await finishStore({ location: locationOf(left) });
        await expectSound(locationOf(left));
      }
    }
    expect(kills * step).toBeGreaterThan(10);
    expect(found).toEqual(new Set([before, schemaVersion]));
  });
});

describe.each(cases)("$work of a PostgreSQL schema", ({ work }) => {
  const step = isWhole ? 1 : 2;

  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(() => postgres.stop());

  it("can be killed before everything that it sends", { timeout: 300_000 }, async (context) => {
    using directory = new TemporaryDirectory();
    const disk = SickDisk.create(context, directory);
    const versions: number[] = [];
    let kills = 0;
    for (let isKilled = true; isKilled; kills += 1) {
      const location = await postgres.createDatabase();
      await makeOlderDatabase(location, 1, fill);
      if (work === "finish") await migrateStore({ location });
      disk.fail({ fault: "KILL", operations: "change", of: "socket:*", from: 1 + kills * step });
      isKilled = await runKilled(disk.env, location, work);
      disk.heal();
      const { rows } = await query(location, "SELECT version FROM portcullis.schema_version");
      versions.push(Number(rows[0]?.version));
      await expectSound(location);
      if (work === "migrate") continue;
      await finishStore({ location });
      await expectSound(location);
    }
    expect(kills * step).toBeGreaterThan(8);
    expect(versions.at(-1)).toBe(postgresMigrations.length);
    if (work === "migrate") expect(new Set(versions)).toEqual(new Set([1, postgresMigrations.length]));
  });
});
