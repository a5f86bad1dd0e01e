// Opens 2,000 watches of login policies on one server process, and writes. Every change must reach all of them within a second, and the
// process must take no more than 250 MB for them:
//
//   node test/soak/watchers.ts [--watches N] [--by-name]
//
// A third each over gRPC's framing by HTTP/2, and as server-sent events over HTTP/2 and over HTTP/1.1. With --by-name, each names the
// instance. Run it on a machine that does nothing else: the clients take a core, too.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchLoginPoliciesRequestSchema } from "../../gen/portcullis/v1/login_policy_service_pb.ts";
import { frame } from "../fixtures/wire.ts";
import { startServer, TemporaryDirectory } from "../process/portcullis.ts";

const { values } = parseArgs({
  options: { watches: { type: "string", default: "2000" }, "by-name": { type: "boolean", default: false } },
});
const watches = Number(values.watches);
const rounds = 10;
const mostMegabytes = 250;
const mostMs = 1000;
const say = (line: string) => void process.stdout.write(`${line}\n`);

using directory = new TemporaryDirectory();
await using server = await startServer({
  data: directory.join("data"),
  env: { NODE_OPTIONS: process.env["NODE_OPTIONS"] ?? "" },
  flags: ["--watches-per-caller", String(watches)],
});
const { url, adminToken, pid } = server;
const name = "instance/loginPolicy";
const path = `/portcullis/v1/loginPolicies:watch${values["by-name"] ? `?names=${name}` : ""}`;
const authorization = `Bearer ${adminToken}`;
const megabytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1000;

let waiting: { left: number; done(): void } | undefined;
/** Resolves when so many watches got a piece: each answer is one. */
const pieces = (left: number) =>
  new Promise<void>((done) => {
    waiting = { left, done };
  });
function onPiece(): void {
  if (waiting === undefined) throw new Error("an answer came that nobody waited for");
  waiting.left -= 1;
  if (waiting.left === 0) waiting.done();
}
const failed = (what: unknown): never => {
  throw new Error(`a watch failed: ${what}`);
};

const sessions: ClientHttp2Session[] = [];
function openStream(headers: OutgoingHttpHeaders, body?: Uint8Array): void {
  let session = sessions.at(-1);
  if (session === undefined || opened % 90 < 3) {
    session = connect(url).on("error", failed).setMaxListeners(0);
    sessions.push(session);
  }
  const stream = session.request({ authorization, ...headers }, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  stream.on("data", onPiece).on("error", failed).on("trailers", failed);
  stream.on("response", ({ ":status": status }) => status === 200 || failed(status));
}

const message = create(WatchLoginPoliciesRequestSchema, values["by-name"] ? { names: [name] } : {});
const framed = frame(toBinary(WatchLoginPoliciesRequestSchema, message));
const rpc = "/portcullis.v1.LoginPolicyService/WatchLoginPolicies";
const sse = { accept: "text/event-stream" };
const kinds = [
  () => openStream({ ":method": "POST", ":path": rpc, "content-type": "application/grpc", te: "trailers" }, framed),
  () => openStream({ ":path": path, ...sse }),
  () => {
    const sent = request(`${url}${path}`, { headers: { authorization, ...sse }, agent: new Agent() });
    sent.on("error", failed).end();
    sent.on("response", (response) => {
      if (response.statusCode !== 200) failed(response.statusCode);
      response.on("data", onPiece).on("error", failed);
    });
  },
];

const before = megabytes();
const first = pieces(watches);
let opened = 0;
for (; opened < watches; opened += 1) kinds[opened % kinds.length]?.();
await first;
const taken = megabytes() - before;
say(`${watches} watches take ${Math.round(taken)} MB, beside the ${Math.round(before)} MB before them`);

const times: number[] = [];
for (let round = 0; round < rounds; round += 1) {
  const all = pieces(watches);
  const began = performance.now();
  const answer = await fetch(`${url}/portcullis/v1/${name}?updateMask=forceMfa`, {
    method: "PATCH",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ forceMfa: round % 2 === 0 }),
  });
  if (answer.status !== 200) throw new Error(await answer.text());
  await all;
  times.push(performance.now() - began);
}
const slowest = Math.max(...times);
say(`${rounds} changes took at most ${Math.round(slowest)} ms from the request to the last watch`);
say(`${Math.round(megabytes() - before)} MB after them, with garbage that V8 has not collected yet`);
const isWithin = slowest <= mostMs && taken <= mostMegabytes;
if (!isWithin) say(`that is more than ${mostMs} ms or ${mostMegabytes} MB`);
process.exit(isWithin ? 0 : 1);
