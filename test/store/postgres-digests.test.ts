import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type Snapshot, type Store } from "../../src/store/store.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, countUp, readCount } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { collect } from "./fixtures/iterables.ts";
import { type Before, countUpAsOlder } from "./fixtures/older-node.ts";
import { makeOlderDatabase } from "./fixtures/older-store.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

async function open(location: string): Promise<Store> {
  const store = await openStore({ location });
  onTestFinished(() => store.close());
  return store;
}

async function addCounters(store: Store): Promise<void> {
  for (const id of ["o1", "o2", "o3", "o4"]) await store.execute(addCounter(id));
  await store.execute(countUp("o1"));
}

/** A database with four counters. */
async function makeStore(): Promise<string> {
  const location = await postgres.createDatabase();
  const store = await openStore({ location });
  await addCounters(store);
  await store.close();
  return location;
}

const read = async (store: Store, id: string): Promise<Snapshot<"organization">> =>
  (await store.read([organizationRef(id)])).get(organizationRef(id));

describe("a row that is not as it was written", () => {
  it.each([
    [
      "another state",
      `UPDATE portcullis.aggregates SET state = replace(state, '"name":"o1"', '"name":"o3"') WHERE id = 'o1'`,
      /differs from its events/,
    ],
    ["no JSON", "UPDATE portcullis.aggregates SET state = '{' WHERE id = 'o1'", /differs from its events/],
    ["a version to come", "UPDATE portcullis.aggregates SET version = 11 WHERE id = 'o1'", /is at version 11/],
    ["a version before", "UPDATE portcullis.aggregates SET version = 1 WHERE id = 'o1'", /is at version 1/],
    ["another digest", "UPDATE portcullis.aggregates SET digest = 'x' WHERE id = 'o1'", /does not match its digest/],
  ])("with %s fails what reads it, and nothing beside it", async (_, sql, problem) => {
    const location = await makeStore();
    await query(location, sql);
    const store = await open(location);
    const reads = await Promise.allSettled(["o2", "o1", "o3"].map((id) => read(store, id)));
    expect(reads.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await expectStoreError(read(store, "o1"), "corrupt")).toContain('Run "portcullis store rebuild"');
    const writes = await Promise.allSettled(["o2", "o1", "o3"].map((id) => store.execute(countUp(id))));
    expect(writes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await expectStoreError(store.execute(countUp("o1")), "corrupt");
    await expectStoreError(store.list("organization"), "corrupt");
    const listNames = async (startsWith: string) =>
      (await store.listByKey("organization_name", { startsWith, limit: 100 })).map(({ value }) => value);
    await expectStoreError(listNames("o1"), "corrupt");
    // It comes after where names like that would be.
    expect([await listNames("o0"), await listNames("o2")]).toEqual([[], ["o2"]]);
    await expectStoreError(
      store.export(async (history) => void (await collect(history.aggregates()))),
      "corrupt",
    );
    expect((await store.verify()).problems).toEqual([expect.stringMatching(problem)]);
    await store.rebuild();
    expect((await store.verify()).problems).toEqual([]);
    expect((await store.execute(countUp("o1"))).value).toBe(2);
  });

  it("in the place of another is found, both of them", async () => {
    const location = await makeStore();
    await query(
      location,
      `UPDATE portcullis.aggregates AS a SET state = b.state, digest = b.digest FROM portcullis.aggregates AS b
        WHERE (a.id, b.id) IN (('o2', 'o3'), ('o3', 'o2'))`,
    );
    const store = await open(location);
    for (const id of ["o2", "o3"]) await expectStoreError(read(store, id), "corrupt");
    expect((await store.verify()).problems).toHaveLength(2);
  });

  it("and is a record fails what reads it, and nothing beside it", async () => {
    const location = await makeStore();
    await query(location, `INSERT INTO portcullis.records VALUES ('code', 'r', '{', NULL)`);
    const store = await open(location);
    const record = { record: "code", id: "r" };
    const replace = () =>
      store.execute({
        actor: "test",
        reads: [record],
        decide: (view) => {
          view.record(record);
          return { changes: [], value: undefined };
        },
      });
    const ended = await Promise.allSettled([store.execute(countUp("o1")), replace(), store.execute(countUp("o2"))]);
    expect(ended.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await expectStoreError(store.read([record]), "corrupt");
  });
});

describe("a node of the version before digests that still writes", () => {
  /** Adds one to the counter with the statements of that version. */
  async function writeAsOlder(client: pg.Client): Promise<void> {
    await client.query("BEGIN");
    const {
      rows: [before],
    } = await client.query(
      `SELECT a.id, version, state, h.position, recorded_at AS "recordedAt"
        FROM portcullis.head AS h, portcullis.aggregates AS a WHERE a.id = 'o1' FOR UPDATE OF h`,
    );
    const numbers = {
      version: Number(before.version),
      position: Number(before.position),
      recordedAt: Number(before.recordedAt),
    };
    const { event, aggregate } = countUpAsOlder({ ...before, ...numbers } as Before);
    const columns = (row: readonly unknown[]) => row.map((value) => [value]);
    await client.query(
      `INSERT INTO portcullis.events SELECT * FROM unnest(
        $1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::integer[], $7::text[], $8::bigint[], $9::text[])`,
      columns(event),
    );
    await client.query(
      `INSERT INTO portcullis.aggregates SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
        ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, state = excluded.state`,
      columns(aggregate),
    );
    await client.query(
      "UPDATE portcullis.head SET position = position + 1, commits = commits + 1, commit_id = gen_random_uuid()",
    );
    await client.query("COMMIT");
  }

  it("is read by newer ones, between whose writes it comes", async () => {
    const location = await postgres.createDatabase();
    await makeOlderDatabase(location, 2, addCounters);
    const older = new pg.Client(location);
    await older.connect();
    onTestFinished(() => older.end());
    const store = await open(location);
    for (const round of [1, 2]) {
      await writeAsOlder(older);
      expect(readCount(await read(store, "o1"))).toBe(round * 2);
      expect((await store.execute(countUp("o1"))).value).toBe(round * 2 + 1);
      const { rows } = await older.query(
        "SELECT id, version = digest_version AS own FROM portcullis.aggregates ORDER BY id",
      );
      expect(rows).toEqual(["o1", "o2", "o3", "o4"].map((id) => ({ id, own: id === "o1" ? true : null })));
    }
    expect(await store.verify()).toMatchObject({ problems: [], events: 13 });
  });
});
