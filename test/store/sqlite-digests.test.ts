import { readFileSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type Snapshot, type Store, userRef } from "../../src/store/store.ts";
import { createRandom } from "../process/random.ts";
import { addCounter, addOrganization, countUp, readCount } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { collect } from "./fixtures/iterables.ts";
import { countUpAsOlder } from "./fixtures/older-node.ts";
import { makeOlderFile } from "./fixtures/older-store.ts";
import { makePath, openAt } from "./fixtures/places.ts";

const ids = ["o1", "o2", "o3", "o4"];

/** A store of four counters, closed. */
async function makeStore(): Promise<string> {
  const path = makePath();
  const store = await openAt(path);
  for (const id of ids) await store.execute(addCounter(id));
  await store.execute(countUp("o1"));
  await store.close();
  return path;
}

const read = async (store: Store, id: string): Promise<Snapshot<"organization">> =>
  (await store.read([organizationRef(id)])).get(organizationRef(id));

function damage(path: string, sql: string): void {
  using db = new DatabaseSync(path);
  db.exec(sql);
}

/** Where a text stands in a file, which has it once. */
function placeOf(text: string, content: Buffer): number {
  const place = content.indexOf(text);
  if (place === -1 || place !== content.lastIndexOf(text)) throw new Error("the file does not have it once");
  return place;
}

describe("a flipped bit", () => {
  it("in a kept state is found by each read of it, disturbs no other, and is mended by rebuild", async () => {
    const path = await makeStore();
    let state = "";
    {
      using db = new DatabaseSync(path, { readOnly: true });
      state = String(db.prepare("SELECT state FROM aggregates WHERE id = 'o1'").get()?.["state"]);
    }
    const sound = readFileSync(path);
    const place = placeOf(state, sound);
    const random = createRandom(20_260_000);
    let found = 0;
    for (let flip = 0; flip < 600; flip += 1) {
      const bit = Math.floor(random() * state.length * 8);
      const flipped = Buffer.from(sound);
      const byte = place + (bit >> 3);
      flipped.writeUInt8(flipped.readUInt8(byte) ^ (1 << (bit & 7)), byte);
      writeFileSync(path, flipped);
      const store = await openStore({ location: `sqlite:${path}` });
      const message = await expectStoreError(read(store, "o1"), "corrupt");
      expect(message).toContain("The state of organization o1 in the store");
      expect(message).toContain('Run "portcullis store rebuild"');
      for (const id of ids.slice(1)) expect(readCount(await read(store, id))).toBe(0);
      await store.close();
      found += 1;
    }
    expect(found).toBe(600);

    const store = await openAt(path);
    await expectStoreError(store.execute(countUp("o1")), "corrupt");
    expect((await store.execute(countUp("o2"))).value).toBe(1);
    expect((await store.verify()).problems).toHaveLength(1);
    await store.rebuild();
    expect((await store.verify()).problems).toEqual([]);
    expect((await store.execute(countUp("o1"))).value).toBe(2);
  });
});

describe("a row that is not as it was written", () => {
  it.each([
    ["a version to come", "UPDATE aggregates SET version = 11 WHERE id = 'o1'", /is at version 11 in the projection/],
    ["a version before", "UPDATE aggregates SET version = 2 WHERE id = 'o1'", /is at version 2 in the projection/],
    [
      "the state of another",
      "UPDATE aggregates SET state = (SELECT state FROM aggregates WHERE id = 'o2') WHERE id = 'o1'",
      /differs from its events/,
    ],
    ["another digest", "UPDATE aggregates SET digest = 'x' WHERE id = 'o1'", /does not match its digest/],
    ["no JSON object", "UPDATE aggregates SET state = 'null' WHERE id = 'o1'", /differs from its events/],
  ])("with %s is found by reads, writes, lists, exports and verify", async (_, sql, problem) => {
    const path = await makeStore();
    damage(path, sql);
    const store = await openAt(path);
    await expectStoreError(read(store, "o1"), "corrupt");
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
    expect(readCount(await read(store, "o2"))).toBe(0);
    await store.rebuild();
    expect((await store.verify()).problems).toEqual([]);
    expect((await store.execute(countUp("o1"))).value).toBe(2);
  });

  it.each(["null", "7", "{"])("and has no digest is found where it is no JSON object but %s", async (state) => {
    const path = await makeStore();
    damage(path, "INSERT INTO aggregates (type, id, version, state) VALUES ('user', 'u', 1, '{}')");
    damage(path, `UPDATE aggregates SET digest = NULL, state = '${state}'`);
    const store = await openAt(path);
    await expectStoreError(read(store, "o1"), "corrupt");
    await expectStoreError(store.read([userRef("u")]), "corrupt");
  });
});

describe("a process of the version before digests that still writes", () => {
  /** Of which version each state's digest is. */
  const digestsOf = (db: DatabaseSync): readonly unknown[] =>
    db.prepare("SELECT id, digest_version AS version FROM aggregates WHERE digest IS NOT NULL").all();

  /** Adds one to the counter with the statements of that version. */
  function writeAsOlder(db: DatabaseSync, statements: ReturnType<typeof prepareAsOlder>): void {
    const before = db
      .prepare(
        `SELECT id, a.version, state, max(events.position) AS position, max(recorded_at) AS recordedAt
          FROM aggregates AS a, events WHERE id = 'a'`,
      )
      .get();
    const { event, aggregate } = countUpAsOlder(before as never);
    db.exec("BEGIN IMMEDIATE");
    statements.event.run(...event);
    statements.aggregate.run(...aggregate);
    db.exec("COMMIT");
  }

  const prepareAsOlder = (db: DatabaseSync) => ({
    event: db.prepare(
      "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ),
    aggregate: db.prepare(
      "INSERT INTO aggregates (type, id, version, state) VALUES (?, ?, ?, ?) " +
        "ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, state = excluded.state",
    ),
  });

  it("is read by newer ones, between whose writes it comes", async () => {
    const path = makePath();
    await makeOlderFile(path, 2, (store) => store.execute(addCounter("a")));
    using older = new DatabaseSync(path);
    const statements = prepareAsOlder(older);
    writeAsOlder(older, statements);

    const store = await openAt(path);
    expect(digestsOf(older)).toEqual([]);
    expect(readCount(await read(store, "a"))).toBe(1);
    for (const round of [1, 2]) {
      expect((await store.execute(countUp("a"))).value).toBe(round * 2);
      const digests = [{ id: "a", version: round * 2 + 2 }];
      expect(digestsOf(older)).toEqual(digests);
      writeAsOlder(older, statements);
      expect(digestsOf(older)).toEqual(digests);
      expect(readCount(await read(store, "a"))).toBe(round * 2 + 1);
    }
    expect(await store.verify()).toEqual({ problems: [], events: 7, aggregates: 1 });
  });

  it("leaves states without a digest, which rebuild gives them", async () => {
    const path = makePath();
    await makeOlderFile(path, 2, (store) => store.execute(addOrganization("a", "A")));
    const store = await openAt(path);
    expect(await store.verify()).toEqual({ problems: [], events: 1, aggregates: 1 });
    using db = new DatabaseSync(path);
    expect(digestsOf(db)).toEqual([]);
    await store.rebuild();
    expect(digestsOf(db)).toEqual([{ id: "a", version: 1 }]);
    expect((await read(store, "a")).state?.name).toBe("A");
  });
});
