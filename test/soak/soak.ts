// Puts a server under mixed load for a while, good calls and bad ones, cancelled and slow, on every protocol, and looks whether
// anything stays behind:
//
//   npm run test:soak -- [--seconds N] [--path stock|direct] [--report FILE] [--leak heap|buffer|context|timer|socket]
//
// 50 seconds of load by default, or what PORTCULLIS_SOAK_SECONDS says, and what the server needs to come to rest. With --leak it
// loses something on purpose, and this has to fail. The last line counts what was looked at: each kind of call, all of
// which came to what they must, and each thing that the server holds, which is back where it was after the warm-up. Exits with
// 0 when nothing failed.
import { fork } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { randomOf } from "../fixtures/random-messages.ts";
import { type Calls, openCalls } from "./calls.ts";
import type { Measures, Order, Ready } from "./messages.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: process.env["PORTCULLIS_SOAK_SECONDS"] || "50" },
    path: { type: "string", default: "direct" },
    report: { type: "string" },
    leak: { type: "string" },
  },
});
const seconds = Number(values.seconds);
if (!(seconds >= 10)) throw new Error("a soak takes 10 seconds at least");
const seed = Number(process.env["PORTCULLIS_FUZZ_SEED"] ?? randomInt(1_000_000_000));

/** Calls that are made at the same time. */
const workers = 24;
/** A call that takes longer has been forgotten. */
const callTimeoutMs = 20_000;
/** How long the server may take to let go of what it held. It lingers for a second where a client does not end its side. */
const idleMs = 30_000;
/** How much larger than after the warm-up these may be: compiled code and caches. */
const heapSlackBytes = 4 << 20;
const bufferSlackBytes = 1 << 20;
/** Rounds of load after the warm-up. Caches grow in one or the other, and what is lost is lost in each. */
const rounds = 3;
/** What no call may cost in each of the rounds. */
const lostBytesInCall = 24;
/** Of objects and files: Node keeps a few of the last ones for the next. */
const objectSlack = 20;

interface Tally {
  calls: number;
  readonly errors: string[];
}

const say = (line: string) => process.stdout.write(`${line}\n`);

