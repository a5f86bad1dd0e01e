import { describe, expect, it } from "vitest";
import { openStore } from "../../src/store/open.ts";
import type { RecordRef, Store } from "../../src/store/store.ts";
import { startPostgres } from "../fixtures/postgres.ts";
import { isWhole } from "../fixtures/sample.ts";
import { Api } from "../process/api.ts";
import { databasePath } from "../process/database.ts";
import { SetClock, skipBecause, whyNoSetClock } from "../process/machine.ts";
import { runCommand, TemporaryDirectory } from "../process/portcullis.ts";
import { type Node, Nodes } from "./nodes.ts";
import { readTimes } from "./recorded.ts";
import { count, expectSound, print } from "./sound.ts";
import { addOrganizations, Workload } from "./workload.ts";

const hourMs = 3_600_000;
/** Calls with each setting of the clock. */
const calm = isWhole ? 300 : 60;

const places = {
  async SQLite(directory: string) {
    return { store: `sqlite:${databasePath(directory)}`, stop: async () => {} };
  },
  async PostgreSQL() {
    const postgres = await startPostgres();
    return { store: await postgres.createDatabase(), stop: () => postgres.stop() };
  },
};

describe.each(Object.entries(places))("a clock that jumps two hours back and forth, %s", (engine, place) => {
  it("makes no call fail, and takes no event to before the one before it", async (context) => {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(new TemporaryDirectory());
    const clock = SetClock.at(directory.join("clock"));
    skipBecause(context, clock === undefined ? whyNoSetClock : undefined);
    if (clock === undefined) return;
    const { store, stop } = await place(directory.path);
    stack.defer(stop);
    const nodes = stack.use(await Nodes.start([store, store], [clock.env, {}]));
    const organizations = await addOrganizations(store, 3);
    const workload = stack.use(new Workload({ nodes, organizations, clientsEach: 4 }));
    for (const hours of [-2, 2, -2, 0]) {
      clock.set(hours);
      await workload.after(calm);
    }
    expect(Object.keys(count(workload)).sort()).toEqual(["refused", "shown", "written"]);

    const { token } = await createToken(store);
    const ask = () => Promise.all(nodes.all.map((node) => statusOf(node, token)));
    expect(await ask()).toEqual([200, 200]);
    clock.set(2);
    expect(await ask()).toEqual([401, 200]);
    clock.set(-2);
    expect(await ask()).toEqual([200, 200]);

    for (const hours of [2, -2]) {
      clock.set(hours);
      const since = performance.now();
      await nodes.all[0]?.killAndRestart();
      await workload.eachAnswered(["written"], { since });
    }
    await workload.stop();
    print(`a clock that jumps, ${engine}: answers ${JSON.stringify(count(workload))}`);
    await expectSound(workload, store);

    const times = await readTimes(store);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    // What was written while it was ahead says so, and so does everything since.
    expect(times.at(-1)).toBeGreaterThan(Date.now() + hourMs);
  });

  it("ends a record early where it is ahead, and never removes one early where it is behind", async () => {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(new TemporaryDirectory());
    const { store: location, stop } = await place(directory.path);
    stack.defer(stop);
    const open = async (hours: number) => {
      const store = await openStore({ location, clock: () => Date.now() + hours * hourMs });
      stack.defer(() => store.close());
      return store;
    };
    const [behind, ahead] = [await open(-2), await open(2)];
    const session: RecordRef = { record: "session", id: "one" };
    const put = (store: Store, ref: RecordRef) =>
      store.execute({
        actor: "test",
        reads: [],
        decide: () => ({
          changes: [],
          records: [{ ref, to: { value: 1, expiresAt: Date.now() + hourMs } }],
          value: undefined,
        }),
      });
    // In the memory of a process that removes it, it may stay.
    const isThere = async () => (await behind.read([session])).record(session) !== undefined;
    await put(behind, session);
    await put(behind, { record: "session", id: "two" });
    expect(await isThere()).toBe(true);
    await put(ahead, { record: "session", id: "three" });
    expect(await isThere()).toBe(false);
  });
});

async function createToken(store: string): Promise<{ readonly token: string }> {
  const create = ["token", "create", "--user", "admin", "--expires", "1h"];
  const { stdout } = await runCommand([...create, "--store", store, "--json"]);
  return JSON.parse(stdout);
}

const statusOf = async (node: Node, token: string): Promise<number> =>
  (await new Api(await node.url(), token).readInstance()).status;
