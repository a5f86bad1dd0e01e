// Answers that go out before the body was read reach clients that are still sending it, over HTTP/1.1.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isWhole } from "../fixtures/sample.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { factorsPath, policyPath, rpcPath } from "../fixtures/sturdy.ts";
import { isLeftOut } from "../interop/left-out.ts";
import { missingProgram } from "../interop/run.ts";
import { tls } from "./listener-clients.ts";

const body = Buffer.alloc(4 * 1024 * 1024, "a");
/** Of the case that clients meet most; each other one gets some of them. */
const calls = isWhole ? 100 : 40;
const fewCalls = isWhole ? 20 : 10;
const atOnce = 10;

interface Case {
  readonly name: string;
  readonly path: string;
  readonly status: number;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}
const json = { "content-type": "application/json" };
const noToken = { ...json, authorization: "" };
const cases: readonly Case[] = [
  { name: "a body that is too large", path: factorsPath, status: 413 },
  { name: "one that is too large for Connect", path: rpcPath("GetLoginPolicy"), status: 429 },
  {
    name: "one that is too large for gRPC-Web",
    path: rpcPath("GetLoginPolicy"),
    status: 200,
    headers: { "content-type": "application/grpc-web+proto" },
  },
  { name: "no token", path: factorsPath, status: 401, headers: noToken },
  { name: "no token, over Connect", path: rpcPath("GetLoginPolicy"), status: 401, headers: noToken },
  { name: "an unknown path", path: "/nope", status: 404 },
  { name: "another verb", path: policyPath, method: "PATCH", status: 405 },
  { name: "another content type", path: rpcPath("GetLoginPolicy"), status: 415, headers: { "content-type": "a/b" } },
  { name: "large headers", path: factorsPath, status: 431, headers: { ...json, "x-large": "a".repeat(20_000) } },
  { name: "a form that is too large for the issuer", path: "/oauth/v2/token", status: 413 },
];

/** How many calls came to what, a few at a time. */
async function tally(calls: number, call: () => Promise<number | string>): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  let left = calls;
  const work = async () => {
    for (; left > 0; ) {
      left -= 1;
      const came = await call().catch((reason: Error) => `${reason.cause ?? reason}`);
      counts[came] = (counts[came] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return counts;
}

describe.each([
  { name: "plaintext", options: {} },
  { name: "TLS", options: { tls } },
])("$name", ({ options }) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ ...options, issuer: {} });
  });
  afterAll(() => server.close());
  const headersOf = ({ headers = json }: Case) => ({ authorization: `Bearer ${server.adminToken}`, ...headers });

  it.each(cases)("$name: Node's client gets $status each time", async (one) => {
    const { path, method = "POST", status } = one;
    const times = one === cases[0] ? calls : fewCalls;
    const counts = await tally(times, async () => {
      if (!("tls" in options)) {
        const response = await fetch(server.url + path, { method, headers: headersOf(one), body });
        await response.arrayBuffer();
        return response.status;
      }
      const sent = request(server.url + path, { method, headers: headersOf(one), ca: tls.cert, agent: false });
      // What is sent after the answer may well fail; before it, `once` rejects.
      const answered = once(sent, "response");
      sent.on("error", () => {});
      sent.end(body);
      const [response] = await answered;
      response.resume();
      await once(response, "end");
      return response.statusCode;
    });
    expect(counts).toEqual({ [status]: times });
  });
});

describe.skipIf(isLeftOut(missingProgram("curl")))("curl", () => {
  const file = join(tmpdir(), `portcullis-early-answers-${process.pid}`);
  beforeAll(() => writeFileSync(file, body));
  afterAll(() => rmSync(file));

  it.each(["content-length:", "transfer-encoding: chunked"])("gets 413 each time with %s", async (framing) => {
    const server = await startTestServer();
    try {
      const counts = await tally(calls, async () => {
        const headers = [`authorization: Bearer ${server.adminToken}`, "content-type: application/json", "expect:"];
        if (framing.endsWith("chunked")) headers.push(framing);
        const child = spawn("curl", [
          ...["--disable", "--noproxy", "*", "--silent", "--show-error", "--http1.1", "--max-time", "60"],
          ...headers.flatMap((header) => ["--header", header]),
          ...["--data-binary", `@${file}`, "--write-out", "%{http_code}", "--output", "/dev/null"],
          server.url + factorsPath,
        ]);
        let out = "";
        child.stdout.on("data", (chunk) => {
          out += chunk;
        });
        const [code] = await once(child, "close");
        return code === 0 ? out : `curl's exit code ${code}`;
      });
      expect(counts).toEqual({ 413: calls });
    } finally {
      await server.close();
    }
  });
});
