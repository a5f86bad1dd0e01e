import { describe, expect, it } from "vitest";
import { OwnServer, query } from "../fixtures/postgres.ts";
import { isWhole } from "../fixtures/sample.ts";
import { type Cut, CuttingProxy } from "./cutting-proxy.ts";
import { killAll, pause } from "./database-processes.ts";
import { Nodes } from "./nodes.ts";
import { Replica } from "./replica.ts";
import { count, expectSound, print } from "./sound.ts";
import { addOrganizations, Workload } from "./workload.ts";

/** Calls before each fault, and after the last one: eight and more of each client. */
const calm = isWhole ? 300 : 100;

/** A server with an empty database for the store. */
async function startDatabase() {
  const server = new OwnServer();
  try {
    await server.start();
    await query(server.url, "CREATE DATABASE portcullis");
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    server,
    get store(): string {
      return storeOf(server.url);
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

function storeOf(url: string): string {
  const store = new URL(url);
  store.pathname = "/portcullis";
  return store.href;
}

function report(fault: string, workload: Workload, times: readonly number[]): void {
  const recovered = times.map((time) => Math.round(time)).join(", ");
  print(`${fault}: written again after ${recovered} ms; answers ${JSON.stringify(count(workload))}`);
}

/** A store location that names two servers. */
const bothOf = (first: string, second: string): string => {
  const { host } = new URL(second);
  return first.replace(new URL(first).host, `${new URL(first).host},${host}`);
};

it("a node is killed", async () => {
  await using database = await startDatabase();
  const { store } = database;
  await using nodes = await Nodes.start([store, store, store]);
  await using workload = new Workload({ nodes, organizations: await addOrganizations(store, 3), clientsEach: 4 });
  const byOthers: number[] = [];
  const byAll: number[] = [];
  for (const [index, node] of nodes.all.entries()) {
    await workload.after(calm);
    const since = performance.now();
    const others = [...nodes.all.keys()].filter((other) => other !== index);
    const written = workload.eachAnswered(["written"], { since, nodes: others });
    await Promise.all([written.then((time) => byOthers.push(time)), node.killAndRestart()]);
    byAll.push(await workload.eachAnswered(["written"], { since }));
  }
  await workload.after(calm);
  await workload.stop();
  report("SIGKILL of a node, by the others", workload, byOthers);
  report("SIGKILL and restart of a node, by all", workload, byAll);
  await expectSound(workload, store);
});

it("the database is killed", async () => {
  await using database = await startDatabase();
  const { store, server } = database;
  await using nodes = await Nodes.start([store, store, store]);
  await using workload = new Workload({ nodes, organizations: await addOrganizations(store, 3), clientsEach: 4 });
  const times: number[] = [];
  for (let round = 0; round < 2; round += 1) {
    await workload.after(calm);
    const since = performance.now();
    await killAll(server.pid);
    await workload.eachAnswered(["failed", "unknown"], { since });
    await server.start();
    times.push(await workload.eachAnswered(["written"], { since }));
  }
  await workload.after(calm);
  await workload.stop();
  report("SIGKILL and restart of PostgreSQL", workload, times);
  await expectSound(workload, store);
});

describe.each([
  { clientsEach: 1, cuts: 9 },
  { clientsEach: 4, cuts: 9 },
])("a connection is cut in the middle of a commit, with $clientsEach clients of each node", ({ clientsEach, cuts }) => {
  it("is answered as if nothing were", async () => {
    await using database = await startDatabase();
    const { store } = database;
    await using proxies = new AsyncDisposableStack();
    const all: CuttingProxy[] = [];
    for (let index = 0; index < 3; index += 1) all.push(proxies.use(await CuttingProxy.start(store)));
    await using nodes = await Nodes.start(all.map(({ url }) => url));
    await using workload = new Workload({ nodes, organizations: await addOrganizations(store, 3), clientsEach });
    const times: number[] = [];
    for (let index = 0; index < cuts; index += 1) {
      const node = index % all.length;
      const cut: Cut = index % 2 === 0 ? "after COMMIT" : "before COMMIT";
      await workload.after(20);
      await all[node]?.cutNext(cut);
      times.push(await workload.eachAnswered(["written"], { since: performance.now(), nodes: [node] }));
    }
    await workload.after(calm);
    await workload.stop();
    report(`a cut in the middle of a commit, ${clientsEach} clients of each node`, workload, times);
    await expectSound(workload, store);
    // A node finds out by itself what became of each, or does it again.
    expect(Object.keys(count(workload)).sort()).toEqual(["refused", "shown", "written"]);
    // A search that waits for a lock of its own node ends only with a timeout of 5 s.
    expect(Math.max(...times)).toBeLessThan(4000);
  });
});

it("the database hangs", async () => {
  await using database = await startDatabase();
  const { store, server } = database;
  const env = { PORTCULLIS_POSTGRES_STATEMENT_TIMEOUT: "1000", PORTCULLIS_POSTGRES_CONNECT_TIMEOUT: "1000" };
  await using nodes = await Nodes.start([store, store, store], env);
  await using workload = new Workload({ nodes, organizations: await addOrganizations(store, 3), clientsEach: 4 });
  const times: number[] = [];
  for (let round = 0; round < 2; round += 1) {
    await workload.after(calm);
    {
      using _ = await pause(server.pid);
      // Long enough that a commit is given up whose outcome cannot be asked for.
      await workload.eachCalled({ since: performance.now() });
    }
    times.push(await workload.eachAnswered(["written"], { since: performance.now() }));
  }
  await workload.after(calm);
  await workload.stop();
  report("a PostgreSQL that hangs", workload, times);
  await expectSound(workload, store);
});

it("the database fails over to its replica", async () => {
  await using database = await startDatabase();
  const { server } = database;
  await using replica = await Replica.start(server);
  const stores = bothOf(database.store, storeOf(replica.url));
  await using nodes = await Nodes.start([stores, stores, stores]);
  await using workload = new Workload({ nodes, organizations: await addOrganizations(stores, 3), clientsEach: 4 });
  await workload.after(calm);
  const since = performance.now();
  await killAll(server.pid);
  await replica.promote();
  const time = await workload.eachAnswered(["written"], { since });
  await workload.after(calm);
  await workload.stop();
  report("failover to a promoted replica", workload, [time]);
  await expectSound(workload, storeOf(replica.url));
  expect((await query(replica.url, "SELECT pg_is_in_recovery() AS replica")).rows).toEqual([{ replica: false }]);
});
