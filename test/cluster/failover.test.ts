import { expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { beginWrite } from "../../src/store/postgres/begin.ts";
import { isReadOnly, toStoreError } from "../../src/store/postgres/errors.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { OwnServer, query } from "../fixtures/postgres.ts";
import { addCounter, countUp, readCount } from "../store/fixtures/commands.ts";
import { expectStoreError } from "../store/fixtures/errors.ts";
import { Replica } from "./replica.ts";

const ref = organizationRef("a");
const readCountOf = async (store: Store): Promise<number> => readCount((await store.read([ref])).get(ref));

it("a write that begins on a replica is refused as on any server that takes no writes", async () => {
  const first = new OwnServer();
  onTestFinished(() => first.stop());
  await first.start();
  await using second = await Replica.start(first);
  const refused = await query(second.url, beginWrite({ statementMs: 1000, idleMs: 1000 })).catch((error) => error);
  expect(isReadOnly(refused)).toBe(true);
  expect(toStoreError(refused, "test")).toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("replica"),
  });
});

it("a node that used the old primary, which came back as a replica of the new one, reads what was written since", async () => {
  const first = new OwnServer();
  onTestFinished(() => first.stop());
  await first.start();
  await using second = await Replica.start(first);
  const location = first.url.replace(/(:\d+)/, `$1,${new URL(second.url).host}`);
  const open = async () => {
    const store = await openStore({ location });
    onTestFinished(() => store.close());
    return store;
  };
  const [reading, writing] = [await open(), await open()];
  await writing.execute(addCounter("a"));
  expect([await readCountOf(reading), await readCountOf(writing)]).toEqual([0, 0]);
  const waiting = [reading.changed(2), writing.changed(2), reading.changed(4)];

  await first.kill("SIGINT");
  await second.promote();
  await first.startAsReplicaOf(second.url);
  expect((await query(first.url, "SELECT pg_is_in_recovery() AS replica")).rows).toEqual([{ replica: true }]);

  for (const count of [1, 2, 3]) {
    expect(await writing.execute(countUp("a"))).toMatchObject({ value: count });
    expect(await readCountOf(reading)).toBe(count);
  }
  expect(await reading.execute(countUp("a"))).toMatchObject({ value: 4 });
  // Who waited before goes on waiting, for the new primary's events.
  const [byOther, byOwn, later] = await Promise.all(waiting);
  expect([byOther, byOwn, later].map((position = 0, index) => position > (index === 2 ? 4 : 2))).toEqual([
    true,
    true,
    true,
  ]);
  for (const store of [reading, writing]) {
    const page = await store.history(ref, { limit: 4 });
    expect(page?.map(({ position }) => position)).toEqual([6, 5, 4, 3]);
    expect(await store.changes({ after: 2, limit: 10 })).toEqual({ events: page?.toReversed(), through: 6 });
  }
  // An address may lead to another server than it did: one host is asked as well.
  const message = await expectStoreError(openStore({ location: first.url }), "unavailable");
  expect(message).toContain("is a replica that takes no writes");
});
