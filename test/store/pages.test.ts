import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Cause } from "../../src/domain/events.ts";
import { finishStore, migrateStore, openStore } from "../../src/store/open.ts";
import { digestOf } from "../../src/store/shared/read-rows.ts";
import { organizationRef, type RecordedEvent, type Store } from "../../src/store/store.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, countUp } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { collect } from "./fixtures/iterables.ts";
import { countUpAsOlder } from "./fixtures/older-node.ts";
import { type Fill, makeOlderDatabase, makeOlderFile } from "./fixtures/older-store.ts";
import { readChanges, readHistory } from "./fixtures/pages.ts";
import { makePath } from "./fixtures/places.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const ref = organizationRef("a");

/** A store, and a way to run SQL in it that names tables without a schema. */
interface Place {
  readonly location: string;
  makeOlder(version: number, fill: Fill): Promise<void>;
  run(sql: string): Promise<Record<string, unknown>[]>;
}

const engines: Readonly<Record<string, () => Promise<Place>>> = {
  async sqlite() {
    const path = makePath();
    return {
      location: `sqlite:${path}`,
      makeOlder: (version, fill) => makeOlderFile(path, version, fill),
      async run(sql) {
        using db = new DatabaseSync(path);
        return db.prepare(sql).all();
      },
    };
  },
  async postgres() {
    const location = await postgres.createDatabase();
    return {
      location,
      makeOlder: (version, fill) => makeOlderDatabase(location, version, fill),
      run: async (sql) => (await query(location, sql.replace(/\b(events|aggregates|head)\b/g, "portcullis.$1"))).rows,
    };
  },
};

async function open(location: string): Promise<Store> {
  const store = await openStore({ location });
  onTestFinished(() => store.close());
  return store;
}

async function addCounters(store: Store): Promise<void> {
  await store.execute(addCounter("a"));
  await store.execute(addCounter("b"));
  for (let count = 1; count <= 5; count++) for (const id of ["a", "b"]) await store.execute(countUp(id));
}

/** Adds one to counter a, as a version of the program does that knows no links, or as that of schema version 4. */
async function writeAsOlder({ location, run }: Place, knowsLinks = false): Promise<void> {
  const [row = {}] = await run(
    `SELECT id, version, state, position AS previous, (SELECT max(position) FROM events) AS position,
      (SELECT max(recorded_at) FROM events) AS recorded_at FROM aggregates WHERE id = 'a'`,
  );
  const [version, position, recordedAt] = ["version", "position", "recorded_at"].map((name) => Number(row[name]));
  const { event, aggregate } = countUpAsOlder({ ...row, version, position, recordedAt } as never);
  const columns = "position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor";
  const values = event.map((value) => (typeof value === "string" ? `'${value}'` : value)).join(", ");
  await run(
    knowsLinks
      ? `INSERT INTO events (${columns}, previous) VALUES (${values}, ${row["previous"]})`
      : `INSERT INTO events (${columns}) VALUES (${values})`,
  );
  const [type, id, sequence, state] = aggregate;
  const digest = digestOf({ type, id, version: sequence, state });
  const rest = `, digest = '${digest}', digest_version = ${sequence}, position = ${event[0]}, position_version = ${sequence}`;
  await run(`UPDATE aggregates SET version = ${sequence}, state = '${state}'${knowsLinks ? rest : ""} WHERE id = 'a'`);
  if (!location.startsWith("postgres")) return;
  await run("UPDATE head SET position = position + 1, commits = commits + 1, commit_id = gen_random_uuid()");
}

/** Makes a store one of schema version 4 whose migration is finished. */
async function returnToVersion4({ location, run }: Place): Promise<void> {
  for (const column of ["append_position", "cause"]) await run(`ALTER TABLE events DROP COLUMN ${column}`);
  if (location.startsWith("sqlite:")) return void (await run("PRAGMA user_version = 4"));
  await run("DROP INDEX portcullis.keys_by_bytes");
  await run("UPDATE portcullis.schema_version SET version = 4");
}

/** Every event as an export has it, but for what exports leave out. */
const exported = (store: Store): Promise<RecordedEvent[]> => store.export(({ events }) => collect(events()));

const cause: Cause = { type: "RolledBack", revision: 2 };
const appendsOf = (events: readonly RecordedEvent[]) => events.map(({ append, cause }) => [append, cause]);

