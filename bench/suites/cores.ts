import { execFile, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../../test/fixtures/postgres.ts";
import { call, checkAnswer, listTargets, type Target } from "../calls.ts";
import type { Effort } from "../environment.ts";
import { requireH2load } from "../h2load.ts";
import { generatorCpu, isPinned, type Running, serverCpu, startPortcullis, temporaryDirectory } from "../processes.ts";
import { atLeast, type Report } from "../report.ts";
import { ratiosOf } from "../statistics.ts";
import { makeStore, storeLocation } from "../store-fixture.ts";
import { measure, startNode } from "./postgres.ts";

/** For each process, so that each has the same to do: so many that the system shares them out about evenly. */
const connectionsEach = 64;
const callsOnConnection = 4;
const writers = 64;

/** One process beside two, on one SQLite file. */
export async function measureCores(effort: Effort): Promise<Report> {
  const reads = await measureReads(effort);
  const writes = await measureWrites(effort);
  return { rows: [...reads.rows, ...writes.rows], figures: [...reads.figures, ...writes.figures] };
}

/**
 * The capacity of n processes that have a core each: n times the answers that they gave together, by the CPU time that all their
 * threads took together. So it counts what two processes cost each other (locks of the file, memory that both use), and not
 * what the load takes from them on a machine with two cores. The two processes run on different cores, at the same time, on one
 * port. It leaves out what several cores cost each other in other ways, such as a lower clock rate.
 */
async function measureReads({ rounds, seconds }: Effort): Promise<Report> {
  requireH2load();
  if (!isPinned) throw new Error("this suite needs taskset, and /proc of Linux");
  const directory = temporaryDirectory();
  const token = await makeStore(directory, 0);
  const shared = ["--listen", `127.0.0.1:${await freePort()}`, "--reuse-port", "--debug-listen", "127.0.0.1:0"];
  const one = await startOn(serverCpu, directory);
  const two = [await startOn(serverCpu, directory, shared), await startOn(generatorCpu, directory, shared)];
  const body = join(directory, "body");
  const contenders = [[one], two].map((processes) => {
    const target = listTargets(processes[0] as Running, token).grpc;
    writeFileSync(body, target.body);
    return { processes, target, perCpuSecond: [] as number[], requests: 5_000 };
  });
  const answer = await call(listTargets(one, token).grpc);
  // The smallest share of the calls that a process of two had.
  const shares: number[] = [];
  for (let round = -2; round < rounds; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const { processes, target, perCpuSecond } = contender;
      await checkAnswer("the list", target, answer);
      const before = processes.map(cpuSecondsOf);
      const all = connectionsEach * processes.length;
      const perSecond = await load(target, {
        body,
        requests: contender.requests,
        connections: all,
        bytes: answer.length,
      });
      const taken = processes.map((process, index) => cpuSecondsOf(process) - (before[index] ?? 0));
      const cpuSeconds = taken.reduce((sum, each) => sum + each, 0);
      // The first rounds warm up, and say how much will last for `seconds`.
      if (round >= 0) {
        perCpuSecond.push(contender.requests / cpuSeconds);
        if (processes.length === 2) shares.push(Math.min(...taken) / cpuSeconds);
      } else contender.requests = Math.ceil(perSecond * Math.max(seconds, 2));
    }
  }
  for (const { processes } of contenders) for (const process of processes) await process.stop();
  const [ofOne = [], ofTwo = []] = contenders.map(({ perCpuSecond }) => perCpuSecond);
  return {
    rows: [
      {
        what: "gRPC List, CPU-bound capacity of two processes on a core each / of one",
        ratios: ratiosOf(
          ofTwo.map((each) => each * 2),
          ofOne,
        ),
        goal: atLeast(1.6, 1.9),
      },
    ],
    figures: [
      { what: "gRPC List, one process", unit: "answers/CPU s", values: ofOne },
      { what: "gRPC List, two processes on one port", unit: "answers/CPU s", values: ofTwo },
      { what: "of their CPU time, the less busy process", unit: "share", values: shares },
    ],
  };
}

async function startOn(cpu: number, directory: string, flags: readonly string[] = []): Promise<Running> {
  const server = await startPortcullis(directory, { flags, isFree: true });
  spawnSync("taskset", ["--all-tasks", "--pid", "--cpu-list", String(cpu), String(server.pid)]);
  return server;
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
async function load(
  target: Target,
  how: { readonly body: string; readonly requests: number; readonly connections: number; readonly bytes: number },
): Promise<number> {
  const { body, requests, connections, bytes } = how;
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
