import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { evolve, uniqueKeysOf } from "../../src/domain/evolve.ts";
import { upcast } from "../../src/domain/upcast.ts";
import { openStore } from "../../src/store/open.ts";
import { openPostgresStore } from "../../src/store/postgres/engine.ts";
import { organizationRef, type RecordedEvent } from "../../src/store/store.ts";
import { CuttingProxy } from "../cluster/cutting-proxy.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addOrganization } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { given } from "./fixtures/iterables.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const organizations = (count: number): readonly RecordedEvent[] =>
  Array.from({ length: count }, (_, index) => ({
    position: index + 1,
    ref: organizationRef(`o${index}`),
    sequence: 1,
    event: { type: "OrganizationAdded", version: 1, payload: { name: `Organization ${index}` } } as never,
    recordedAt: 5000,
    actor: "test",
  }));

const keep = async () => {};

describe("with a statement timeout that is short for a store of some length", () => {
  const statementTimeoutMs = 200;
  const count = 6000;

  async function openFilled() {
    const location = await postgres.createDatabase();
    const filling = await openStore({ location });
    await filling.import(given(organizations(count)), keep);
    await filling.close();
    return location;
  }

  it("rebuilds and verifies all of it", async () => {
    const location = await openFilled();
    // The server's part takes longer than the driver would wait as well.
    await query(
      location,
      `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END';
      CREATE TRIGGER wait AFTER DELETE ON portcullis.aggregates FOR EACH STATEMENT EXECUTE FUNCTION wait()`,
    );
    const store = await openStore({ location, postgres: { statementTimeoutMs } });
    onTestFinished(() => store.close());
    expect(await store.rebuild()).toEqual({ events: count, aggregates: count });
    expect(await store.verify()).toEqual({ problems: [], events: count, aggregates: count });
    expect(await store.execute(addOrganization("next"))).toMatchObject({ events: [{ position: count + 1 }] });
  });

  it("takes its time to fold", async () => {
    const location = await openFilled();
    let isSlow = false;
    const projection = {
      uniqueKeysOf,
      upcast,
      evolve: ((...given: Parameters<typeof evolve>) => {
        for (const until = performance.now() + 500; isSlow && performance.now() < until; );
        isSlow = false;
        return evolve(...given);
      }) as typeof evolve,
    };
    const options = { projection, clock: Date.now, postgres: { statementTimeoutMs } };
    const store = await openPostgresStore(location, options);
    onTestFinished(() => store.close());
    for (const work of [() => store.rebuild(), () => store.verify()]) {
      isSlow = true;
      expect(await work()).toMatchObject({ events: count, aggregates: count });
    }
  });
});

describe("an import whose connection is cut in the middle of its commit", () => {
  it.each([
    ["after COMMIT", 3],
    ["before COMMIT", 0],
  ] as const)("is of unknown outcome, %s", async (cut, events) => {
    const location = await postgres.createDatabase();
    await using proxy = await CuttingProxy.start(location);
    const store = await openStore({ location: proxy.url });
    onTestFinished(() => store.close());
    const isCut = proxy.cutNext(cut);
    await expectStoreError(store.import(given(organizations(3)), keep), "outcome_unknown");
    await isCut;
    await expect.poll(async () => (await store.verify()).events).toBe(events);
  });
});
