import { execFileSync } from "node:child_process";
import type { Effort } from "../environment.ts";
import type { Rpc, Stream } from "../generator.ts";
import { type Running, residentMb, root, startPortcullis, temporaryDirectory } from "../processes.ts";
import { atMost, type Figure, type Report, type Row } from "../report.ts";
import { startGenerator, warmUp } from "../start-generator.ts";
import { ratiosOf } from "../statistics.ts";
import { makeStore } from "../store-fixture.ts";
import { measureStart } from "./start.ts";

const smallOrganizations = 1000;
const calls = { get: "get", list: "list", add: "write" } as const satisfies Partial<Record<Rpc, Stream["call"]>>;
const quantities = ["p50Ms", "p99Ms"] as const;

/** A store of very many organizations with policies of their own, beside one of few. */
export async function measureLarge(effort: Effort): Promise<Report> {
  const { rounds, seconds } = effort;
  const small = await fill(smallOrganizations);
  verify(small.directory);
  const large = await fill(effort.organizations);
  const both = [small, large];

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
  for (let round = -1; round < rounds; round++) {
    for (const call of Object.keys(calls) as (keyof typeof calls)[]) {
      for (const [index, filled] of both.entries()) {
        const result = await generator.run({
          url: servers[index]?.url ?? "",
          token: filled.token,
          connections: 1,
          seconds,
          streams: [{ call: calls[call], organizations: filled.organizations, pace: { callers: 1 } }],
        });
        // The round before the first warms up.
        if (round < 0) continue;
        for (const quantity of quantities) filled.times[call][quantity].push(result[call]?.[quantity] ?? Number.NaN);
      }
    }
    for (const [index, { used }] of both.entries()) if (round >= 0) used.push(residentMb(servers[index]?.pid ?? 0));
  }
  await generator.stop();
  for (const server of servers) await server.stop();

  const ratio = (valuesOf: (filled: Filled) => readonly number[]) => ratiosOf(valuesOf(large), valuesOf(small));
  const size = `${effort.organizations} organizations / ${smallOrganizations}`;
  const rows = (Object.keys(calls) as (keyof typeof calls)[]).flatMap((call): Row[] => [
    { what: `${size}: ${call}, p50`, ratios: ratio(({ times }) => times[call].p50Ms), goal: atMost(1.2, 1.05) },
    { what: `${size}: ${call}, p99`, ratios: ratio(({ times }) => times[call].p99Ms) },
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

interface Filled {
  readonly directory: string;
  readonly organizations: number;
  readonly token: string;
  readonly fillSeconds: number;
  readonly starts: { readonly ms: number; readonly mb: number }[];
  readonly times: Record<keyof typeof calls, Record<(typeof quantities)[number], number[]>>;
  readonly used: number[];
}

async function fill(organizations: number): Promise<Filled> {
  const directory = temporaryDirectory();
  const started = performance.now();
  const token = await makeStore(directory, organizations);
  const fillSeconds = (performance.now() - started) / 1000;
  process.stderr.write(`${organizations} organizations were written in ${fillSeconds.toFixed(1)} s\n`);
  const none = () => ({ p50Ms: [], p99Ms: [] });
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
    ...(Object.keys(times) as (keyof typeof times)[]).flatMap((call) =>
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
