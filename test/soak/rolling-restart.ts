// Puts examples/nginx.conf before two nodes, keeps calling through it at a steady rate, and restarts the nodes one after the other
// by SIGTERM. Then shared-port.ts does so with two processes on one address. No call may fail:
//
//   node test/soak/rolling-restart.ts [--seconds N] [--rate N] [--report FILE]
//
// 30 seconds by default, and half of that for the shared address; 100 calls a second of each kind. Needs nginx, and a network
// namespace; where there is none it says so and skips, but for CI.
// The last line counts what was looked at: each kind of call, each restart, and answers that proxies like to spoil.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { freePort } from "../fixtures/postgres.ts";
import { isInstalled, startNginx } from "../fixtures/proxies.ts";
import { complaintsIn, type ServerProcess, startServer, TemporaryDirectory, until } from "../process/portcullis.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "30" },
    rate: { type: "string", default: "100" },
    report: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const rate = Number(values.rate);
if (!(seconds >= 5) || !(rate > 0)) throw new Error("say 5 seconds or more, and a rate above 0");

const say = (line: string) => void process.stdout.write(`${line}\n`);
const ca = readFileSync(join(import.meta.dirname, "../fixtures/tls/localhost.cert.pem"));
const rpc = (name: string) => `/zitadel.management.v1.ManagementService/${name}`;
const policyPath = "/management/v1/policies/login";
const factorsPath = `${policyPath}/second_factors`;

let passed = 0;
const failed: string[] = [];
function check(name: string, problem: string | undefined): void {
  if (problem === undefined) passed += 1;
  else failed.push(`${name}: ${problem}`);
}

interface Reply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

/** Calls nginx by both versions of HTTP. */
class Client {
  readonly #port: number;
  readonly #token: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16, ca });
  #session: ClientHttp2Session | undefined;

  constructor(port: number, token: string) {
    this.#port = port;
    this.#token = token;
  }

  close(): void {
    this.#agent.destroy();
    this.#session?.destroy();
  }

  async over1(method: string, path: string, headers: OutgoingHttpHeaders, body?: Uint8Array): Promise<Reply> {
    const sent = request({
      ...{ host: "localhost", port: this.#port, agent: this.#agent, method, path },
      headers: { authorization: `Bearer ${this.#token}`, "content-length": body?.length ?? 0, ...headers },
    });
    sent.end(body);
    const [response] = await once(sent, "response");
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const { statusCode: status, headers: received, trailers } = response;
    return { status, headers: received, trailers, body: Buffer.concat(chunks) };
  }

  async over2(path: string, headers: OutgoingHttpHeaders, body: Uint8Array): Promise<Reply> {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`https://localhost:${this.#port}`, { ca });
      this.#session.on("error", () => {});
    }
    const stream = this.#session.request({
      ...{ ":method": "POST", ":path": path, authorization: `Bearer ${this.#token}`, te: "trailers" },
      ...headers,
    });
    stream.end(body);
    let trailers: Record<string, unknown> = {};
    stream.on("trailers", (all) => {
      trailers = all;
    });
    const [received] = await once(stream, "response");
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    return { status: received[":status"], headers: received, trailers, body: Buffer.concat(chunks) };
  }
}

const grpc = { "content-type": "application/grpc" };
const json = { "content-type": "application/json" };
const empty = Buffer.alloc(5);
const statusOf = ({ headers, trailers }: Reply) => trailers["grpc-status"] ?? headers["grpc-status"];

