import { setTimeout as delay } from "node:timers/promises";
import { type AttackName, attackNames, busyCallerNames } from "../attacker.ts";
import { startAttacker } from "../attacker-process.ts";
import type { Effort } from "../environment.ts";
import type { Stream } from "../generator.ts";
import { startPortcullis, temporaryDirectory } from "../processes.ts";
import { atMost, type Report } from "../report.ts";
import { startGenerator, warmUp } from "../start-generator.ts";
import { ratiosOf } from "../statistics.ts";
import { addViewer, makeStore } from "../store-fixture.ts";

const organizations = 500;
const perSecond = 300;
/** Until all connections of an attack are there, and again until they are gone. */
const settleMs = 500;

/** What each attack on the listener does to the calls of others. */
export const measureAttacks = (effort: Effort): Promise<Report> => measure(effort, attackNames);

/** What callers who send too much do to the calls of others. */
export const measureBusyCallers = (effort: Effort): Promise<Report> => measure(effort, busyCallerNames);

async function measure({ rounds, seconds }: Effort, attacks: readonly AttackName[]): Promise<Report> {
  const directory = temporaryDirectory();
  const token = await makeStore(directory, organizations);
  const viewer = await addViewer(directory);
  const server = await startPortcullis(directory);
  const { url } = server;
  const generator = startGenerator();
  const attacker = startAttacker();
  await warmUp(generator, { url, token, calls: ["list", "rest"] });

  const late: number[] = [];
  const streams: readonly Stream[] = [
    { call: "list", organizations, pace: { perSecond } },
    { call: "rest", organizations, pace: { perSecond } },
  ];
  const measureOnce = async () => {
    const { list, rest, lateP99Ms } = await generator.run({ url, token, connections: 4, seconds, streams });
    late.push(lateP99Ms * 1000);
    return { grpc: (list?.p99Ms ?? Number.NaN) * 1000, rest: (rest?.p99Ms ?? Number.NaN) * 1000 };
  };
  const names: readonly ("quiet" | AttackName)[] = ["quiet", ...attacks];
  const p99s = new Map(names.map((name) => [name, { grpc: [] as number[], rest: [] as number[] }]));
  for (let round = -1; round < rounds; round++) {
    for (const name of names) {
      await attacker.tell(name === "quiet" ? {} : { url, attack: name, token: viewer });
      await delay(settleMs);
      const { grpc, rest } = await measureOnce();
      await attacker.tell({});
      await delay(settleMs);
      // The round before the first warms up.
      if (round < 0) continue;
      p99s.get(name)?.grpc.push(grpc);
      p99s.get(name)?.rest.push(rest);
    }
  }
  await Promise.all([generator.stop(), attacker.stop()]);
  await server.stop();

  const valuesOf = (name: "quiet" | AttackName, kind: "grpc" | "rest") => p99s.get(name)?.[kind] ?? [];
  const kinds = [
    ["gRPC", "grpc"],
    ["REST", "rest"],
  ] as const;
  return {
    rows: kinds.flatMap(([title, kind]) =>
      attacks.map((name) => ({
        what: `p99 of ${title} under ${name} / quiet`,
        ratios: ratiosOf(valuesOf(name, kind), valuesOf("quiet", kind)),
        goal: atMost(3, 1.5),
      })),
    ),
    figures: [
      ...kinds.flatMap(([title, kind]) =>
        names.map((name) => ({ what: `p99 of ${title}, ${name}`, unit: "µs", values: valuesOf(name, kind) })),
      ),
      { what: "how late the generator sent, p99", unit: "µs", values: late },
    ],
  };
}
