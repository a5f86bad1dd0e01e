import { copyFileSync } from "node:fs";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { defaultLoginPolicy } from "../../src/domain/login-policy/settings.ts";
import { finishStore, migrateStore, openStore } from "../../src/store/open.ts";
import { migrations } from "../../src/store/sqlite/migrations.ts";
import { organizationRef, type RecordedEvent, type Store } from "../../src/store/store.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { isWhole } from "../fixtures/sample.ts";
import { addCounter, addOrganization, countUp, readCount } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { type Before, countUpAsOlder } from "./fixtures/older-node.ts";
import { type Fill, makeOlderDatabase, makeOlderFile } from "./fixtures/older-store.ts";
import { makePath } from "./fixtures/places.ts";
import { runScript } from "./fixtures/processes.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

interface Place {
  /** A location of a store that is not there yet. */
  readonly makeLocation: () => Promise<string>;
  readonly fillOlder: (location: string, version: number, fill: Fill) => Promise<void>;
  readonly select: (location: string, sql: string) => Promise<readonly Record<string, SQLOutputValue>[]>;
  readonly change: (location: string, sql: string) => Promise<unknown>;
  /** A second store like one that nobody uses. */
  readonly copy: (location: string) => Promise<string>;
  readonly selectIndexes: string;
}

const pathOf = (location: string): string => location.replace("sqlite:", "");

const places: Readonly<Record<string, Place>> = {
  SQLite: {
    makeLocation: async () => `sqlite:${makePath()}`,
    fillOlder: (location, version, fill) => makeOlderFile(pathOf(location), version, fill),
    async select(location, sql) {
      using db = new DatabaseSync(pathOf(location), { readOnly: true });
      return db.prepare(sql.replaceAll("portcullis.", "")).all();
    },
    async change(location, sql) {
      using db = new DatabaseSync(pathOf(location));
      db.exec(sql.replaceAll("portcullis.", ""));
    },
    async copy(location) {
      const path = makePath();
      copyFileSync(pathOf(location), path);
      return `sqlite:${path}`;
    },
    selectIndexes: "SELECT name FROM pragma_index_list('events')",
  },
  PostgreSQL: {
    makeLocation: () => postgres.createDatabase(),
    fillOlder: makeOlderDatabase,
    select: async (location, sql) => (await query(location, sql)).rows,
    change: query,
    async copy(location) {
      const copy = new URL(await postgres.createDatabase());
      const name = copy.pathname.slice(1);
      copy.pathname = "/postgres";
      await query(copy.href, `DROP DATABASE ${name}`);
      await query(copy.href, `CREATE DATABASE ${name} TEMPLATE ${new URL(location).pathname.slice(1)}`);
      copy.pathname = `/${name}`;
      return copy.href;
    },
    selectIndexes: "SELECT indexname FROM pg_indexes WHERE tablename = 'events' AND indexname <> 'events_pkey'",
  },
};

const engines = Object.entries(places);
const postgresPlace = places["PostgreSQL"] as Place;
const versions = migrations.map((_, index) => index + 1);

const ids = Array.from({ length: 30 }, (_, index) => `o${index}`);
const countAll = (store: Store) => Promise.all(ids.map((id) => store.execute(countUp(id))));

async function addHistory(store: Store): Promise<void> {
  await Promise.all(ids.map((id) => store.execute(addCounter(id))));
  for (let round = 0; round < 5; round++) await countAll(store);
}