async function expectWhole(store: Store): Promise<void> {
  const all = await exported(store);
  expect(await readChanges(store, { after: 0, limit: 4 })).toEqual({ events: all, through: all.length });
  for (const id of ["a", "b"]) {
    const own = all.filter((event) => event.ref.id === id).reverse();
    expect(own.length).toBeGreaterThan(6);
    for (const limit of [1, 3, own.length, 100]) {
      expect(await readHistory(store, organizationRef(id), limit)).toEqual(own);
    }
  }
}

describe.each(Object.entries(engines))("pages on %s", (_, makePlace) => {
  it.each([1, 2, 3, 4])(
    "are whole in a store of schema version %i that newer and older processes write",
    async (version) => {
      const place = await makePlace();
      await place.makeOlder(version, addCounters);
      const store = await open(place.location);
      await expectWhole(store);
      for (let round = 0; round < 2; round++) {
        await store.execute(countUp("a"));
        await store.execute({ ...countUp("a"), cause });
        await expectWhole(store);
        await writeAsOlder(place);
        await writeAsOlder(place);
        await expectWhole(store);
      }
      expect(await store.verify()).toMatchObject({ problems: [] });
      const appends = appendsOf(await exported(store));
      const older = [undefined, undefined];
      expect(appends.slice(14)).toEqual([
        [15, undefined],
        [16, cause],
        older,
        older,
        [19, undefined],
        [20, cause],
        older,
        older,
      ]);
      await store.close();
      await finishStore({ location: place.location });
      const finished = await open(place.location);
      await expectWhole(finished);
      expect(appendsOf(await exported(finished))).toEqual(appends);
      expect((await readHistory(finished, ref, 3)).map(({ previous }) => previous)).not.toContain(undefined);
    },
  );

  it("have neither appends nor causes of what the version before writes, once its migration is finished", async () => {
    const place = await makePlace();
    const before = await open(place.location);
    await addCounters(before);
    await before.close();
    await returnToVersion4(place);
    const { location } = place;
    expect(await migrateStore({ location })).toMatchObject({ from: 4, isFinished: true });
    const store = await open(location);
    for (let round = 0; round < 2; round++) {
      await store.execute({ ...countUp("a"), cause });
      await writeAsOlder(place, true);
      await expectWhole(store);
    }
    const older = [undefined, undefined];
    expect(appendsOf(await exported(store)).slice(13)).toEqual([older, [15, cause], older, [17, cause], older]);
    const named = await store.listByKey("organization_name", { startsWith: "a", limit: 10 });
    expect(named).toMatchObject([{ value: "a", snapshot: { version: 11 } }]);
    expect(await store.verify()).toMatchObject({ problems: [], events: 18 });
  });

  it.each([
    ["the event of another", "UPDATE events SET previous = 6 WHERE position = 7"],
    ["an event before that one", "UPDATE events SET previous = 2 WHERE position = 7"],
    ["none", "UPDATE events SET previous = 0 WHERE position = 7"],
    ["what is lost", "DELETE FROM events WHERE position = 5"],
  ])("reject with corrupt where a link leads to %s", async (_, damage) => {
    const place = await makePlace();
    const store = await open(place.location);
    await addCounters(store);
    await place.run(damage);
    const message = await expectStoreError(store.history(ref, { limit: 10 }), "corrupt");
    expect(message).toMatch(/^Event 3 of organization a is not where it should be in the store .+\. Verify the store/);
    // What it does not come to is of no matter.
    expect(await store.history(ref, { limit: 4 })).toHaveLength(4);
    expect(await store.history(organizationRef("b"), { limit: 10 })).toHaveLength(7);
  });

  it.each([
    ["of a newer version", "version = 99", /of version 99 is not known here/],
    ["that is no JSON", "payload = '{'", /is damaged: restore it from a backup/],
  ])("reject with corrupt for an event %s", async (_, damage, reason) => {
    const place = await makePlace();
    const store = await open(place.location);
    await addCounters(store);
    await place.run(`UPDATE events SET ${damage} WHERE position = 5`);
    expect(await expectStoreError(store.history(ref, { limit: 10 }), "corrupt")).toMatch(reason);
    expect(await expectStoreError(store.changes({ after: 0, limit: 10 }), "corrupt")).toMatch(reason);
    expect((await store.changes({ after: 5, limit: 3 })).through).toBe(8);
    expect(await store.history(organizationRef("b"), { limit: 10 })).toHaveLength(7);
  });
});
