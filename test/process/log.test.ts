// The log of a server under attack, or with nobody who reads it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { dataFrame, headersFrame, resetFrame, settingsFrame } from "../fixtures/http2-frames.ts";
import { isWhole } from "../fixtures/sample.ts";
import { program, startServer, TemporaryDirectory } from "./portcullis.ts";

/** How long an attack takes at least, and how much it sends. */
const attackMs = isWhole ? 60_000 : 0;
const attackBytes = 300_000;

const reflection = {
  ":method": "POST",
  ":path": "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  ":scheme": "http",
  ":authority": "localhost",
  "content-type": "application/grpc",
};

/** Calls of one connection, each with half a message. Some are reset; the others are open when the connection ends. */
const abortedCalls = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  settingsFrame(),
  ...Array.from({ length: 60 }, (_, index) => {
    const stream = 2 * index + 1;
    const begun = Buffer.concat([headersFrame(stream, reflection), dataFrame(stream, Buffer.alloc(3))]);
    return index % 2 === 0 ? begun : Buffer.concat([begun, resetFrame(stream, index % 3)]);
  }),
]);

async function sendAndEnd(url: string, bytes: Buffer): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on("error", () => {});
  socket.end(bytes);
  socket.resume();
  await once(socket, "close");
}

it("has no line of calls that are aborted, however many", { timeout: attackMs + 60_000 }, async () => {
  using directory = new TemporaryDirectory();
  await using server = await startServer({ data: directory.join("data") });
  let sent = 0;
  const end = performance.now() + attackMs;
  do {
    await Promise.all(Array.from({ length: 5 }, () => sendAndEnd(server.url, abortedCalls)));
    sent += 5 * abortedCalls.length;
  } while (performance.now() < end || sent < attackBytes);
  expect((await fetch(`${server.url}/debug/ready`)).status).toBe(200);
  const { exitCode, stderr } = await server.stop();
  expect(exitCode).toBe(0);
  // What it says of its start and its stop.
  expect(stderr.split("\n").filter((line) => /"level":[45]0/.test(line))).toEqual([]);
  expect(stderr.length).toBeLessThan(4_000);
});

describe("with standard error that nobody reads", () => {
  it("goes on serving, counts the lines that are lost, and stops in time", { timeout: 120_000 }, async () => {
    using directory = new TemporaryDirectory();
    await using server = await startWith(directory.join("data"), "pipe");
    // A line of the log for each, of about 400 bytes.
    const request = `GET /nowhere HTTP/1.1\r\nhost: localhost\r\nx-request-id: ${"x".repeat(128)}\r\n\r\n`;
    const { hostname, port } = new URL(server.url);
    const metrics = async () => (await fetch(`${server.url}/debug/metrics`)).text();
    const lost = async () =>
      Number(/^portcullis_log_lines_lost_total\{reason="full"\} (\d+)$/m.exec(await metrics())?.[1]);
    do {
      const socket = connect(Number(port), hostname);
      socket.end(`${request.repeat(499)}${request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")}`);
      let answers = 0;
      for await (const chunk of socket) answers += String(chunk).split("HTTP/1.1 404").length - 1;
      expect(answers).toBeGreaterThan(0);
    } while (!((await lost()) > 0));
    const ended = once(server.child, "exit");
    server.child.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });
});

it.runIf(existsSync("/dev/full"))("goes on with a full disk, and counts the lines that were lost", async () => {
  using directory = new TemporaryDirectory();
  const full = openSync("/dev/full", "w");
  await using server = await startWith(directory.join("data"), full);
  closeSync(full);
  expect((await fetch(`${server.url}/nowhere`)).status).toBe(404);
  const metrics = await (await fetch(`${server.url}/debug/metrics`)).text();
  expect(metrics).toMatch(/^portcullis_log_lines_lost_total\{reason="failed"\} [1-9]/m);
  const ended = once(server.child, "exit");
  server.child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
});

/** A server whose standard error is a pipe that nobody reads, or a file. */
async function startWith(
  data: string,
  standardError: "pipe" | number,
): Promise<AsyncDisposable & { readonly url: string; readonly child: ChildProcess }> {
  const flags = ["--listen", "127.0.0.1:0", "--data", data, "--log-level", "debug"];
  const child = spawn(process.execPath, [program, "serve", ...flags], {
    stdio: ["ignore", "pipe", standardError],
  });
  child.stderr?.pause();
  const [line] = await once(child.stdout as Readable, "data");
  return {
    url: /serves on ([^;\s]+)/.exec(String(line))?.[1] ?? "",
    child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

describe("the last lines", () => {
  const writing = (end: string) => `
    import { createLog } from ${JSON.stringify(new URL("../../src/process/log.ts", import.meta.url).href)};
    const log = await createLog({ level: "info", format: "json" });
    for (let line = 1; line <= 5000; line += 1) log.info({ line }, "a line");
    ${end}
  `;

  /** Runs a program to its end, with standard error in a file, and resolves to the lines there. */
  async function linesInFile(end: string): Promise<readonly string[]> {
    using directory = new TemporaryDirectory();
    writeFileSync(directory.join("program.mjs"), writing(end));
    const file = openSync(directory.join("log"), "w");
    const child = spawn(process.execPath, [directory.join("program.mjs")], { stdio: ["ignore", "ignore", file] });
    closeSync(file);
    await once(child, "exit");
    return readFileSync(directory.join("log"), "utf8").split("\n");
  }

  it.each([
    ["exits", "process.exit(3);"],
    ["throws", 'throw new Error("a bug");'],
    ["ends by itself", ""],
  ])("are in a file when the process %s", async (_, end) => {
    const lines = (await linesInFile(end)).filter((line) => line.startsWith('{"level":30'));
    const numbers = lines.map((line) => JSON.parse(line).line as number);
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 5000 }, (__, index) => index + 1));
  });

  it("are read from a pipe when the process exits", async () => {
    using directory = new TemporaryDirectory();
    writeFileSync(directory.join("program.mjs"), writing("process.exit(3);"));
    const child = spawn(process.execPath, [directory.join("program.mjs")], { stdio: ["ignore", "ignore", "pipe"] });
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    expect(await once(child, "close")).toEqual([3, null]);
    expect(JSON.parse(text.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ line: 5000 });
  });
});
