import { expect, it } from "vitest";
import { startPostgres } from "../fixtures/postgres.ts";
import { Nodes } from "./nodes.ts";
import { count, expectSound, print } from "./sound.ts";
import { addOrganizations, Workload } from "./workload.ts";

it("is linearizable over three nodes", async () => {
  const postgres = await startPostgres();
  await using _ = { [Symbol.asyncDispose]: () => postgres.stop() };
  const store = await postgres.createDatabase();
  await using nodes = await Nodes.start([store, store, store]);
  const organizations = await addOrganizations(store, 3);
  await using workload = new Workload({ nodes, organizations, clientsEach: 6 });
  const started = performance.now();
  await workload.after(3000);
  await workload.stop();
  print(`${JSON.stringify(count(workload))} in ${Math.round(performance.now() - started)} ms`);
  // Where nothing fails, each call is obeyed or refused by a rule.
  expect(count(workload)).toEqual({
    written: expect.any(Number),
    shown: expect.any(Number),
    refused: expect.any(Number),
  });
  await expectSound(workload, store);
});
