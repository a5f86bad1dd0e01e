import { createLoginPolicies, type LoginPolicies } from "../../src/application/login-policy.ts";
import { secondFactorKind } from "../../src/domain/login-policy/decide.ts";
import { openStore } from "../../src/store/open.ts";
import type { RecordedEvent, Store } from "../../src/store/store.ts";
import { BareWriter } from "../bare-writer.ts";
import type { Effort } from "../environment.ts";
import type { Stream } from "../generator.ts";
import { readProcessTimes } from "../process-times.ts";
import { type Running, root, startPortcullis, temporaryDirectory } from "../processes.ts";
import { atLeast, atMost, type Figure, type Report } from "../report.ts";
import { startGenerator, warmUp } from "../start-generator.ts";
import { median, medians, ratiosOf } from "../statistics.ts";
import { makeStore, organizationId, storeLocation } from "../store-fixture.ts";
import { turnSeconds, turnsIn } from "../turns.ts";

/** Each caller writes to an organization of its own, and at a steady rate each organization's turn comes once a second. */
const organizations = 500;
const manyCallers = 64;
/**
 * At this rate the server collects young garbage about once a second, and all garbage about every ten. A shorter round has one or two of
 * those pauses by chance, and they are its p99.
 */
const leastReadSeconds = 10;

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
  let commits = 0;
  let commands = 0;
  const onCommit = (together: number) => {
    commits += 1;
    commands += together;
  };
  const store = await openStore({ location: storeLocation(directory), onCommit });
  const policies = createLoginPolicies(store);
  await writeWith(policies, [0], turnSeconds);
  const bare = new BareWriter(await lastEventOf(store));
  const takeTurn = async (callers: number): Promise<WriteTurn> => {
    const before = { commits, commands, times: readProcessTimes() };
    const numbers = Array.from({ length: callers }, (_, caller) => caller);
    const perSecond = await writeWith(policies, numbers, turnSeconds);
    const times = readProcessTimes();
    const writes = commands - before.commands;
    const group = writes / (commits - before.commits);
    const bareOnes = bare.write({ rowsACommit: Math.round(group), seconds: turnSeconds });
    return {
      perSecond,
      group,
      bare: bareOnes,
      ratio: perSecond / bareOnes,
      cpu: (times.all - before.times.all) / writes,
      mainCpu: (times.main - before.times.main) / writes,
      writerCpu: (times.writer - before.times.writer) / writes,
    };
  };

  const one: WriteTurn[] = [];
  const many: WriteTurn[] = [];
  for (let round = -1; round < rounds; round++) {
    const ofOne: WriteTurn[] = [];
    const ofMany: WriteTurn[] = [];
    for (let turn = 0; turn < turnsIn(seconds); turn++) {
      ofOne.push(await takeTurn(1));
      ofMany.push(await takeTurn(manyCallers));
    }
    // The round before the first warms up.
    if (round < 0) continue;
    one.push(medians<keyof WriteTurn>(ofOne));
    many.push(medians<keyof WriteTurn>(ofMany));
  }
  bare.close();
  await store.close();

  const where = "durable writes at the store's contract";
  const figure = (what: string, unit: string, values: readonly number[]): Figure => ({ what, unit, values });
  const of = (turns: readonly WriteTurn[], quantity: keyof WriteTurn) => turns.map((turn) => turn[quantity]);
  return {
    rows: [
      {
        what: `${where}, ${manyCallers} callers / a bare loop with as many in a commit`,
        ratios: of(many, "ratio"),
        goal: atLeast(0.4, 0.6),
      },
      {
        what: `${where}, one caller / a bare loop with one in a commit`,
        ratios: of(one, "ratio"),
        goal: atLeast(0.6, 0.8),
      },
    ],
    figures: [
      { ...figure(`${where}, ${manyCallers} callers: CPU time of each`, "µs", of(many, "cpu")), goal: atMost(28, 20) },
      figure("of which the main thread", "µs", of(many, "mainCpu")),
      figure("of which the writer's thread", "µs", of(many, "writerCpu")),
      figure(`${where}, one caller: CPU time of each`, "µs", of(one, "cpu")),
      figure(`${where}, ${manyCallers} callers`, "writes/s", of(many, "perSecond")),
      figure(`${where}, ${manyCallers} callers: writes in a commit`, "", of(many, "group")),
      figure("a bare loop with as many in a commit", "writes/s", of(many, "bare")),
      figure(`${where}, one caller`, "writes/s", of(one, "perSecond")),
      figure("a bare loop with one in a commit", "writes/s", of(one, "bare")),
    ],
  };
}

/** The cost of a sync can change within seconds, so the store and the bare loop take short turns, and each turn has its ratio. */
interface WriteTurn {
  readonly perSecond: number;
  /** How many writes shared a commit. */
  readonly group: number;
  readonly bare: number;
  readonly ratio: number;
  /** Microseconds for each write. */
  readonly cpu: number;
  readonly mainCpu: number;
  readonly writerCpu: number;
}

/** The store's newest event as a text that is about as long as its row. */
async function lastEventOf(store: Store): Promise<string> {
  const last = await store.export(async (history) => {
    let newest: RecordedEvent | undefined;
    for await (const event of history.events()) newest = event;
    return newest;
  });
  if (last === undefined) throw new Error("the store has no event");
  const { ref, sequence, event, recordedAt, actor } = last;
  return JSON.stringify([ref.type, ref.id, sequence, event.type, event.version, event.payload, recordedAt, actor]);
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
  const readSeconds = Math.max(seconds, leastReadSeconds);
  const reads: Stream = { call: "list", organizations, pace: { perSecond: 1000 } };
  const writes: Stream = { call: "write", organizations, pace: { perSecond: 500 } };
  const readers = async (server: Served, ...streams: readonly Stream[]) => {
    const work = { ...server, connections: 4, seconds: readSeconds, streams: [reads, ...streams] };
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

  const p99 = (what: string, values: readonly number[]): Figure => ({ what: `p99 of ${what}`, unit: "µs", values });
  return {
    rows: [
      {
        what: "p99 of 1000 reads/s while 500 durable writes/s run / without",
        ratios: ratiosOf(p99s.busy, p99s.calm),
        goal: atMost(1.5, 1.2),
      },
      {
        what: "the same with every commit made 10 ms slower",
        ratios: ratiosOf(p99s.slowBusy, p99s.slowCalm),
        goal: atMost(2, 1.3),
      },
    ],
    figures: [
      { what: "durable writes over gRPC, one caller", unit: "writes/s", values: one },
      { what: `durable writes over gRPC, ${manyCallers} callers`, unit: "writes/s", values: many },
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
