// Nodes of the version before schema version 4 and of this one, on one store.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { OlderVersion } from "../fixtures/older-version/unpack.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { isWhole } from "../fixtures/sample.ts";
import { Api } from "../process/api.ts";
import { databasePath } from "../process/database.ts";
import { runCommand, TemporaryDirectory } from "../process/portcullis.ts";
import { type Node, Nodes } from "./nodes.ts";
import { readEvents } from "./recorded.ts";
import { count, expectSound, print } from "./sound.ts";
import { type AskedOperation, addOrganizations, Workload } from "./workload.ts";

let postgres: Postgres;
let older: OlderVersion;
let directory: TemporaryDirectory;
beforeAll(async () => {
  older = new OlderVersion();
  directory = new TemporaryDirectory();
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres?.stop();
  directory?.[Symbol.dispose]();
  older?.[Symbol.dispose]();
});

const minutes = 60_000;
const besideMs = isWhole ? 3 * minutes : 0;

describe.each([
  ["PostgreSQL", () => postgres.createDatabase()],
  ["one SQLite file", async () => `sqlite:${databasePath(join(directory.path, "file"))}`],
])("nodes of two versions on %s", (_, makeStore) => {
  it("show each other's writes, until the migration is finished", { timeout: 10 * minutes }, async () => {
    const store = await makeStore();
    await using nodes = await Nodes.start([]);
    const operations: AskedOperation[] = [];
    let rounds = 0;
    /** Has clients write to a few organizations by these nodes, and checks what they and all those before them saw. */
    async function work(asked: readonly Node[], organizations?: readonly string[]): Promise<void> {
      rounds += 1;
      await using workload = new Workload({
        nodes: { all: [...asked], token: nodes.token },
        organizations: organizations ?? (await addOrganizations(store, 3, `Round ${rounds}`)),
        clientsEach: 4,
      });
      await workload.after(600);
      await workload.stop();
      expect(Object.keys(count(workload)).sort(), `seed ${workload.seed}`).toEqual(["refused", "shown", "written"]);
      operations.push(...workload.operations);
    }
    const checkAll = () => expectSound({ operations, seed: rounds }, store);

    const [first, second] = [nodes.add(store, older.program), nodes.add(store, older.program)];
    await Promise.all([first.url(), second.url()]);
    await work([first, second], await addAsOlder(store, ["Old 1", "Old 2"]));

    const newer = nodes.add(store);
    expect(await newer.url()).toMatch(/^http/);
    expect(await newer.log()).toContain("the migration is not finished");
    const started = performance.now();
    do await work([first, second, newer]);
    while (performance.now() - started < besideMs);
    await checkAll();
    await newer.stop();
    await work([first, second]);
    await checkAll();

    await second.stop();
    const last = nodes.add(store);
    await work([first, last]);
    const finished = await runCommand(["store", "migrate", "--finish", "--store", store]);
    expect(finished).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^finished the migration/),
      stderr: "",
    });
    await checkAll();
    await expectRefused({ first, last, token: nodes.token }, store);
    await first.stop();
    await work([last]);
    await expectLinked(store);
    print(`${JSON.stringify(count({ operations }))} in ${rounds} rounds`);
  });
});

async function addAsOlder(store: string, names: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const name of names) {
    const added = await runCommand(["org", "add", name, "--json", "--store", store], { program: older.program });
    expect(added).toMatchObject({ exitCode: 0, stderr: "" });
    ids.push(JSON.parse(added.stdout).id);
  }
  return ids;
}

/** Expects that a node of the older version that still runs can read, and not write. */
async function expectRefused(
  { first, last, token }: { readonly first: Node; readonly last: Node; readonly token: string },
  store: string,
): Promise<void> {
  const [organization = ""] = await addOrganizations(store, 1, "After");
  const [olderApi, newerApi] = await Promise.all([first, last].map(async (node) => new Api(await node.url(), token)));
  expect(await newerApi?.addPolicy(organization)).toMatchObject({ status: 200 });
  expect(await newerApi?.addFactor("OTP", organization)).toMatchObject({ status: 200 });
  expect(await olderApi?.listFactors(organization)).toEqual(["OTP"]);
  const before = (await readEvents(store)).length;
  const refused = await olderApi?.addFactor("U2F", organization);
  print(JSON.stringify(refused));
  expect(refused?.status).toBeGreaterThanOrEqual(400);
  expect(await readEvents(store)).toHaveLength(before);
  expect(await newerApi?.listFactors(organization)).toEqual(["OTP"]);
  expect(await newerApi?.removeFactor("OTP", organization)).toMatchObject({ status: 200 });
  expect(await olderApi?.listFactors(organization)).toEqual([]);
}

/** Expects each event to name the one before it in its aggregate. */
async function expectLinked(location: string): Promise<void> {
  const store = await openStore({ location });
  try {
    expect((await store.verify()).problems).toEqual([]);
    const newest = new Map<string, number>();
    const wrong = await store.export(async (history) => {
      const found: number[] = [];
      for await (const { ref, position, previous } of history.events()) {
        if (previous !== (newest.get(`${ref.type} ${ref.id}`) ?? 0)) found.push(position);
        newest.set(`${ref.type} ${ref.id}`, position);
      }
      return found;
    });
    expect(wrong).toEqual([]);
    expect(newest.size).toBeGreaterThan(10);
  } finally {
    await store.close();
  }
}
