import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { isWhole } from "../fixtures/sample.ts";
import { databasePath } from "../process/database.ts";
import { TemporaryDirectory } from "../process/portcullis.ts";
import { Nodes } from "./nodes.ts";
import { count, expectSound, print } from "./sound.ts";
import { addOrganizations, Workload } from "./workload.ts";

/** Calls before each fault, and after the last one. */
const calm = isWhole ? 300 : 100;
const rounds = isWhole ? 5 : 1;

async function startProcesses(stack: AsyncDisposableStack, env: Readonly<Record<string, string>> = {}) {
  const directory = stack.use(new TemporaryDirectory());
  const store = `sqlite:${databasePath(directory.path)}`;
  const nodes = stack.use(await Nodes.start([store, store, store], env));
  const workload = stack.use(new Workload({ nodes, organizations: await addOrganizations(store, 3), clientsEach: 4 }));
  return { store, nodes, workload };
}

it("a process is killed while others use the same file", async () => {
  await using stack = new AsyncDisposableStack();
  const { store, nodes, workload } = await startProcesses(stack);
  for (let round = 0; round < rounds; round += 1) {
    for (const node of nodes.all) {
      await workload.after(calm);
      const since = performance.now();
      await node.killAndRestart();
      await workload.eachAnswered(["written"], { since });
    }
  }
  await workload.after(calm);
  await workload.stop();
  print(`SIGKILL of a process on one SQLite file: answers ${JSON.stringify(count(workload))}`);
  await expectSound(workload, store);
});

it("the thread that writes ends unexpectedly", async () => {
  await using stack = new AsyncDisposableStack();
  const preload = pathToFileURL(`${import.meta.dirname}/end-writer.ts`).href;
  const { store, nodes, workload } = await startProcesses(stack, { NODE_OPTIONS: `--import=${preload}` });
  // The thread starts with the first write.
  await workload.eachAnswered(["written"], { since: 0 });
  for (let round = 0; round < 4 * rounds; round += 1) {
    for (const [index, node] of nodes.all.entries()) {
      await workload.after(calm / 10);
      await node.endWriter();
      await workload.eachAnswered(["written"], { since: performance.now(), nodes: [index] });
    }
  }
  await workload.after(calm);
  await workload.stop();
  const answers = count(workload);
  print(`the end of a writer's thread: answers ${JSON.stringify(answers)}`);
  await expectSound(workload, store);
  // Callers of an ended thread learn that nothing was written, or that nobody knows.
  expect((answers["failed"] ?? 0) + (answers["unknown"] ?? 0)).toBeGreaterThan(0);
});
