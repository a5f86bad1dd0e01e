import { execFile, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../../test/fixtures/postgres.ts";
import { call, listTargets, type Target } from "../calls.ts";
import type { Effort } from "../environment.ts";
import { requireH2load } from "../h2load.ts";
import { generatorCpu, isPinned, type Running, serverCpu, startPortcullis, temporaryDirectory } from "../processes.ts";
import { atLeast, type Report } from "../report.ts";
import { ratiosOf } from "../statistics.ts";
import { makeStore, storeLocation } from "../store-fixture.ts";
import { measure, startNode } from "./postgres.ts";

/** For each process: so many that the system shares out those of one port about evenly. */
const connections = 64;
const callsOnConnection = 4;
const writers = 64;

/** One process beside two, on one SQLite file. */
export async function measureCores(effort: Effort): Promise<Report> {
  const reads = await measureReads(effort);
  const writes = await measureWrites(effort);
  return { rows: [...reads.rows, ...writes.rows], figures: [...reads.figures, ...writes.figures] };
}

/**
 * Answers by the CPU time that all threads of all processes took for them: twice that of two processes on one file and port, since each
 * has a core of its own, beside that of one process alone. Each process has a load of its own. On a machine with two cores, that load
 * runs on the same two and takes from their caches. The second row leaves this out: it compares with two processes that share nothing.
 */
async function measureReads({ rounds, seconds }: Effort): Promise<Report> {
  requireH2load();
  if (!isPinned) throw new Error("this suite needs taskset, and /proc of Linux");
  const [first, second] = [await openStoreDirectory(), await openStoreDirectory()];
  const port = ["--listen", `127.0.0.1:${await freePort()}`, "--reuse-port", "--debug-listen", "127.0.0.1:0"];
  const [zero, one] = [serverCpu, generatorCpu];
  const alone = await startOn(zero, first);
  const contenders = {
    alone: [alone],
    apart: [alone, await startOn(one, second)],
    shared: [await startOn(zero, first, port), await startOn(one, first, port)],
  };
  const names = Object.keys(contenders) as (keyof typeof contenders)[];
  const perCpuSecond: Record<(typeof names)[number], number[]> = { alone: [], apart: [], shared: [] };
  // The smaller share of the calls that a process of the two on one port had.
  const shares: number[] = [];
  let requests = 5_000;
  for (let round = -2; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const processes = contenders[name];
      const before = processes.map(cpuSecondsOf);
      const perSecond = await Promise.all(processes.map((process) => load(process, requests)));
      const taken = processes.map((process, index) => cpuSecondsOf(process) - (before[index] ?? 0));
      const cpuSeconds = taken.reduce((sum, each) => sum + each, 0);
      // The rounds before the first warm up, and say how much will last for `seconds`.
      if (round < 0) requests = Math.max(requests, Math.ceil(Math.min(...perSecond) * seconds));
      else {
        perCpuSecond[name].push((requests * processes.length) / cpuSeconds);
        if (name === "shared") shares.push(Math.min(...taken) / cpuSeconds);
      }
    }
  }
  for (const process of new Set(Object.values(contenders).flat())) await process.stop();
  const { apart, shared } = perCpuSecond;
  const twice = shared.map((each) => each * 2);
  return {
    rows: [
      {
        what: "gRPC List, capacity of two processes on one file and port / one process alone",
        ratios: ratiosOf(twice, perCpuSecond.alone),
        goal: atLeast(1.6),
      },
      { what: "the same / half of two processes that share nothing", ratios: ratiosOf(twice, apart) },
    ],
    figures: [
      { what: "gRPC List, one process alone", unit: "answers/CPU s", values: perCpuSecond.alone },
      { what: "gRPC List, two processes that share nothing", unit: "answers/CPU s", values: apart },
      { what: "gRPC List, two processes on one file and port", unit: "answers/CPU s", values: shared },
      { what: "the less busy process of these two", unit: "share of CPU time", values: shares },
    ],
  };
}

interface Served extends Running {
  readonly target: Target;
  /** A file with what every call sends. */
  readonly body: string;
  /** Of every answer. */
  readonly bytes: number;
}

async function openStoreDirectory() {
  const path = temporaryDirectory();
  return { path, token: await makeStore(path, 0) };
}

async function startOn(
  cpu: number,
  { path, token }: Awaited<ReturnType<typeof openStoreDirectory>>,
  flags: readonly string[] = [],
): Promise<Served> {
  const server = await startPortcullis(path, { flags, isFree: true });
  spawnSync("taskset", ["--all-tasks", "--pid", "--cpu-list", String(cpu), String(server.pid)]);
  const target = listTargets(server, token).grpc;
  const body = join(path, "body");
  writeFileSync(body, target.body);
  return { ...server, target, body, bytes: (await call(target)).length };
}

/** What all threads of a process have run for so far. */
function cpuSecondsOf({ pid }: Running): number {
  const tasks = `/proc/${pid}/task`;
  const nanoseconds = readdirSync(tasks).map((task) =>
    Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
}

/** Resolves to the answers per second. Rejects where a call has no answer, or no success. */
async function load({ target, body, bytes }: Served, requests: number): Promise<number> {
  const headers = Object.entries(target.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const shape = ["-c", String(connections), "-m", String(callsOnConnection), "-n", String(requests)];
  const { stdout } = await promisify(execFile)("h2load", [...shape, "-d", body, ...headers, target.url + target.path]);
  // An error of gRPC has status 200 too, and no body.
  const isWell = stdout.includes(`${requests} 2xx`) && stdout.includes(`(${requests * bytes}) data`);
  if (!isWell) throw new Error(`not every call succeeded: ${stdout}`);
  return Number(/, ([\d.]+) req\/s/.exec(stdout)?.[1]);
}

/** Durable writes at the store's contract. The processes may use both cores. */
async function measureWrites({ rounds, seconds }: Effort): Promise<Report> {
  const directory = temporaryDirectory();
  await makeStore(directory, writers);
  const nodes = [await startNode(storeLocation(directory)), await startNode(storeLocation(directory))];
  const one: number[] = [];
  const two: number[] = [];
  const write = (count: number) =>
    measure(nodes.slice(0, count), { call: "durable writes", callers: writers, seconds });
  for (let round = -1; round < rounds; round++) {
    const values = { one: await write(1), two: await write(2) };
    // The round before the first warms up.
    if (round < 0) continue;
    one.push(values.one);
    two.push(values.two);
  }
  for (const node of nodes) await node.stop();
  const what = `durable writes at the store's contract, ${writers} callers`;
  return {
    rows: [{ what: `${what}: two processes on one file / one`, ratios: ratiosOf(two, one) }],
    figures: [
      { what: `${what}, one process`, unit: "writes/s", values: one },
      { what: `${what}, two processes on one file`, unit: "writes/s", values: two },
    ],
  };
}