async function during<T>(location: string, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore({ location });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Expects every link and position to be what the sequences say, and nothing to be left for older versions. */
async function expectFinished({ select, selectIndexes }: Place, location: string): Promise<void> {
  const wrongLinks = await select(
    location,
    `SELECT position, previous, wanted FROM (
      SELECT position, previous,
        coalesce(lag(position) OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY sequence), 0) AS wanted
      FROM portcullis.events) AS linked WHERE previous IS DISTINCT FROM wanted`,
  );
  expect(wrongLinks).toEqual([]);
  const wrongPositions = await select(
    location,
    `SELECT id, position, position_version, wanted FROM portcullis.aggregates LEFT JOIN
      (SELECT aggregate_type, aggregate_id, max(position) AS wanted FROM portcullis.events GROUP BY 1, 2) AS newest
        ON aggregate_type = aggregates.type AND aggregate_id = id
      WHERE position_version IS DISTINCT FROM version OR position IS DISTINCT FROM wanted`,
  );
  expect(wrongPositions).toEqual([]);
  const wrongDigests = await select(
    location,
    "SELECT id FROM portcullis.aggregates WHERE digest IS NULL OR digest_version IS DISTINCT FROM version",
  );
  expect(wrongDigests).toEqual([]);
  expect(await select(location, selectIndexes)).toEqual([]);
  expect(await migrateStore({ location })).toMatchObject({ isFinished: true });
}

describe.each(engines)("the end of a migration in %s", (_, place) => {
  async function makeOlder(version: number, fill: Fill): Promise<string> {
    const location = await place.makeLocation();
    await place.fillOlder(location, version, fill);
    return location;
  }

  it.each(versions)("links all that a store of schema version %i holds", async (version) => {
    const location = await makeOlder(version, addHistory);
    await during(location, async (store) => {
      expect(await store.verify()).toMatchObject({ problems: [], events: 210 });
      await store.execute(countUp("o3"));
      await store.execute(countUp("o3"));
      await store.execute(addOrganization("new"));
    });
    expect(await migrateStore({ location })).toMatchObject({ isFinished: false });
    expect(await place.select(location, place.selectIndexes)).toHaveLength(1);
    expect(await finishStore({ location })).toBe(true);
    await expectFinished(place, location);
    expect(await finishStore({ location })).toBe(false);
    await during(location, async (store) => {
      expect((await store.execute(countUp("o3"))).value).toBe(8);
      expect(await store.verify()).toMatchObject({ problems: [], events: 214 });
    });
    await expectFinished(place, location);
  });

  it("migrates a store first", async () => {
    const location = await makeOlder(1, addHistory);
    expect(await finishStore({ location })).toBe(true);
    await expectFinished(place, location);
  });

  it("gives a damaged state that had no digest one of its events, so that it is found", async () => {
    const location = await makeOlder(2, addHistory);
    await migrateStore({ location });
    await place.change(
      location,
      `UPDATE portcullis.aggregates SET state = replace(state, '"seconds":5', '"seconds":4') WHERE id = 'o1'`,
    );
    // Until then, nothing tells that it is damaged.
    await during(location, (store) => store.read([organizationRef("o1")]));
    const store = await openStore({ location });
    onTestFinished(() => store.close());
    await store.read([organizationRef("o1"), organizationRef("o2")]);
    await expectFinishedBesides(location);
    await expectStoreError(store.execute(countUp("o1")), "corrupt");
    expect((await store.execute(countUp("o2"))).value).toBe(6);
    expect((await store.verify()).problems).toEqual([
      "The state of organization o1 in the projection differs from its events.",
    ]);
    await store.rebuild();
    expect((await store.execute(countUp("o1"))).value).toBe(6);
    expect((await store.verify()).problems).toEqual([]);
  });

  it("leaves a state without a digest where its events are damaged", async () => {
    const location = await makeOlder(2, addHistory);
    await place.change(
      location,
      "UPDATE portcullis.events SET payload = '{' WHERE aggregate_id = 'o1' AND sequence = 4",
    );
    expect(await finishStore({ location })).toBe(true);
    const without = "SELECT id FROM portcullis.aggregates WHERE digest IS NULL";
    expect(await place.select(location, without)).toEqual([{ id: "o1" }]);
    await during(location, (store) => store.read([organizationRef("o1")]));
  });

  it("is not needed for a new store", async () => {
    const location = await place.makeLocation();
    await during(location, addHistory);
    await expectFinished(place, location);
    expect(await finishStore({ location })).toBe(false);
  });

  it("is noticed by stores that are open, whatever they have in memory", async () => {
    const location = await makeOlder(3, addHistory);
    const [store, other] = await Promise.all([openStore({ location }), openStore({ location })]);
    onTestFinished(async () => void (await Promise.all([store.close(), other.close()])));
    // Of what is only read, the position is not known.
    const refs = ids.map(organizationRef);
    for (const one of [store, other]) await one.read(refs);
    await store.execute(countUp("o0"));
    await expectFinishedBesides(location);
    await countAll(store);
    await countAll(other);
    const view = await store.read(refs);
    expect(refs.map((ref) => readCount(view.get(ref)))).toEqual(ids.map((id) => (id === "o0" ? 8 : 7)));
    expect(await store.verify()).toMatchObject({ problems: [], events: 271 });
    await expectFinished(place, location);
  });

  const expectFinishedBesides = async (location: string) => {
    const script = runScript("finish-process.ts", [location]);
    script.go();
    await script.ended();
    expect(script.lines).toEqual(["ready", "true"]);
    await expectFinished(place, location);
  };

  it("is completed by the next run, whenever it was killed", { timeout: 300_000 }, async () => {
    const original = await makeOlder(3, async () => {});
    await addManyEvents(place, original);
    const whole = runScript("finish-process.ts", [await place.copy(original)]);
    whole.go();
    await whole.printed(1);
    const started = performance.now();
    await whole.printed(2);
    const durationMs = performance.now() - started;
    let cutOff = 0;
    const kills = isWhole ? 30 : 8;
    for (let kill = 0; kill < kills; kill += 1) {
      const location = await place.copy(original);
      const script = runScript("finish-process.ts", [location]);
      await script.printed(1);
      await pause((durationMs * (kill + Math.random())) / kills);
      // On a busy machine, it may have ended by then.
      await script.kill().catch(() => script.ended());
      const { isFinished } = await migrateStore({ location });
      if (!isFinished) cutOff += 1;
      await during(location, async (store) => {
        const { position } = (await store.execute(addOrganization("new"))).events[0] as RecordedEvent;
        expect(position).toBe(manyEvents + 1);
        if (kill % 4 === 0) expect(await store.verify()).toMatchObject({ problems: [], events: manyEvents + 1 });
      });
      expect(await finishStore({ location })).toBe(!isFinished);
      await expectFinished(place, location);
    }
    process.stdout.write(`${cutOff} of ${kills} runs of ${Math.round(durationMs)} ms were cut off\n`);
    expect(cutOff).toBeGreaterThan(0);
  });
});

/** Those of more organizations than are filled in at once. */
const manyEvents = 22_000;

/** Adds them to an empty store of an older version, and leaves one of the newest. */
async function addManyEvents({ change }: Place, location: string): Promise<void> {
  const organizations = 5500;
  const [added, changed] = [defaultLoginPolicy, defaultLoginPolicy.settings].map((payload) => JSON.stringify(payload));
  const of = `(p - 1) / ${organizations}`;
  await change(
    location,
    `INSERT INTO portcullis.events (position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor)
    WITH RECURSIVE numbers (p) AS (SELECT 1 UNION ALL SELECT p + 1 FROM numbers WHERE p < ${manyEvents})
    SELECT p, 'organization', CAST((p - 1) % ${organizations} AS TEXT), ${of} + 1,
      CASE ${of} WHEN 0 THEN 'OrganizationAdded' WHEN 1 THEN 'LoginPolicyAdded' ELSE 'LoginPolicyChanged' END, 1,
      CASE ${of} WHEN 0 THEN '{"name":"name ' || p || '"}' WHEN 1 THEN '${added}' ELSE '${changed}' END, 5000 + p, 'test'
    FROM numbers`,
  );
  if (location.startsWith("postgres")) {
    await change(location, `UPDATE portcullis.head SET position = ${manyEvents}, recorded_at = ${5000 + manyEvents}`);
  }
  await during(location, (store) => store.rebuild());
  // As an older version would have left them.
  const columns = ["digest", "digest_version", "position", "position_version"];
  await change(location, `UPDATE portcullis.aggregates SET ${columns.map((column) => `${column} = NULL`).join(", ")}`);
}

describe("nodes of PostgreSQL during the end of a migration", () => {
  async function makeOlder(fill: Fill): Promise<string> {
    const location = await postgres.createDatabase();
    await makeOlderDatabase(location, 3, fill);
    return location;
  }

  it("go on writing", async () => {
    const location = await makeOlder(async () => {});
    await addManyEvents(postgresPlace, location);
    const store = await openStore({ location });
    onTestFinished(() => store.close());
    await Promise.all(ids.map((id) => store.execute(addCounter(id))));
    let isOver = false;
    const writing = (async () => {
      let rounds = 0;
      for (; !isOver; rounds++) await countAll(store);
      return rounds;
    })();
    expect(await finishStore({ location })).toBe(true);
    isOver = true;
    const rounds = await writing;
    expect(rounds).toBeGreaterThan(0);
    expect(await store.verify()).toMatchObject({ problems: [], events: manyEvents + 60 + rounds * 30 });
    await expectFinished(postgresPlace, location);
  });

  it("are noticed where they are of an older version, and nothing of them is lost", async () => {
    const location = await makeOlder(addHistory);
    await during(location, async () => {});
    const { rows } = await query(
      location,
      `SELECT a.id, version, state, h.position, recorded_at AS "recordedAt"
        FROM portcullis.head AS h, portcullis.aggregates AS a WHERE a.id = 'o1'`,
    );
    const [row] = rows as { readonly [Name in keyof Before]: string }[];
    const before = {
      ...row,
      version: Number(row?.version),
      position: Number(row?.position),
      recordedAt: Number(row?.recordedAt),
    };
    const { event, aggregate } = countUpAsOlder(before as unknown as Before);
    const literal = (value: unknown) => pg.escapeLiteral(String(value));
    // What the node writes between two steps, exactly then.
    await query(
      location,
      `CREATE FUNCTION public.write_as_older() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO portcullis.events VALUES (${event.map(literal).join(", ")});
        UPDATE portcullis.aggregates SET version = version + 1, state = ${literal(aggregate[3])} WHERE id = 'o1';
        NEW.position := NEW.position + 1;
        RETURN NEW;
      END $$;
      CREATE TRIGGER write_as_older BEFORE UPDATE ON portcullis.head FOR EACH ROW EXECUTE FUNCTION public.write_as_older()`,
    );
    expect(await expectStoreError(finishStore({ location }), "conflict")).toMatch(
      /^A node of an older version wrote to the store .* meanwhile. Stop it, and run this again.$/,
    );
    await query(location, "DROP TRIGGER write_as_older ON portcullis.head");
    expect(await migrateStore({ location })).toMatchObject({ isFinished: false });
    expect(await finishStore({ location })).toBe(true);
    await expectFinished(postgresPlace, location);
    await during(location, async (store) => {
      expect((await store.execute(countUp("o1"))).value).toBe(7);
      expect(await store.verify()).toMatchObject({ problems: [], events: 212 });
    });
  });

  it("are refused where they are of an older version, once links are filled in", async () => {
    const location = await makeOlder(addHistory);
    expect(await finishStore({ location })).toBe(true);
    const columns = "position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor";
    const writing = query(
      location,
      `INSERT INTO portcullis.events (${columns}) SELECT 211, 'user', 'u', 1, 'UserRemoved', 1, '{}', 9e12, 'older'`,
    );
    await expect(writing).rejects.toMatchObject({ code: "23502" });
  });
});