/** What is called all the time, and what is wrong with the answer. All but GET are POST, which nginx never repeats. */
const kinds: readonly { name: string; call(client: Client): Promise<string | undefined> }[] = [
  {
    name: "gRPC",
    async call(client) {
      const reply = await client.over2(rpc("ListLoginPolicySecondFactors"), grpc, empty);
      if (reply.status !== 200 || statusOf(reply) !== "0") return `${reply.status}, grpc-status ${statusOf(reply)}`;
      return reply.body.length > 5 ? undefined : "no message";
    },
  },
  {
    name: "gRPC-Web",
    async call(client) {
      const type = { "content-type": "application/grpc-web+proto" };
      const reply = await client.over1("POST", rpc("ListLoginPolicySecondFactors"), type, empty);
      return reply.status === 200 && reply.body.includes("grpc-status: 0")
        ? undefined
        : `${reply.status} ${reply.body}`;
    },
  },
  {
    name: "Connect",
    async call(client) {
      const reply = await client.over1("POST", rpc("GetLoginPolicy"), json, Buffer.from("{}"));
      return reply.status === 200 ? undefined : `${reply.status} ${reply.body}`;
    },
  },
  {
    name: "REST",
    async call(client) {
      const reply = await client.over1("POST", `${factorsPath}/_search`, json, Buffer.from("{}"));
      return reply.status === 200 ? undefined : `${reply.status} ${reply.body}`;
    },
  },
  {
    name: "REST, GET",
    async call(client) {
      const reply = await client.over1("GET", policyPath, {});
      return reply.status === 200 ? undefined : `${reply.status} ${reply.body}`;
    },
  },
];

/** Answers that a proxy likes to spoil. */
const spoilt: readonly { name: string; look(client: Client): Promise<string | undefined> }[] = [
  {
    name: "an error of gRPC keeps its status and its details",
    async look(client) {
      const message = Buffer.from([0, 0, 0, 0, 2, 8, 99]);
      const reply = await client.over2(rpc("AddSecondFactorToLoginPolicy"), grpc, message);
      const all = { ...reply.headers, ...reply.trailers };
      if (reply.status !== 200 || all["grpc-status"] !== "3") return `${reply.status}, ${JSON.stringify(all)}`;
      return typeof all["grpc-status-details-bin"] === "string" ? undefined : "no grpc-status-details-bin";
    },
  },
  {
    name: "an unknown RPC of gRPC is UNIMPLEMENTED",
    async look(client) {
      const reply = await client.over2("/no.Service/Rpc", grpc, empty);
      return reply.status === 200 && statusOf(reply) === "12" ? undefined : `${reply.status} ${statusOf(reply)}`;
    },
  },
  {
    name: "an error of REST keeps its body",
    async look(client) {
      const reply = await client.over1("POST", factorsPath, json, Buffer.from('{"type":"nothing"}'));
      return reply.status === 400 && JSON.parse(reply.body.toString()).code === 3 ? undefined : `${reply.status}`;
    },
  },
  {
    name: "an error of gRPC-Web keeps its status",
    async look(client) {
      const type = { "content-type": "application/grpc-web+proto" };
      const reply = await client.over1("POST", rpc("AddSecondFactorToLoginPolicy"), type, Buffer.from([0]));
      const isTold = reply.headers["grpc-status"] === "3" || reply.body.includes("grpc-status: 3");
      return reply.status === 200 && isTold ? undefined : `${reply.status} ${reply.body}`;
    },
  },
  {
    name: "headers of 12 KiB arrive, and too many are refused by a node",
    async look(client) {
      const some = await client.over1("GET", policyPath, { "x-large": "a".repeat(12_000) });
      if (some.status !== 200) return `${some.status}`;
      const more = await client.over1("GET", policyPath, { "x-large": "a".repeat(20_000) });
      return more.status === 431 && JSON.parse(more.body.toString()).code === 8 ? undefined : `${more.status}`;
    },
  },
];

