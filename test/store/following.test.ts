import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, readCount } from "./fixtures/commands.ts";
import { readChanges, readHistory } from "./fixtures/pages.ts";
import { makePath } from "./fixtures/places.ts";
import { runScript } from "./fixtures/processes.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const locations: Readonly<Record<string, () => string | Promise<string>>> = {
  sqlite: () => `sqlite:${makePath()}`,
  postgres: () => postgres.createDatabase(),
};

const counter = organizationRef("counter");

async function readCountOf(store: Store): Promise<number> {
  return readCount((await store.read([counter])).get(counter));
}

it.each(Object.keys(locations))(
  "who waits for changes of other processes on %s gets every event that these acknowledged before they were killed",
  async (engine) => {
    const location = (await locations[engine]?.()) ?? "";
    const store = await openStore({ location });
    onTestFinished(() => store.close());
    await store.execute(addCounter("counter"));
    const followed: number[] = [1, 2];
    for (let round = 0; round < 3; round++) {
      const writer = runScript("writer-process.ts", [location, "counter", "4", "1000000"]);
      await writer.printed(1);
      writer.go();
      const from = followed.length;
      while (writer.lines.length < 40 || followed.length < from + 40) {
        await store.changed(followed.length);
        const { events } = await store.changes({ after: followed.length, limit: 7 });
        followed.push(...events.map(({ position }) => position));
      }
      await writer.kill();
      const { events, through } = await readChanges(store, { after: followed.length, limit: 7 });
      followed.push(...events.map(({ position }) => position));
      expect(through).toBe(followed.length);
      expect(followed).toEqual(Array.from(followed, (_, index) => index + 1));
      const acknowledged = Math.max(...writer.lines.slice(1).map(Number));
      expect(acknowledged).toBeGreaterThan(0);
      expect(await readCountOf(store)).toBeGreaterThanOrEqual(acknowledged);
      // Each count is one event, after the two that began.
      expect(await readCountOf(store)).toBe(followed.length - 2);
    }
    const history = await readHistory(store, counter, 50);
    expect(history.map(({ position }) => position).reverse()).toEqual(followed);
  },
);
