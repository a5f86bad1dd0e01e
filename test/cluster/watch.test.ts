import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { createDirectory } from "../../src/application/directory.ts";
import { createIdSource } from "../../src/application/ids.ts";
import { openStore } from "../../src/store/open.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { isWhole, sampleNote, sampleSeed } from "../fixtures/sample.ts";
import { createRandom } from "../process/random.ts";
import { wantedRevisions, watchRandomly, writeRandomly } from "../protocol/random-watches.ts";
import { nameOf, watch } from "../protocol/watching.ts";
import { makePath } from "../store/fixtures/places.ts";
import { type Node, Nodes } from "./nodes.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const locations: Readonly<Record<string, () => string | Promise<string>>> = {
  sqlite: () => `sqlite:${makePath()}`,
  postgres: () => postgres.createDatabase(),
};

it.each(Object.keys(locations))(
  `watches on three nodes with %s miss no change and repeat none but by its token, whichever node is killed (${sampleNote})`,
  async (engine) => {
    const location = (await locations[engine]?.()) ?? "";
    const random = createRandom(sampleSeed);
    await using nodes = await Nodes.start([location, location, location]);
    const { token } = nodes;
    const store = await openStore({ location });
    onTestFinished(() => store.close());
    const directory = createDirectory({ store, newId: createIdSource(Date.now), actor: "cli" });
    const organizations = [(await directory.addOrganization("One")).id, (await directory.addOrganization("Two")).id];
    const [one] = organizations as [string];
    const pick = async () => ({ url: await (nodes.all[Math.floor(random() * 3)] as Node).url() });
    const { resumeToken: began } = await watch(await pick(), token).next();
    const options = { pick, token, random, organizations, began };
    const rounds = isWhole ? 20 : 3;
    let isWritten = false;
    const killing = (async () => {
      for (let round = 0; round < rounds; round += 1) {
        // A kill right after another would find nobody at work.
        await delay(random() * 300);
        await (nodes.all[round % 3] as Node).killAndRestart();
      }
      isWritten = true;
    })();
    const [everything, named] = await Promise.all([
      watchRandomly(options, []),
      watchRandomly(options, [nameOf(one)]),
      (async () => {
        while (!isWritten) await writeRandomly(options, { count: 10, isLast: false });
        await writeRandomly(options, { count: 10, isLast: true });
      })(),
      killing,
    ]);
    const wanted = await wantedRevisions(store, one);
    expect({ everything, named }).toEqual(wanted);
    expect(wanted.everything.length).toBeGreaterThan(10);
  },
);
