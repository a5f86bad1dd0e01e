import { execFileSync } from "node:child_process";
import type { Effort } from "../environment.ts";
import type { Rpc, RpcResult, Stream } from "../generator.ts";
import { type Running, residentMb, root, startPortcullis, temporaryDirectory } from "../processes.ts";
import { atMost, type Figure, type Report, type Row } from "../report.ts";
import { startGenerator, warmUp } from "../start-generator.ts";
import { median, ratiosOf } from "../statistics.ts";
import { makeStore } from "../store-fixture.ts";
import { turnSeconds, turnsIn } from "../turns.ts";
import { measureStart } from "./start.ts";

const smallOrganizations = 1000;
const calls = { get: "get", list: "list", add: "write" } as const satisfies Partial<Record<Rpc, Stream["call"]>>;
type Call = keyof typeof calls;
const callNames = Object.keys(calls) as Call[];
const quantities = ["p50Ms", "p99Ms"] as const;
type Quantity = (typeof quantities)[number];

/** A store of very many organizations with policies of their own, beside one of few. */
export async function measureLarge(effort: Effort): Promise<Report> {
  const { rounds, seconds } = effort;
  const small = await fill(smallOrganizations);
  verify(small.directory);
  const large = await fill(effort.organizations);
  const both = [small, large] as const;

  for (let round = 0; round < rounds; round++) {
    for (const { directory, token, starts } of both) starts.push(await measureStart(directory, { token }));
  }

  const generator = startGenerator();
  const servers: Running[] = [];
  for (const { directory, token } of both) {
    const server = await startPortcullis(directory);
    servers.push(server);
    await warmUp(generator, { url: server.url, token, calls: Object.values(calls) });
  }
  /** One short turn of a server. */
  const takeTurn = async (call: Call, server: 0 | 1): Promise<RpcResult> => {
    const { token, organizations } = both[server];
    const result = await generator.run({
      url: servers[server]?.url ?? "",
      token,
      connections: 1,
      seconds: turnSeconds,
      streams: [{ call: calls[call], organizations, pace: { callers: 1 } }],
    });
    const measured = result[call];
    if (measured === undefined) throw new Error(`no ${call} was measured`);
    return measured;
  };
  const ratios: Record<Call, Record<Quantity, number[]>> = { get: none(), list: none(), add: none() };
  for (let round = -1; round < rounds; round++) {
    for (const call of callNames) {
      const turns: RpcResult[][] = [[], []];
      for (let turn = 0; turn < turnsIn(seconds); turn++) {
        // In every other pair of turns the large store goes first.
        for (const server of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
          turns[server]?.push(await takeTurn(call, server));
        }
      }
      // The round before the first warms up.
      if (round < 0) continue;
      const [ofSmall = [], ofLarge = []] = turns;
      for (const quantity of quantities) {
        const timesOf = (results: readonly RpcResult[]) => results.map((result) => result[quantity]);
        small.times[call][quantity].push(median(timesOf(ofSmall)));
        large.times[call][quantity].push(median(timesOf(ofLarge)));
        ratios[call][quantity].push(median(ratiosOf(timesOf(ofLarge), timesOf(ofSmall))));
      }
    }
    for (const [index, { used }] of both.entries()) if (round >= 0) used.push(residentMb(servers[index]?.pid ?? 0));
  }
  await generator.stop();
  for (const server of servers) await server.stop();

  const ratio = (valuesOf: (filled: Filled) => readonly number[]) => ratiosOf(valuesOf(large), valuesOf(small));
  const size = `${effort.organizations} organizations / ${smallOrganizations}`;
  const rows = callNames.flatMap((call): Row[] => [
    { what: `${size}: ${call}, p50`, ratios: ratios[call].p50Ms, goal: atMost(1.1, 1.05) },
    { what: `${size}: ${call}, p99`, ratios: ratios[call].p99Ms },
  ]);
  rows.push(
    { what: `${size}: start`, ratios: ratio((one) => one.starts.map(({ ms }) => ms)), goal: atMost(1.5, 1.1) },
    {
      what: `${size}: resident memory after the start`,
      ratios: ratio((one) => one.starts.map(({ mb }) => mb)),
      goal: atMost(1.5, 1.1),
    },
    { what: `${size}: resident memory after the calls`, ratios: ratio(({ used }) => used), goal: atMost(1.5, 1.1) },
  );
  return { rows, figures: both.flatMap(figuresOf) };
}

const none = (): Record<Quantity, number[]> => ({ p50Ms: [], p99Ms: [] });

interface Filled {
  readonly directory: string;
  readonly organizations: number;
  readonly token: string;
  readonly fillSeconds: number;
  readonly starts: { readonly ms: number; readonly mb: number }[];
  readonly times: Record<Call, Record<Quantity, number[]>>;
  readonly used: number[];
}

async function fill(organizations: number): Promise<Filled> {
  const directory = temporaryDirectory();
  const started = performance.now();
  const token = await makeStore(directory, organizations);
  const fillSeconds = (performance.now() - started) / 1000;
  process.stderr.write(`${organizations} organizations were written in ${fillSeconds.toFixed(1)} s\n`);
  const times = { get: none(), list: none(), add: none() };
  return { directory, organizations, token, fillSeconds, starts: [], times, used: [] };
}

/** What was written is what the server would have written. Throws where it is not. */
function verify(directory: string): void {
  const command = ["bin/portcullis.js", "store", "verify", "--data", directory];
  process.stderr.write(execFileSync(process.execPath, command, { cwd: root }));
}

function figuresOf({ organizations, fillSeconds, starts, times, used }: Filled): Figure[] {
  const figure = (what: string, unit: string, values: readonly number[]): Figure => ({
    what: `${organizations} organizations: ${what}`,
    unit,
    values,
  });
  return [
    figure("time to write them", "s", [fillSeconds]),
    ...callNames.flatMap((call) =>
      quantities.map((quantity) => {
        const microseconds = times[call][quantity].map((ms) => ms * 1000);
        return figure(`${call}, ${quantity.slice(0, 3)}`, "µs", microseconds);
      }),
    ),
    figure(
      "start",
      "ms",
      starts.map(({ ms }) => ms),
    ),
    figure(
      "resident memory after the start",
      "MB",
      starts.map(({ mb }) => mb),
    ),
    figure("resident memory after the calls", "MB", used),
  ];
}
