// Start, memory and throughput of the server beside bare servers, in interleaved rounds: npm run bench [-- ROUNDS SECONDS]
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { arch, cpus, platform, tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ManagementService } from "../gen/zitadel/management_pb.ts";
import { startIssuer } from "./issuer.ts";
import { measure, type Target } from "./load.ts";

const rounds = Number(process.argv[2] ?? 9);
const seconds = Number(process.argv[3] ?? 2);
const root = join(import.meta.dirname, "..");

interface Running {
  readonly process: ChildProcessByStdio<null, Readable, null>;
  readonly url: string;
}

function start(file: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Running> {
  const child = spawn(process.execPath, [join(root, file), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...environment },
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk;
      const url = /serves on (\S+);/.exec(text)?.[1];
      if (url !== undefined) resolve({ process: child, url });
    });
    child.once("exit", (code) => reject(new Error(`${file} ended with ${code}`)));
  });
}

async function stop({ process: child }: Running): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

const startServer = (directory: string, environment?: NodeJS.ProcessEnv, flags: readonly string[] = []) =>
  start("bin/portcullis.js", ["serve", "--data", directory, "--listen", "127.0.0.1:0", ...flags], environment);
const tokenOf = (directory: string) => readFileSync(join(directory, "admin.token"), "utf8").trim();
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const residentMb = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

const print = (line: string) => process.stdout.write(`${line}\n`);
const children = new Set<ChildProcessByStdio<null, Readable, null>>();
const directories: string[] = [];
const removeDirectories = () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
};
function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), "portcullis-bench-"));
  directories.push(directory);
  return directory;
}

/** From the start of the process to the first answer to a call, and its memory when it has been idle for two seconds. */
async function measureStart(directory: string, environment?: NodeJS.ProcessEnv): Promise<{ ms: number; mb: number }> {
  const started = performance.now();
  const server = await startServer(directory, environment);
  const response = await fetch(`${server.url}/management/v1/policies/login`, {
    headers: { authorization: `Bearer ${tokenOf(directory)}` },
  });
  await response.text();
  const ms = performance.now() - started;
  if (response.status !== 200) throw new Error(`HTTP ${response.status}`);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const mb = residentMb(server.process.pid ?? 0);
  await stop(server);
  return { ms, mb };
}

// Ctrl-C and a kill clean up too: a store here holds an admin's token.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    for (const child of children) child.kill("SIGKILL");
    removeDirectories();
    process.exit(1);
  });
}