async function run(): Promise<void> {
  using directory = new TemporaryDirectory();
  const data = directory.join("data");
  const ports = [await freePort(), await freePort()];
  const flags = (port: number) => ["--listen", `127.0.0.1:${port}`];
  const nodes: ServerProcess[] = [];
  // The first makes the store.
  for (const port of ports) nodes.push(await startServer({ data, flags: flags(port) }));
  const nginx = await startNginx(directory, ports);
  const client = new Client(nginx.port, nodes[0]?.adminToken ?? "");
  try {
    for (let turn = 0; ; turn += 1) {
      const problem = await kinds[0]?.call(client).catch(String);
      if (problem === undefined) break;
      if (turn === 50) throw new Error(`nginx does not answer: ${problem}`);
      await delay(100);
    }
    for (const { name, look } of spoilt) check(name, await look(client).catch(String));

    const tallies = kinds.map(({ name }) => ({ name, calls: 0, errors: [] as string[] }));
    const pending = new Set<Promise<unknown>>();
    const started = performance.now();
    const end = started + seconds * 1000;
    const calling = (async () => {
      for (let sent = 0; performance.now() < end; ) {
        for (; sent < ((performance.now() - started) / 1000) * rate; sent += 1) {
          kinds.forEach((kind, index) => {
            const tally = tallies[index];
            if (tally === undefined) return;
            tally.calls += 1;
            const at = performance.now();
            const call = kind.call(client).catch(String);
            const counted = call.then((problem) => {
              const when = `after ${Math.round(at - started)} ms`;
              if (problem !== undefined) tally.errors.push(`${when}: ${problem}`);
              pending.delete(counted);
            });
            pending.add(counted);
          });
        }
        await delay(2);
      }
      await Promise.all(pending);
    })();

    let restarts = 0;
    await delay(1_000);
    while (performance.now() + 5_000 < end || restarts < 2) {
      const index = restarts % 2;
      const at = performance.now();
      nodes[index]?.kill("SIGTERM");
      const ended = await nodes[index]?.endedWithin(15_000);
      const tookMs = Math.round(performance.now() - at);
      restarts += 1;
      say(`restart ${restarts}: node ${index + 1} ended after ${tookMs} ms with ${ended?.exitCode}`);
      const isWell = ended?.exitCode === 0 && complaintsIn(ended.stderr).length === 0 && tookMs < 10_000;
      check(`restart ${restarts}`, isWell ? undefined : `${tookMs} ms, ${JSON.stringify(ended)}`);
      const node = await startServer({ data, flags: flags(ports[index] ?? 0) });
      nodes[index] = node;
      // nginx tries a node again after one to two seconds, each upstream by itself. Only then may the other one go.
      await until(
        async () => (await fetch(`${node.url}/debug/metrics`)).text(),
        (metrics) => ["grpc", "rest"].every((protocol) => metrics.includes(`protocol="${protocol}"`)),
      );
    }
    await calling;
    for (const { name, calls, errors } of tallies) {
      say(`${String(calls).padStart(8)} calls, ${errors.length} failed: ${name}`);
      check(name, errors.length > 0 ? `${errors.length} of ${calls}, the first ${errors[0]}` : undefined);
    }
    if (failed.length > 0) say(nginx.errors().split("\n").slice(0, 20).join("\n"));
  } finally {
    client.close();
    await nginx.stop();
    for (const node of nodes) await node[Symbol.asyncDispose]();
  }
}

let skipped = 0;
function skip(reason: string): void {
  if (process.env["CI"] === "true") {
    failed.push(reason);
    return;
  }
  skipped += 1;
  say(`skipped: ${reason}`);
}

if (isInstalled("nginx")) await run();
else skip("there is no nginx on this machine");

const runShared = (...args: readonly string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, "shared-port.ts"), ...args], { stdio: "inherit" }).status;
if (runShared("--try") !== 0) skip("this user cannot make a network namespace and set net.ipv4.tcp_migrate_req in it");
else {
  const status = runShared("--seconds", String(Math.max(5, seconds / 2)), "--rate", String(rate));
  check("two processes on one address", status === 0 ? undefined : "see above");
}

for (const line of failed) process.stderr.write(`FAILED ${line}\n`);
if (failed.length > 0) process.exitCode = 1;
if (values.report !== undefined) {
  const counts = { numPassedTests: passed, numFailedTests: failed.length, numPendingTests: skipped, numTodoTests: 0 };
  writeFileSync(values.report, `${JSON.stringify(counts)}\n`);
}
say(`${passed} passed, ${failed.length} failed`);
