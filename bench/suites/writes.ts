import { createLoginPolicies, type LoginPolicies } from "../../src/application/login-policy.ts";
import { secondFactorKind } from "../../src/domain/login-policy/decide.ts";
import { openStore } from "../../src/store/open.ts";
import type { Effort } from "../environment.ts";
import type { Stream } from "../generator.ts";
import { type Running, root, startPortcullis, temporaryDirectory } from "../processes.ts";
import { atLeast, atMost, type Figure, type Goal, type Report } from "../report.ts";
import { startGenerator, warmUp } from "../start-generator.ts";
import { median, ratiosOf } from "../statistics.ts";
import { makeStore, organizationId, storeLocation } from "../store-fixture.ts";

/** Each caller writes to an organization of its own, and at a steady rate each organization's turn comes once a second. */
const organizations = 500;
const manyCallers = 64;

/** Durable writes by one caller and by many, and what they do to reads. */
export async function measureWrites(effort: Effort): Promise<Report> {
  const inProcess = await measureContract(effort);
  const overGrpc = await measureServer(effort);
  return { rows: [...inProcess.rows, ...overGrpc.rows], figures: [...inProcess.figures, ...overGrpc.figures] };
}

/** The store's contract, in this process, which may use every CPU. */
async function measureContract({ rounds, seconds }: Effort): Promise<Report> {
  const directory = temporaryDirectory();
  await makeStore(directory, organizations);
  const store = await openStore({ location: storeLocation(directory) });
  const policies = createLoginPolicies(store);
  const one: number[] = [];
  const many: number[] = [];
  const write = (callers: number) =>
    writeWith(
      policies,
      Array.from({ length: callers }, (_, caller) => caller),
      seconds,
    );
  for (const callers of [1, manyCallers]) await write(callers);
  for (let round = 0; round < rounds; round++) {
    one.push(await write(1));
    many.push(await write(manyCallers));
  }
  await store.close();
  return compareWriters("at the store's contract", { one, many, goal: atLeast(6, 12) });
}

/** Writes per second of callers that add a factor and remove it in turns, each at the organization of its number. */
export async function writeWith(policies: LoginPolicies, callers: readonly number[], seconds: number): Promise<number> {
  const started = performance.now();
  const until = started + seconds * 1000;
  let writes = 0;
  const factor = { kind: secondFactorKind, factor: "otp_email" } as const;
  const keepWriting = async (caller: number) => {
    const target = { organizationId: organizationId(caller), userId: "bench" };
    while (performance.now() < until) {
      await policies.addFactor(target, factor);
      await policies.removeFactor(target, factor);
      writes += 2;
    }
  };
  await Promise.all(callers.map(keepWriting));
  return writes / ((performance.now() - started) / 1000);
}

function compareWriters(
  where: string,
  { one, many, goal }: { readonly one: readonly number[]; readonly many: readonly number[]; readonly goal: Goal },
): Report {
  return {
    rows: [{ what: `durable writes ${where}, ${manyCallers} callers / one`, ratios: ratiosOf(many, one), goal }],
    figures: [
      { what: `durable writes ${where}, one caller`, unit: "writes/s", values: one },
      { what: `durable writes ${where}, ${manyCallers} callers`, unit: "writes/s", values: many },
    ],
  };
}

/** The same over gRPC, and the time of reads while others write. */
async function measureServer({ rounds, seconds }: Effort): Promise<Report> {
  const ordinary = await open();
  const slow = await open(["--import", `${root}/bench/slow-commits.ts`]);
  const generator = startGenerator();
  for (const server of [ordinary, slow]) await warmUp(generator, { ...server, calls: ["list", "write"] });

  const late: number[] = [];
  const writers = async (server: Served, callers: number) => {
    const stream: Stream = { call: "write", organizations, pace: { callers } };
    const work = { ...server, connections: Math.min(callers, 8), seconds, streams: [stream] };
    const { add, remove } = await generator.run(work);
    return { perSecond: (add?.perSecond ?? 0) + (remove?.perSecond ?? 0), p50Ms: add?.p50Ms ?? Number.NaN };
  };
  const reads: Stream = { call: "list", organizations, pace: { perSecond: 1000 } };
  const writes: Stream = { call: "write", organizations, pace: { perSecond: 500 } };
  const readers = async (server: Served, ...streams: readonly Stream[]) => {
    const work = { ...server, connections: 4, seconds, streams: [reads, ...streams] };
    const { list, lateP99Ms } = await generator.run(work);
    late.push(lateP99Ms * 1000);
    return (list?.p99Ms ?? Number.NaN) * 1000;
  };

  const one: number[] = [];
  const many: number[] = [];
  const slowWrites: number[] = [];
  const p99s: Record<"calm" | "busy" | "slowCalm" | "slowBusy", number[]> = {
    calm: [],
    busy: [],
    slowCalm: [],
    slowBusy: [],
  };
  for (let round = -1; round < rounds; round++) {
    const values = {
      one: (await writers(ordinary, 1)).perSecond,
      many: (await writers(ordinary, manyCallers)).perSecond,
      slowWrite: (await writers(slow, 1)).p50Ms,
      calm: await readers(ordinary),
      busy: await readers(ordinary, writes),
      slowCalm: await readers(slow),
      slowBusy: await readers(slow, writes),
    };
    // The round before the first warms up.
    if (round < 0) continue;
    one.push(values.one);
    many.push(values.many);
    slowWrites.push(values.slowWrite);
    for (const name of Object.keys(p99s) as (keyof typeof p99s)[]) p99s[name].push(values[name]);
  }
  await generator.stop();
  for (const { server } of [ordinary, slow]) await server.stop();
  if (!(median(slowWrites) >= 10)) throw new Error(`a slow commit takes ${median(slowWrites)} ms, and not 10 or more`);

  const { rows, figures } = compareWriters("over gRPC", { one, many, goal: atLeast(4, 6) });
  const p99 = (what: string, values: readonly number[]): Figure => ({ what: `p99 of ${what}`, unit: "µs", values });
  return {
    rows: [
      ...rows,
      {
        what: "p99 of 1000 reads/s while 500 durable writes/s run / without",
        ratios: ratiosOf(p99s.busy, p99s.calm),
        goal: atMost(2, 1.3),
      },
      {
        what: "the same with every commit made 10 ms slower",
        ratios: ratiosOf(p99s.slowBusy, p99s.slowCalm),
        goal: atMost(3, 1.5),
      },
    ],
    figures: [
      ...figures,
      p99("1000 reads/s", p99s.calm),
      p99("1000 reads/s while 500 writes/s run", p99s.busy),
      p99("1000 reads/s, server with slow commits", p99s.slowCalm),
      p99("1000 reads/s while 500 writes/s run, server with slow commits", p99s.slowBusy),
      { what: "how late the generator sent, p99", unit: "µs", values: late },
      { what: "one write at a time, server with slow commits, p50", unit: "ms", values: slowWrites },
    ],
  };
}

interface Served {
  readonly server: Running;
  readonly url: string;
  readonly token: string;
}

async function open(nodeFlags: readonly string[] = []): Promise<Served> {
  const directory = temporaryDirectory();
  const token = await makeStore(directory, organizations);
  const server = await startPortcullis(directory, { nodeFlags });
  return { server, url: server.url, token };
}
