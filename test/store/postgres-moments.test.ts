import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { migrateStore, openStore } from "../../src/store/open.ts";
import { migrations } from "../../src/store/postgres/migrations.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, addOrganization, countUp, readCount } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { makeOlderDatabase } from "./fixtures/older-store.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const tables = ["head", "writers", "events", "aggregates", "keys", "records"];
const ref = organizationRef("a");
const readCountOf = async (store: Store): Promise<number> => readCount((await store.read([ref])).get(ref));

async function open(location: string): Promise<Store> {
  const store = await openStore({ location });
  onTestFinished(() => store.close());
  return store;
}

describe("a store that goes back to an earlier moment, and on from there", () => {
  /** As a failover that loses commits, or a restore under nodes that run. */
  async function keepCopy(location: string): Promise<() => Promise<unknown>> {
    await query(location, "CREATE SCHEMA copy");
    for (const table of tables) await query(location, `CREATE TABLE copy.${table} AS TABLE portcullis.${table}`);
    const restore = tables.map(
      (table) => `DELETE FROM portcullis.${table}; INSERT INTO portcullis.${table} SELECT * FROM copy.${table};`,
    );
    return () => query(location, restore.join("\n"));
  }

  it.each([
    { others: 1, moment: "that had as many commits" },
    { others: 2, moment: "that came before" },
  ])("is not taken for the one $moment", async ({ others }) => {
    const location = await postgres.createDatabase();
    const [before, after] = [await open(location), await open(location)];
    await before.execute(addCounter("a"));
    const restore = await keepCopy(location);
    await before.execute(countUp("a"));
    expect(await readCountOf(before)).toBe(1);
    await restore();
    for (let other = 0; other < others; other += 1) await after.execute(addOrganization(`b${other}`));

    expect(await readCountOf(before)).toBe(0);
    expect(await before.execute(countUp("a"))).toMatchObject({
      value: 1,
      events: [{ sequence: 3, position: 3 + others }],
    });
    expect(await readCountOf(after)).toBe(1);
    expect(await after.verify()).toMatchObject({ problems: [], events: 3 + others });
  });
});

describe.each(migrations.slice(1).map((_, index) => index + 1))("a store of schema version %i", (version) => {
  async function openOld(): Promise<string> {
    const location = await postgres.createDatabase();
    await makeOlderDatabase(location, version, async (store) => {
      await store.execute(addCounter("a"));
      await store.execute(countUp("a"));
    });
    return location;
  }

  /** A commit as nodes of the first version make it: it counts, and gives no id. */
  const writeAsOld = (location: string, name: string) =>
    query(
      location,
      `BEGIN; SELECT * FROM portcullis.head FOR UPDATE;
      INSERT INTO portcullis.records VALUES ('test', 'r', '"${name}"', NULL)
        ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value;
      UPDATE portcullis.head SET commits = commits + 1 WHERE id = 1; COMMIT`,
    );

  it("is brought forward with all that it holds", async () => {
    const location = await openOld();
    expect(await migrateStore({ location })).toEqual({ from: version, to: migrations.length, isFinished: false });
    const store = await open(location);
    expect(await readCountOf(store)).toBe(1);
    expect(await store.execute(countUp("a"))).toMatchObject({ value: 2, events: [{ sequence: 4, position: 4 }] });
    expect(await store.verify()).toMatchObject({ problems: [], events: 4 });
  });

  it("may still be written by nodes of that version", async () => {
    const location = await openOld();
    const store = await open(location);
    const record = { record: "test", id: "r" };
    const readRecord = async () => (await store.read([record])).record(record)?.value;
    expect(await readRecord()).toBeUndefined();
    for (const round of [1, 2]) {
      await writeAsOld(location, `before ${round}`);
      expect(await readRecord()).toBe(`before ${round}`);
      expect(await store.execute(countUp("a"))).toMatchObject({ value: round + 1 });
      await writeAsOld(location, `after ${round}`);
      expect(await readRecord()).toBe(`after ${round}`);
    }
  });

  it("makes nobody else wait for whoever reads it at length", async () => {
    const location = await openOld();
    const reading = new pg.Client(location);
    await reading.connect();
    onTestFinished(() => reading.end());
    await reading.query(
      "BEGIN; SELECT * FROM portcullis.head; SELECT * FROM portcullis.aggregates; SELECT * FROM portcullis.events",
    );
    expect(await expectStoreError(openStore({ location }), "unavailable")).toContain("export or dump");
    await reading.query("COMMIT");
    await open(location);
  });
});
