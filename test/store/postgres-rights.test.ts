import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { migrateStore, openStore } from "../../src/store/open.ts";
import { migrations } from "../../src/store/postgres/migrations.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, addOrganization, countUp } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { given } from "./fixtures/iterables.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const newest = migrations.length;
let roles = 0;

/** A new database, and the URL of a user who may sign in to it and nothing else. */
async function makeDatabase(): Promise<{ readonly owner: string; readonly user: string; readonly role: string }> {
  const owner = await postgres.createDatabase();
  roles += 1;
  const role = `portcullis_test_role_${process.pid}_${roles}`;
  await query(owner, `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  onTestFinished(async () => {
    await query(owner, `DROP OWNED BY ${role}`);
    await query(owner, `DROP ROLE ${role}`);
  });
  const user = new URL(owner);
  user.username = role;
  user.password = "secret";
  return { owner, user: user.href, role };
}

async function grant(owner: string, role: string): Promise<void> {
  await query(owner, `GRANT USAGE ON SCHEMA portcullis TO ${role}`);
  await query(owner, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA portcullis TO ${role}`);
}

describe("a user without the right to change the schema", () => {
  it("uses a store whose schema another user made", async () => {
    const { owner, user, role } = await makeDatabase();
    expect(await migrateStore({ location: owner })).toEqual({ from: 0, to: newest, isFinished: true });
    await grant(owner, role);
    expect(await migrateStore({ location: user })).toEqual({ from: newest, to: newest, isFinished: true });
    const store = await openStore({ location: user });
    onTestFinished(() => store.close());
    await store.import(given([]), async () => {});
    await store.execute(addCounter("a"));
    await store.execute(countUp("a"));
    expect(await store.rebuild()).toEqual({ events: 3, aggregates: 1 });
    expect(await store.verify()).toMatchObject({ problems: [], events: 3 });
  });

  it.each([
    ["has no schema yet", async () => {}],
    [
      "has no schema yet",
      async ({ owner, role }: { readonly owner: string; readonly role: string }) => {
        await migrateStore({ location: owner });
        await query(owner, "DROP TABLE portcullis.events, portcullis.head");
        await query(owner, "UPDATE portcullis.schema_version SET version = 0");
        await grant(owner, role);
      },
    ],
  ])("is told to migrate a store that %s", async (sentence, prepare) => {
    const database = await makeDatabase();
    await prepare(database);
    for (const attempt of [openStore, migrateStore]) {
      const message = await expectStoreError(attempt({ location: database.user }), "unavailable");
      expect(message).toContain(`${sentence}, and this user may not bring it to version ${newest}`);
      expect(message).toContain('run "portcullis store migrate" as a user who may');
      expect(message).not.toContain("secret");
    }
  });

  it("is told of the rights that are missing", async () => {
    const { owner, user } = await makeDatabase();
    await migrateStore({ location: owner });
    const message = await expectStoreError(openStore({ location: user }), "unavailable");
    expect(message).toContain("grant the rights on the schema portcullis");
  });
});

describe("migrating by hand", () => {
  it("leaves a store of a newer version as it is", async () => {
    const { owner } = await makeDatabase();
    await migrateStore({ location: owner });
    await query(owner, "UPDATE portcullis.schema_version SET version = 99");
    for (const attempt of [openStore, migrateStore]) {
      expect(await expectStoreError(attempt({ location: owner }), "unsupported_schema")).toContain("version 99");
    }
  });

  it("is done once by those who do it at the same time", async () => {
    const { owner } = await makeDatabase();
    const all = await Promise.all(Array.from({ length: 5 }, () => migrateStore({ location: owner })));
    expect(all.every(({ to }) => to === newest)).toBe(true);
    const store = await openStore({ location: owner });
    onTestFinished(() => store.close());
    expect(await store.execute(addOrganization("a"))).toMatchObject({ value: "a" });
  });
});
