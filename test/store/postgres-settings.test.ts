import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { OwnServer, query } from "../fixtures/postgres.ts";
import { addCounter, addOrganization, countUp } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";

// A server of one's own: these settings are for more than one database.
const server = new OwnServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

let databases = 0;

async function createDatabase(options = ""): Promise<{ readonly location: string; readonly name: string }> {
  databases += 1;
  const name = `settings_${databases}`;
  await query(server.url, `CREATE DATABASE ${name} ${options}`);
  return { location: server.url.replace(/postgres$/, name), name };
}

async function open(location: string): Promise<Store> {
  const store = await openStore({ location });
  onTestFinished(() => store.close());
  return store;
}

describe("what a database has for a default", () => {
  it("does not make writers of several nodes get in each other's way", async () => {
    const { location, name } = await createDatabase();
    await query(location, `ALTER DATABASE ${name} SET default_transaction_isolation = 'repeatable read'`);
    const stores = await Promise.all([open(location), open(location), open(location)]);
    await stores[0]?.execute(addCounter("a"));
    const count = 60;
    const commands = Array.from({ length: count }, (_, index) => stores[index % 3]?.execute(countUp("a")));
    const outcomes = await Promise.all(commands);
    expect(outcomes.map((outcome) => outcome?.value).sort((a = 0, b = 0) => a - b)).toEqual(
      Array.from({ length: count }, (_, index) => index + 1),
    );
  });

  it("does not take durability from commits", async () => {
    const { location, name } = await createDatabase();
    await query(location, `ALTER DATABASE ${name} SET synchronous_commit = off`);
    const store = await open(location);
    await query(location, "CREATE TABLE seen (level TEXT)");
    await query(
      location,
      `CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.seen VALUES (current_setting(''synchronous_commit'')); RETURN NULL; END';
      CREATE TRIGGER see AFTER UPDATE ON portcullis.head FOR EACH ROW EXECUTE FUNCTION see()`,
    );
    await store.execute(addOrganization("a"));
    await query(location, `ALTER DATABASE ${name} SET synchronous_commit = remote_apply`);
    await (await open(location)).execute(addOrganization("b"));
    expect((await query(location, "SELECT level FROM seen")).rows).toEqual([
      { level: "on" },
      { level: "remote_apply" },
    ]);
  });

  it("is named where it makes the database read-only", async () => {
    const { location, name } = await createDatabase();
    await query(location, `ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    const message = await expectStoreError(openStore({ location }), "unavailable");
    expect(message).toContain("default_transaction_read_only is on");
  });
});

describe("a database that cannot hold a store", () => {
  it.each(["LATIN1", "SQL_ASCII"])("is refused for its encoding %s", async (encoding) => {
    const { location } = await createDatabase(`ENCODING ${encoding} TEMPLATE template0`);
    const message = await expectStoreError(openStore({ location }), "unavailable");
    expect(message).toContain(`has the encoding ${encoding}, and needs UTF8`);
    expect(message).toContain("createdb -E UTF8 -T template0");
  });
});

describe("a store whose schema goes away", () => {
  it("is unavailable until it is back", async () => {
    const { location } = await createDatabase();
    const store = await open(location);
    await store.execute(addOrganization("a"));
    await query(location, "ALTER SCHEMA portcullis RENAME TO away");
    const read = () => store.read([organizationRef("a")]);
    for (const attempt of [read, () => store.execute(addOrganization("b"))]) {
      expect(await expectStoreError(attempt(), "unavailable")).toContain("its schema is missing");
    }
    await query(location, "ALTER SCHEMA away RENAME TO portcullis");
    expect((await read()).get(organizationRef("a")).version).toBe(1);
  });
});
