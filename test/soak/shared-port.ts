// Two processes share one address by `--reuse-port`. Keeps calling over new connections and over long ones at a steady rate, and
// restarts the processes one after the other by SIGTERM. No call may fail:
//
//   node test/soak/shared-port.ts [--seconds N] [--rate N]
//
// 15 seconds by default, and 100 calls a second of each kind. It runs in a network namespace of its own, where
// net.ipv4.tcp_migrate_req is 1: without that, Linux resets connections that a stopping process has not accepted yet. With `--here`
// it runs in this network, whose setting it prints. With `--try` it only makes the namespace, and ends with 0 if it could.
// rolling-restart.ts starts it.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { freePort } from "../fixtures/postgres.ts";
import { complaintsIn, type ServerProcess, startServer, TemporaryDirectory } from "../process/portcullis.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "15" },
    rate: { type: "string", default: "100" },
    here: { type: "boolean", default: false },
    try: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const rate = Number(values.rate);
if (!(seconds >= 5) || !(rate > 0)) throw new Error("say 5 seconds or more, and a rate above 0");

const say = (line: string) => void process.stdout.write(`${line}\n`);
const list = "/zitadel.management.v1.ManagementService/ListLoginPolicySecondFactors";
const route = "/management/v1/policies/login/second_factors/_search";
const emptyMessage = Buffer.alloc(5);

/** Rejects where there is no answer, and resolves to its status. */
function post(port: number, token: string, agent: Agent | false): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": 2 };
    const sent = request({ host: "127.0.0.1", port, path: route, method: "POST", headers, agent }, (response) => {
      response.resume().once("end", () => resolve(`${response.statusCode}`));
      response.once("error", reject);
    });
    sent.once("error", reject);
    sent.end("{}");
  });
}

async function callOnNewSession(port: number, token: string): Promise<string> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const failed = once(session, "error").then(([error]) => Promise.reject(error));
  failed.catch(() => {});
  const stream = session.request({
    ...{ ":method": "POST", ":path": list, "content-type": "application/grpc", te: "trailers" },
    authorization: `Bearer ${token}`,
  });
  stream.resume().end(emptyMessage);
  const [trailers] = await Promise.race([once(stream, "trailers"), failed]);
  session.close();
  return trailers["grpc-status"] === "0" ? "200" : `grpc-status ${trailers["grpc-status"]}`;
}

/** A client that keeps its connection, heeds GOAWAY, and repeats what a GOAWAY says was not served. */
function callOnChannel(channel: grpc.Client, token: string): Promise<string> {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return new Promise((resolve, reject) => {
    const same = (bytes: Buffer) => bytes;
    channel.makeUnaryRequest(list, same, same, Buffer.alloc(0), metadata, {}, (error) =>
      error ? reject(error) : resolve("200"),
    );
  });
}

interface Tally {
  readonly name: string;
  readonly call: () => Promise<string>;
  calls: number;
  readonly errors: string[];
}

async function run(): Promise<readonly string[]> {
  using directory = new TemporaryDirectory();
  const data = directory.join("data");
  const port = await freePort();
  const debugPorts = [await freePort(), await freePort()];
  const start = (index: number) => {
    const debug = ["--debug-listen", `127.0.0.1:${debugPorts[index]}`];
    return startServer({ data, flags: ["--listen", `127.0.0.1:${port}`, "--reuse-port", ...debug] });
  };
  const processes: ServerProcess[] = [await start(0), await start(1)];
  const token = processes[0]?.adminToken ?? "";
  // In turns, so that none of its connections is silent for as long as a stopping process waits.
  const agent = new Agent({ keepAlive: true, maxSockets: 4, scheduling: "fifo" });
  const channel = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const kind = (name: string, call: () => Promise<string>): Tally => ({ name, call, calls: 0, errors: [] });
  const tallies = [
    kind("REST, a connection for each call", () => post(port, token, false)),
    kind("gRPC, a connection for each call", () => callOnNewSession(port, token)),
    kind("REST, long connections", () => post(port, token, agent)),
    kind("gRPC, one long connection", () => callOnChannel(channel, token)),
  ];
  const problems: string[] = [];
  const started = performance.now();
  const end = started + seconds * 1000;
  const pending = new Set<Promise<unknown>>();
  const count = (tally: Tally): void => {
    tally.calls += 1;
    const at = Math.round(performance.now() - started);
    const counted = tally
      .call()
      .catch(String)
      .then((status) => {
        if (status !== "200") tally.errors.push(`after ${at} ms: ${status}`);
        pending.delete(counted);
      });
    pending.add(counted);
  };
  const calling = (async () => {
    for (let sent = 0; performance.now() < end; await delay(2)) {
      for (; sent < ((performance.now() - started) / 1000) * rate; sent += 1) tallies.forEach(count);
    }
    await Promise.all(pending);
  })();
  try {
    let restarts = 0;
    for (; performance.now() + 3_000 < end || restarts < 2; restarts += 1) {
      await delay(500);
      const index = restarts % 2;
      // Both have been called, so the system does share out the connections.
      const metrics = await (await fetch(`http://127.0.0.1:${debugPorts[index]}/debug/metrics`)).text();
      for (const protocol of ["grpc", "rest"]) {
        if (!metrics.includes(`protocol="${protocol}"`))
          problems.push(`process ${index + 1} got no call of ${protocol}`);
      }
      processes[index]?.kill("SIGTERM");
      const ended = await processes[index]?.endedWithin(15_000);
      if (ended?.exitCode !== 0 || complaintsIn(ended.stderr).length > 0) problems.push(JSON.stringify(ended));
      processes[index] = await start(index);
    }
    await calling;
    say(`${String(restarts).padStart(8)} restarts of two processes on one port`);
    for (const { name, calls, errors } of tallies) {
      say(`${String(calls).padStart(8)} calls, ${errors.length} failed: ${name}`);
      if (errors.length > 0) problems.push(`${name}: ${errors.length} of ${calls}, the first ${errors[0]}`);
    }
  } finally {
    agent.destroy();
    channel.close();
    for (const one of processes) await one[Symbol.asyncDispose]();
  }
  return problems;
}

const setting = "/proc/sys/net/ipv4/tcp_migrate_req";
if (values.here) {
  say(`net.ipv4.tcp_migrate_req is ${readFileSync(setting, "utf8").trim()}`);
  const problems = await run();
  for (const problem of problems) process.stderr.write(`FAILED ${problem}\n`);
  process.exit(problems.length > 0 ? 1 : 0);
} else {
  const inside = `ip link set lo up && echo 1 > ${setting} && exec "$@"`;
  const again = values.try ? ["true"] : [process.execPath, ...process.argv.slice(1), "--here"];
  const namespace = ["--user", "--map-root-user", "--net", "--", "sh", "-c", inside, "sh"];
  const stdio = values.try ? "ignore" : "inherit";
  process.exit(spawnSync("unshare", [...namespace, ...again], { stdio }).status ?? 1);
}
