import { spawn } from "node:child_process";
import { openStore } from "../../src/store/open.ts";
import { startPostgres } from "../../test/fixtures/postgres.ts";
import type { Effort } from "../environment.ts";
import { end, remember, root, temporaryDirectory } from "../processes.ts";
import { atLeast, type Figure, type Goal, type Report, type Row } from "../report.ts";
import { ratiosOf } from "../statistics.ts";
import type { StoreWork } from "../store-caller.ts";
import { fillStore, storeLocation } from "../store-fixture.ts";

const callerCounts = [1, 16, 64] as const;
const calls: readonly StoreWork["call"][] = ["reads", "durable writes"];

/** Beside SQLite, with 64 callers. */
const goals: Readonly<Record<string, Goal>> = {
  "PostgreSQL: reads, 64 callers": atLeast(0.6),
  "PostgreSQL: durable writes, 64 callers": atLeast(0.8),
};

/** Reads and durable writes at the store's contract: PostgreSQL beside SQLite, and two nodes beside one, each a process. */
export async function measurePostgres({ rounds, seconds }: Effort): Promise<Report> {
  const postgres = await startPostgres();
  try {
    const database = await postgres.createDatabase();
    const file = storeLocation(temporaryDirectory());
    for (const location of [file, database]) await fill(location);
    const [sqlite, one, two] = await Promise.all([startNode(file), startNode(database), startNode(database)]);
    const contenders: Readonly<Record<string, readonly Node[]>> = {
      SQLite: [sqlite],
      PostgreSQL: [one],
      "PostgreSQL, two nodes": [one, two],
    };
    const measured = new Map<string, number[]>();
    for (let round = -1; round < rounds; round++) {
      for (const call of calls) {
        for (const callers of callerCounts) {
          const inTurn = Object.entries(contenders);
          for (const [name, nodes] of round % 2 === 0 ? inTurn.toReversed() : inTurn) {
            const perSecond = await measure(nodes, { call, callers, seconds });
            const values = measured.get(nameOf(name, call, callers)) ?? [];
            measured.set(nameOf(name, call, callers), values);
            // The round before the first warms up.
            if (round >= 0) values.push(perSecond);
          }
        }
      }
    }
    for (const node of [sqlite, one, two]) await node.stop();
    const compare = (above: string, below: string) =>
      calls.flatMap((call) =>
        callerCounts.map((callers): Row => {
          const of = (name: string) => measured.get(nameOf(name, call, callers)) ?? [];
          const goal = goals[nameOf(above, call, callers)];
          const what = `${nameOf(above, call, callers)} / ${below}`;
          return { what, ratios: ratiosOf(of(above), of(below)), ...(goal && { goal }) };
        }),
      );
    const figures = [...measured].map(([what, values]): Figure => ({ what, unit: "/s", values }));
    return { rows: [...compare("PostgreSQL", "SQLite"), ...compare("PostgreSQL, two nodes", "PostgreSQL")], figures };
  } finally {
    await postgres.stop();
  }
}

const nameOf = (contender: string, call: string, callers: number): string =>
  `${contender}: ${call}, ${callers} ${callers === 1 ? "caller" : "callers"}`;

async function fill(location: string): Promise<void> {
  const store = await openStore({ location });
  await fillStore(store, Math.max(...callerCounts));
  await store.close();
}

export type Node = Awaited<ReturnType<typeof startNode>>;

export async function startNode(location: string) {
  const child = spawn(process.execPath, ["bench/store-caller.ts", location], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  remember(child);
  const next = () =>
    new Promise<{ readonly perSecond?: number; readonly error?: string }>((resolve, reject) => {
      const onExit = () => reject(new Error("a node ended"));
      child.once("exit", onExit);
      child.once("message", (message: object) => {
        child.off("exit", onExit);
        resolve(message);
      });
    });
  await next();
  return {
    async run(work: StoreWork): Promise<number> {
      const answered = next();
      child.send(work);
      const { perSecond, error } = await answered;
      if (perSecond === undefined) throw new Error(error);
      return perSecond;
    },
    stop: () => end(child),
  };
}

/** Calls per second of callers that are divided between the nodes. */
export async function measure(
  nodes: readonly Node[],
  work: Omit<StoreWork, "callers"> & { readonly callers: number },
): Promise<number> {
  const numbers = Array.from({ length: work.callers }, (_, caller) => caller);
  const perSecond = await Promise.all(
    nodes.map((node, index) =>
      node.run({ ...work, callers: numbers.filter((caller) => caller % nodes.length === index) }),
    ),
  );
  return perSecond.reduce((sum, one) => sum + one, 0);
}