print(
  `${platform()} ${arch()}, ${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}; ${rounds} rounds of ${seconds} s\n`,
);
try {
  print("| start | first answer, ms | idle, MB RSS |\n|---|---|---|");
  const kept = temporary();
  for (const { name, measureOnce } of [
    {
      name: "the first in a checkout: nothing is compiled, no data",
      measureOnce: () => measureStart(temporary(), { NODE_COMPILE_CACHE: temporary() }),
    },
    { name: "on a new data directory", measureOnce: () => measureStart(temporary()) },
    { name: "again", measureOnce: () => measureStart(kept) },
  ]) {
    const measured: { ms: number; mb: number }[] = [];
    for (let round = 0; round < rounds; round++) measured.push(await measureOnce());
    const ms = median(measured.map((one) => one.ms)).toFixed(0);
    print(`| ${name} | ${ms} | ${median(measured.map(({ mb }) => mb)).toFixed(0)} |`);
  }

  const directory = temporary();
  const issuer = await startIssuer();
  const server = await startServer(directory, undefined, ["--issuer", "--oidc-issuer", `${issuer.url},instance-roles`]);
  const token = tokenOf(directory);
  const client = createClient(ManagementService, createGrpcTransport({ baseUrl: server.url }));
  const headers = { authorization: `Bearer ${token}` };
  const calls = [
    {
      name: "Get",
      rpc: "GetLoginPolicy",
      verb: "GET",
      route: "/management/v1/policies/login",
      bytes: await encode("getLoginPolicy", await client.getLoginPolicy({}, { headers })),
    },
    {
      name: "List",
      rpc: "ListLoginPolicySecondFactors",
      verb: "POST",
      route: "/management/v1/policies/login/second_factors/_search",
      bytes: await encode("listLoginPolicySecondFactors", await client.listLoginPolicySecondFactors({}, { headers })),
    },
  ];
  const rpcPath = (rpc: string) => `/${ManagementService.typeName}/${rpc}`;
  const bareGrpc = await start("bench/bare-grpc-js.ts", [
    JSON.stringify(Object.fromEntries(calls.map(({ rpc, bytes }) => [rpcPath(rpc), bytes.toString("base64")]))),
  ]);
  const bareHttpAnswers: Record<string, string> = {};
  for (const { verb, route } of calls) {
    const answer = await fetch(server.url + route, { method: verb, headers });
    bareHttpAnswers[route] = Buffer.from(await answer.arrayBuffer()).toString("base64");
  }
  const bareHttp = await start("bench/bare-http.ts", [JSON.stringify(bareHttpAnswers)]);

  print(
    "\n| call | server | requests/s, median (min to max) | ratio to the bare server, median of rounds |\n|---|---|---|---|",
  );
  for (const { name, rpc, verb, route } of calls) {
    const grpc = { protocol: "grpc", verb: "POST", path: rpcPath(rpc), token } as const;
    await compare(`${name} over gRPC`, {
      load: { connections: 8, streams: 16 },
      base: { name: "bare @grpc/grpc-js", target: { ...grpc, url: bareGrpc.url } },
      others: [{ name: "portcullis", target: { ...grpc, url: server.url } }],
    });
    const rest = { protocol: "rest", verb, path: route, token } as const;
    await compare(`${name} over REST`, {
      load: { connections: 32, streams: 1 },
      base: { name: "bare node:http", target: { ...rest, url: bareHttp.url } },
      others: [{ name: "portcullis", target: { ...rest, url: server.url } }],
    });
  }

  print(
    "\n| call | token | requests/s, median (min to max) | ratio to a personal access token, median of rounds |\n|---|---|---|---|",
  );
  const issued = await getIssuedToken(server.url, directory);
  const outside = await issuer.token();
  for (const { name, verb, route } of calls) {
    const rest = { url: server.url, protocol: "rest", verb, path: route } as const;
    await compare(`${name} over REST`, {
      load: { connections: 32, streams: 1 },
      base: { name: "personal access token", target: { ...rest, token } },
      others: [
        { name: "JWT of an outside issuer", target: { ...rest, token: outside } },
        { name: "token of the built-in issuer", target: { ...rest, token: issued } },
      ],
    });
  }
  issuer.close();
  for (const running of [server, bareGrpc, bareHttp]) await stop(running);
} finally {
  removeDirectories();
}

async function encode(method: "getLoginPolicy" | "listLoginPolicySecondFactors", message: object): Promise<Buffer> {
  const { output } = ManagementService.method[method];
  return Buffer.from(toBinary(output, create(output, message as never)));
}

/** A token of `admin`, by client credentials. */
async function getIssuedToken(url: string, directory: string): Promise<string> {
  const command = [join(root, "bin/portcullis.js"), "user", "secret", "admin", "--json", "--data", directory];
  const { clientId, clientSecret } = JSON.parse(execFileSync(process.execPath, command).toString()) as Record<
    "clientId" | "clientSecret",
    string
  >;
  const answer = await fetch(`${url}/oauth/v2/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString("base64")}` },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      scope: "openid urn:zitadel:iam:org:project:id:zitadel:aud",
    }),
  });
  const { access_token: token } = (await answer.json()) as { readonly access_token: string };
  return token;
}

interface Contender {
  readonly name: string;
  readonly target: Target;
}

async function compare(
  name: string,
  options: {
    readonly load: { readonly connections: number; readonly streams: number };
    readonly base: Contender;
    readonly others: readonly Contender[];
  },
): Promise<void> {
  const contenders = [options.base, ...options.others];
  const measured = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { target }] of contenders.entries()) {
      measured[index]?.push(await measure(target, { ...options.load, seconds }));
    }
  }
  const [base = []] = measured;
  for (const [index, contender] of contenders.entries()) {
    const rates = measured[index] ?? [];
    const shown = `${median(rates).toFixed(0)} (${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)})`;
    const ratio = median(rates.map((rate, round) => rate / (base[round] ?? Number.NaN)));
    print(`| ${name} | ${contender.name} | ${shown} | ${index === 0 ? "1" : ratio.toFixed(2)} |`);
  }
}