/** Makes calls of all kinds until the time is over. */
async function load(
  { kinds }: Calls,
  { ms, tallies, round }: { ms: number; tallies: Map<string, Tally>; round: string },
) {
  const end = performance.now() + ms;
  let made = 0;
  const work = async (worker: number) => {
    const random = randomOf(seed, round, worker);
    // Each worker begins with another kind, so that a short round has all of them.
    for (let turn = worker; performance.now() < end; turn += 1) {
      const kind = turn < worker + kinds.length ? kinds[turn % kinds.length] : random.pick(kinds);
      if (kind === undefined) throw new Error("there are no kinds of calls");
      const tally = tallies.get(kind.name) ?? { calls: 0, errors: [] };
      tallies.set(kind.name, tally);
      tally.calls += 1;
      made += 1;
      await inTime(kind.call(random)).catch((error: unknown) => tally.errors.push(String(error)));
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  return made;
}

function inTime(work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`nothing for ${callTimeoutMs} ms`)), callTimeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const args = ["--path", values.path, ...(values.leak === undefined ? [] : ["--leak", values.leak])];
const server = fork(join(import.meta.dirname, "server.ts"), args, { execArgv: ["--expose-gc"] });
const exited = new Promise<never>((_, reject) => {
  server.once("exit", (code, signal) => reject(new Error(`the server has ended with ${code ?? signal}`)));
});
exited.catch(() => {});
const receive = async <T>(): Promise<T> => {
  const [message] = await Promise.race([once(server, "message"), exited]);
  return message as T;
};
const order = (what: Order) => server.send(what);

async function measure(): Promise<Measures> {
  const answer = receive<Measures>();
  order("measure");
  return answer;
}

/** Everything that was held, by name; what must not have grown by more than its slack. */
function* held({ heapBytes, bufferBytes, resources, objects, files }: Measures) {
  yield { name: "bytes of the heap", amount: heapBytes, slack: heapSlackBytes };
  yield { name: "bytes of buffers", amount: bufferBytes, slack: bufferSlackBytes };
  for (const name of new Set([...usualResources, ...Object.keys(resources)])) {
    yield { name: `resources: ${name}`, amount: resources[name] ?? 0, slack: 0 };
  }
  for (const [name, amount] of Object.entries(objects)) {
    yield { name: `objects: ${name}`, amount, slack: name.startsWith("open") ? 0 : objectSlack };
  }
  if (files !== undefined) yield { name: "open files", amount: files, slack: 0 };
}
const usualResources = ["TCPServerWrap", "TCPSocketWrap", "Timeout", "Immediate"];

/** Waits until nothing is over its slack, for as long as `idleMs`; returns the last measures. */
async function settle(before: Measures): Promise<Measures> {
  const end = performance.now() + idleMs;
  for (;;) {
    const measures = await measure();
    if (excesses(before, measures).length === 0 || performance.now() > end) return measures;
    await delay(500);
  }
}

function excesses(before: Measures, after: Measures): readonly string[] {
  const earlier = new Map([...held(before)].map(({ name, amount }) => [name, amount]));
  return [...held(after)]
    .filter(({ name, amount, slack }) => amount > (earlier.get(name) ?? 0) + slack)
    .map(({ name, amount }) => `${name}: ${earlier.get(name) ?? 0} before, ${amount} after`);
}

const ready = await receive<Ready>();
say(`${seconds} s of load on the ${values.path} path, PORTCULLIS_FUZZ_SEED=${seed}`);
const tallies = new Map<string, Tally>();

/** A round of load by clients of its own, after which nothing of them is left. */
async function runRound(round: string, ms: number): Promise<number> {
  const calls = openCalls(ready);
  const made = await load(calls, { ms, tallies, round });
  await calls.close();
  return made;
}

let passed = 0;
const failed: string[] = [];
const check = (name: string, problem: string | undefined) => {
  if (problem === undefined) passed += 1;
  else failed.push(`${name}: ${problem}`);
};

// Compiled code, caches and pools grow for some time.
const nothing = await measure();
const warmUp = await runRound("warm-up", (seconds * 1000) / 3);
// Whatever it has left by then, it must have let go of all but memory.
const before = await settle({ ...nothing, heapBytes: Number.MAX_SAFE_INTEGER, bufferBytes: Number.MAX_SAFE_INTEGER });
let after = before;
const grown: number[] = [];
let made = 0;
for (let round = 1; round <= rounds; round += 1) {
  const { heapBytes } = after;
  const madeInRound = await runRound(`round ${round}`, (seconds * 2000) / 3 / rounds);
  after = await settle(before);
  made += madeInRound;
  grown.push(Math.round((after.heapBytes - heapBytes) / madeInRound));
}

const { kinds, close } = openCalls(ready);
await close();
for (const { name } of kinds) {
  const { calls, errors } = tallies.get(name) ?? { calls: 0, errors: [] };
  say(`${String(calls).padStart(8)} calls, ${errors.length} wrong: ${name}`);
  check(name, errors[0] ?? (calls === 0 ? "none was made" : undefined));
}
for (const { name, amount } of held(after)) {
  const earlier = [...held(before)].find((one) => one.name === name)?.amount ?? 0;
  say(`${String(earlier).padStart(10)} before, ${String(amount).padStart(10)} after: ${name}`);
  check(
    name,
    excesses(before, after).find((excess) => excess.startsWith(`${name}:`)),
  );
}
const expected = kinds.reduce((sum, { name, failures = 0 }) => sum + failures * (tallies.get(name)?.calls ?? 0), 0);
say(`${after.failures} failures of the server's own, ${expected} of them meant`);
check("failures of the server's own", after.failures === expected ? undefined : `${after.failures}, not ${expected}`);
const isLost = grown.every((bytes) => bytes >= lostBytesInCall);
say(`${grown.join(", ")} bytes of the heap in a call, round by round`);
check("bytes of the heap in a call", isLost ? `${grown.join(", ")}, and no less than ${lostBytesInCall}` : undefined);
say(`${warmUp} calls to warm up, then ${made}`);

server.removeAllListeners("exit");
const ended = once(server, "exit");
order("stop");
const [code] = await ended;
check("the server's end", code === 0 ? undefined : `it ended with ${code}`);

for (const line of failed) process.stderr.write(`FAILED ${line}\n`);
if (failed.length > 0) process.exitCode = 1;
if (values.report !== undefined) {
  const counts = { numPassedTests: passed, numFailedTests: failed.length, numPendingTests: 0, numTodoTests: 0 };
  writeFileSync(values.report, `${JSON.stringify(counts)}\n`);
}
say(`${passed} passed, ${failed.length} failed`);
