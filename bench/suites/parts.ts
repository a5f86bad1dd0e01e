import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { createContextValues } from "@connectrpc/connect";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { CallContext } from "../../src/rpc/call/context.ts";
import { RequestHeaders } from "../../src/rpc/call/request-headers.ts";
import { startAttacker } from "../attacker-process.ts";
import { list, listTargets } from "../calls.ts";
import type { Effort } from "../environment.ts";
import { startServer } from "../processes.ts";
import { atLeast, atMost, type Figure, type Report, type Row } from "../report.ts";
import { ratiosOf } from "../statistics.ts";

/** Code that is longer than the plain way, beside the plain way: it stays as long as its row says why. */
export async function measureParts(effort: Effort): Promise<Report> {
  const parts = [measureHeaders(effort), measureSignals(effort), await measureByteRule(effort)];
  return { rows: parts.map(({ row }) => row), figures: parts.flatMap(({ figures }) => figures) };
}

interface Part {
  readonly row: Row;
  readonly figures: readonly Figure[];
}

const { headers } = listTargets({ url: "" }, "a".repeat(54)).grpc;
const head = {
  method: "POST",
  url: list.path,
  headers: { ":method": "POST", ":path": list.path, ":authority": "localhost", "user-agent": "bench", ...headers },
};

/** What the gate does with them. */
const readTwo = (given: Headers) => given.get("authorization") ?? given.get("x-organization");

function measureHeaders(effort: Effort): Part {
  return compare("request headers of which a call reads two", effort, {
    lazy: () => readTwo(new RequestHeaders(head.headers)),
    plain() {
      const filled = new Headers();
      for (const [name, value] of Object.entries(head.headers)) if (!name.startsWith(":")) filled.append(name, value);
      return readTwo(filled);
    },
  });
}

function measureSignals(effort: Effort): Part {
  const method = ManagementService.method.listLoginPolicySecondFactors;
  const create = () =>
    new CallContext({ head, contextValues: createContextValues() }, { method, protocolName: "grpc" });
  return compare("the context of a call that nothing aborts", effort, {
    lazy: () => create().end(),
    plain() {
      const context = create();
      const { signal } = context;
      context.end();
      return signal;
    },
  });
}

const calls = 50_000;

/** CPU time of the lazy and of the plain way, in the same rounds. */
function compare(what: string, { rounds }: Effort, ways: Record<"lazy" | "plain", () => unknown>): Part {
  const times = { lazy: [] as number[], plain: [] as number[] };
  for (let round = -1; round < rounds; round += 1) {
    for (const name of ["lazy", "plain"] as const) {
      const before = process.cpuUsage();
      for (let call = 0; call < calls; call += 1) ways[name]();
      const { user, system } = process.cpuUsage(before);
      // The round before the first warms up.
      if (round >= 0) times[name].push((user + system) / calls);
    }
  }
  return {
    row: {
      what: `${what}, made when used / at once`,
      ratios: ratiosOf(times.lazy, times.plain),
      goal: atMost(0.7, 0.3),
    },
    figures: [
      { what: `${what}, made when used`, unit: "µs of CPU", values: times.lazy },
      { what: `${what}, made at once`, unit: "µs of CPU", values: times.plain },
    ],
  };
}

/** The bound of bytes that belong to no call (`Traffic` in listener/http2-connection.ts), and a server without it. */
async function measureByteRule({ rounds, seconds }: Effort): Promise<Part> {
  const attacker = startAttacker({ niceness: 0 });
  const answer = { path: list.path, contentType: "application/grpc+proto", body: Buffer.alloc(5).toString("base64") };
  const perSecond = { with: [] as number[], without: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    for (const name of ["with", "without"] as const) {
      const limits = name === "with" ? {} : { controlBytesPerSecond: 1e15 };
      const server = await startServer(["bench/servers/direct.ts", JSON.stringify([answer]), JSON.stringify(limits)]);
      await countAnswers(server.url, 1);
      await attacker.tell({ url: server.url, attack: "WINDOW_UPDATE at full speed" });
      // By then the rule has ended the first connections of the attack.
      await delay(1_500);
      perSecond[name].push(await countAnswers(server.url, seconds));
      await attacker.tell({});
      await server.stop();
    }
  }
  await attacker.stop();
  const what = "gRPC while four connections send WINDOW_UPDATE";
  return {
    row: {
      what: `${what}, with the rule of bytes / without`,
      ratios: ratiosOf(perSecond.with, perSecond.without),
      goal: atLeast(2, 5),
    },
    figures: [
      { what: `${what}, with the rule of bytes`, unit: "answers/s", values: perSecond.with },
      { what: `${what}, without it`, unit: "answers/s", values: perSecond.without },
    ],
  };
}

const callsAtOnce = 16;

/** Answers a second to one client that always waits for 16. */
async function countAnswers(url: string, seconds: number): Promise<number> {
  const session = connect(url);
  const until = performance.now() + seconds * 1000;
  let count = 0;
  const keepCalling = async () => {
    for (; performance.now() < until; count += 1) await callOnce(session);
  };
  await Promise.all(Array.from({ length: callsAtOnce }, keepCalling));
  session.close();
  return count / seconds;
}

function callOnce(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ":path": list.path, ...headers });
    stream.on("error", reject).on("end", resolve).resume();
    stream.end(Buffer.alloc(5));
  });
}
