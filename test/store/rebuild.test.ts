import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type RecordedEvent, type Store } from "../../src/store/store.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addOrganization } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { given } from "./fixtures/iterables.ts";
import { makePath } from "./fixtures/places.ts";
import { runScript } from "./fixtures/processes.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

/** More than a rebuild writes at a time. */
const count = 2500;
const organizations: readonly RecordedEvent[] = Array.from({ length: count }, (_, index) => ({
  position: index + 1,
  ref: organizationRef(`o${index}`),
  sequence: 1,
  event: { type: "OrganizationAdded", version: 1, payload: { name: `Organization ${index}` } } as never,
  recordedAt: 5000,
  actor: "test",
}));

const engines = [
  {
    engine: "sqlite",
    makeAddress: async () => makePath(),
    toLocation: (address: string) => `sqlite:${address}`,
    run: async (address: string, sql: string) => {
      using db = new DatabaseSync(address);
      db.exec(sql.replaceAll("portcullis.", ""));
    },
  },
  {
    engine: "postgres",
    makeAddress: () => postgres.createDatabase(),
    toLocation: (address: string) => address,
    run: async (address: string, sql: string) => void (await query(address, sql)),
  },
];

const nameOf = async (store: Store, id: string): Promise<string | undefined> =>
  (await store.read([organizationRef(id)])).get(organizationRef(id)).state?.name;

describe.each(engines)("a rebuild on $engine", ({ makeAddress, toLocation, run }) => {
  async function open(address: string): Promise<Store> {
    const options = { busyTimeoutMs: 100, postgres: { statementTimeoutMs: 1000 } };
    const store = await openStore({ location: toLocation(address), ...options });
    onTestFinished(() => store.close());
    return store;
  }

  async function makeStore(): Promise<string> {
    const address = await makeAddress();
    const store = await openStore({ location: toLocation(address) });
    await store.import(given(organizations), async () => {});
    await store.close();
    return address;
  }

  /** A store with a wrong name and a wrong position, and without one of its organizations. */
  async function makeDamaged(): Promise<string> {
    const address = await makeStore();
    await run(
      address,
      `UPDATE portcullis.aggregates SET digest = NULL, state = replace(state, 'Organization 7', 'x') WHERE id = 'o7';
      DELETE FROM portcullis.aggregates WHERE id = 'o8';
      UPDATE portcullis.aggregates SET position = 1 WHERE id = 'o9'`,
    );
    return address;
  }
  const problems = [
    "The state of organization o7 in the projection differs from its events.",
    "Organization o8 is missing in the projection.",
    "The last event of organization o9 is event 1 in the projection and event 10 in the events.",
  ];

  it("is noticed by everyone who has read before", async () => {
    const address = await makeDamaged();
    const [reading, rebuilding] = [await open(address), await open(address)];
    expect((await reading.verify()).problems).toEqual(problems);
    expect([await nameOf(reading, "o7"), await nameOf(reading, "o8")]).toEqual(["x", undefined]);
    expect(await rebuilding.rebuild()).toEqual({ events: count, aggregates: count });
    expect([await nameOf(reading, "o7"), await nameOf(reading, "o8")]).toEqual(["Organization 7", "Organization 8"]);
    await expectStoreError(reading.execute(addOrganization("new", "Organization 8")), "conflict");
    expect(await reading.verify()).toEqual({ problems: [], events: count, aggregates: count });
  });

  it.each([
    [
      "an event names another one as the one before it",
      "UPDATE portcullis.events SET previous = 1 WHERE position = 2000",
      "Event 2000 of organization o1999 names event 1 as the one before it instead of no event.",
      1,
    ],
    [
      "an event names another one as the first of its append",
      "UPDATE portcullis.events SET append_position = 7 WHERE position = 2000",
      "Event 2000 names event 7 as the first of its append, and the event before it does not.",
      1,
    ],
    [
      "a cause is damaged",
      "UPDATE portcullis.events SET cause = '{' WHERE position = 2000",
      "The cause of event 2000 cannot be read: it is no JSON.",
      1,
    ],
    [
      "two organizations have one name",
      `UPDATE portcullis.events SET payload = replace(payload, '2499', '1') WHERE position = 2500`,
      'Two aggregates hold the same name, token or key: run "portcullis store verify".',
      3,
    ],
  ])("is refused and undone where %s", async (_, sql, sentence, found) => {
    const address = await makeStore();
    await run(address, sql);
    const store = await open(address);
    const before = await store.verify();
    expect(before.problems).toHaveLength(found);
    expect(await expectStoreError(store.rebuild(), "corrupt")).toContain(`nothing was rebuilt. ${sentence}`);
    expect(await store.verify()).toEqual(before);
    expect((await store.execute(addOrganization("next"))).value).toBe("next");
  });

  it("has changed nothing where it is killed in the middle, and keeps other writers out until then", async () => {
    const address = await makeDamaged();
    const store = await open(address);
    const script = runScript("rebuild-process.ts", [address, String(count - 100)]);
    await script.printed(1);
    expect(await nameOf(store, "o7")).toBe("x");
    await expectStoreError(store.execute(addOrganization("meanwhile")), "unavailable");
    await script.kill();
    expect(await store.verify()).toEqual({ problems, events: count, aggregates: count });
    await expect
      .poll(() => store.execute(addOrganization("afterwards")).then(({ value }) => value, String), { timeout: 10_000 })
      .toBe("afterwards");
    expect(await store.rebuild()).toEqual({ events: count + 1, aggregates: count + 1 });
  });
});
