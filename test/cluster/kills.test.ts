import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/store.ts";
import { OwnServer } from "../fixtures/postgres.ts";
import { isWhole, sampleNote, sampleSeed } from "../fixtures/sample.ts";
import { createRandom } from "../process/random.ts";
import { keepWriting, type Outcome, Outcomes, prepare } from "../store/fixtures/outcomes.ts";
import { makePath } from "../store/fixtures/places.ts";
import { runScript } from "../store/fixtures/processes.ts";
import { killAll } from "./database-processes.ts";
import { print } from "./sound.ts";

/** Enough that they share commits, and that a log of 1,000 pages fills within a few kills. */
const callers = 16;
/** Beyond which comparing takes longer than killing. */
const killsOfOneFile = 25;
const hours = 3_600_000;

async function withStore(location: string, use: (store: Store) => Promise<void>): Promise<void> {
  const store = await openStore({ location });
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

/** Starts each writer while the one before it works, as most of its time goes by before it writes. */
async function* startWriters(location: string, { lane, count }: { readonly lane: string; readonly count: number }) {
  const start = (number: number) => runScript("killed-writer.ts", [location, `${lane}-${number}`, String(callers)]);
  let next = start(1);
  for (let number = 2; number <= count + 1; number += 1) {
    const writer = next;
    if (number <= count) next = start(number);
    await writer.printed(1);
    yield writer;
  }
}

/** Kills writers of one file, and looks after each for what they were told. Resolves to all of that. */
async function killWriters(wanted: {
  readonly lane: string;
  readonly kills: number;
  readonly random: () => number;
  /** Another process has the file open all the while, so that nobody recovers the log. */
  readonly isShared: boolean;
}): Promise<Outcomes> {
  const { lane, kills, random, isShared } = wanted;
  const location = `sqlite:${makePath()}`;
  const outcomes = new Outcomes();
  const look = (store: Store, kill: number) => outcomes.expectIn(store, { unknown: kill * callers });
  await withStore(location, prepare);
  const beside = isShared ? await openStore({ location }) : undefined;
  let kill = 0;
  for await (const writer of startWriters(location, { lane, count: kills })) {
    kill += 1;
    writer.go();
    // Some are killed while they open the store, which may recover what the one before left.
    if (random() < 0.8) await writer.printed(2 + Math.floor(random() * 400));
    // Waits for nothing: without it, every kill would come right after an answer.
    await sleep(random() * 30);
    await writer.kill();
    for (const line of writer.lines.slice(1)) outcomes.add(...(line.split(" ") as [Outcome, string]));
    if (beside === undefined) await withStore(location, (store) => look(store, kill));
    else await look(beside, kill);
  }
  await beside?.close();
  await withStore(location, (store) => look(store, kills));
  return outcomes;
}

it(
  `a process that writes to a SQLite file is killed at any moment, ${sampleNote}`,
  async () => {
    const kills = isWhole ? 1000 : 20;
    const random = createRandom(sampleSeed);
    const begun = performance.now();
    const total = { kills: 0, acknowledged: 0, refused: 0 };
    const killInLane = async (isShared: boolean) => {
      for (let left = kills / 2; left > 0; left -= killsOfOneFile) {
        const lane = `${isShared}-${left}`;
        const wanted = { lane, kills: Math.min(left, killsOfOneFile), random, isShared };
        const outcomes = await killWriters(wanted);
        // Nothing keeps one process from writing.
        expect([outcomes.of.failed, outcomes.of.unknown]).toEqual([[], []]);
        total.kills += wanted.kills;
        total.acknowledged += outcomes.acknowledged;
        total.refused += outcomes.of.refused.length;
      }
    };
    await Promise.all([killInLane(false), killInLane(true)]);
    const seconds = Math.round((performance.now() - begun) / 1000);
    print(`kills of a SQLite writer: ${JSON.stringify({ ...total, lost: 0 })} in ${seconds} s`);
    expect(total.kills).toBe(kills);
    expect(total.acknowledged).toBeGreaterThan(kills * 20);
  },
  isWhole ? 2 * hours : undefined,
);

it(
  `a PostgreSQL that two nodes write to is killed at any moment, ${sampleNote}`,
  async () => {
    const kills = isWhole ? 50 : 2;
    const random = createRandom(sampleSeed);
    const server = new OwnServer();
    onTestFinished(() => server.stop());
    await server.start();
    const nodes = [await openStore({ location: server.url }), await openStore({ location: server.url })];
    for (const node of nodes) onTestFinished(() => node.close());
    await prepare(nodes[0] as Store);
    const begun = performance.now();
    const outcomes = new Outcomes();
    let isStopped = false;
    const writing = Promise.all(
      nodes.map((node, name) =>
        keepWriting(node, { name: `${name}`, callers, isStopped: () => isStopped }, outcomes.add),
      ),
    );
    writing.catch(() => {});
    for (let kill = 1; kill <= kills; kill += 1) {
      const enough = outcomes.acknowledged + 100 + random() * 400;
      while (outcomes.acknowledged < enough) await Promise.race([sleep(random() * 30), writing]);
      await killAll(server.pid);
      await server.start();
    }
    isStopped = true;
    await writing;
    const unknown = outcomes.of.unknown.length;
    for (const node of nodes) await outcomes.expectIn(node, { unknown });
    const { acknowledged, of } = outcomes;
    const told = { kills, acknowledged, refused: of.refused.length, failed: of.failed.length, unknown, lost: 0 };
    print(`kills of PostgreSQL: ${JSON.stringify(told)} in ${Math.round((performance.now() - begun) / 1000)} s`);
  },
  isWhole ? 2 * hours : undefined,
);
