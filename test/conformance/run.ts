// Runs Connect's conformance suite against server.ts:
//
//   npm run test:connect-conformance -- [--install] [--path stock|direct] [--report FILE] [-- options of the runner]
//
// For one case: npm run test:connect-conformance -- -- --trace --run 'Basic/**/unary/success'
//
// The runner is a program in Go. `--install`, or CI=true, builds it where it is missing, and `--only-install` does only that. The
// last line counts the cases; one that is known to fail (known-failing.txt) counts as skipped. Exits with 0 when no other failed.
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { readPath } from "./path.ts";

const version = "v1.0.7";
const program = "connectconformance";
const module = `connectrpc.com/conformance/cmd/${program}@${version}`;
const here = import.meta.dirname;
const cache = join(here, "../../node_modules/.cache", `${program}-${version}`);
/** It takes about a minute. The runner has no limit of its own, and one call that never ends would hold it up for ever. */
const timeoutMs = 10 * 60_000;

const { values, positionals } = parseArgs({
  options: {
    install: { type: "boolean", default: process.env["CI"] === "true" },
    "only-install": { type: "boolean", default: false },
    path: { type: "string" },
    report: { type: "string" },
  },
  allowPositionals: true,
});
const path = readPath(values.path);

const onlyInstall = values["only-install"];
const runner = findRunner() ?? (values.install || onlyInstall ? installRunner() : undefined);
if (runner === undefined) {
  fail(
    `the runner of the conformance suite is missing. Run this with --install, which needs Go 1.26 or newer and does\n` +
      `  GOBIN=${cache} go install ${module}\n` +
      `or put ${program} ${version} on the PATH, or name it in PORTCULLIS_CONNECTCONFORMANCE`,
  );
}
if (!onlyInstall) process.stdout.write(`${await run(runner)}\n`);

/** The one that is named, else one of the right version: cases come and go from one version to the next. */
function findRunner(): string | undefined {
  const named = process.env["PORTCULLIS_CONNECTCONFORMANCE"];
  if (named) return named;
  return [program, join(cache, program)].find((candidate) => {
    const { stdout } = spawnSync(candidate, ["--version"], { encoding: "utf8" });
    return stdout?.trim() === `${program} ${version}`;
  });
}

function installRunner(): string {
  process.stdout.write(`go install ${module}\n`);
  const { error, status } = spawnSync("go", ["install", module], {
    env: { ...process.env, GOBIN: cache },
    stdio: "inherit",
  });
  if (error !== undefined) fail(`the runner is built with Go, which cannot be run: ${error.message}`);
  if (status !== 0) fail("go could not build the runner: see above");
  return join(cache, program);
}

/** Returns the line that counts. */
async function run(command: string): Promise<string> {
  const options = [
    ["--mode", "server"],
    ["--conf", join(here, "config.yaml")],
    ["--known-failing", `@${join(here, "known-failing.txt")}`],
  ].flat();
  const server = [process.execPath, join(here, "server.ts"), "--path", path];
  const child = spawn(command, [...options, ...positionals, "--", ...server], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: timeoutMs,
  });
  const exited = new Promise<number | string | null>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  child.stdout.pipe(process.stdout, { end: false });
  const output = await text(child.stdout);
  const status = await exited;

  const passed = count(output, /^(\d+) passed, \d+ failed$/m);
  const skipped = count(output, /^\(Another (\d+) failed as expected/m);
  let failed = count(output, /^\d+ passed, (\d+) failed$/m) + count(output, /^Another (\d+) could not be run/m);
  // What it says in the end counts, not what it said before: it may have stopped halfway, or have run nothing.
  if (failed === 0 && (status !== 0 || passed === 0)) {
    process.stderr.write(`the runner ended with ${status}, and ${passed} cases passed\n`);
    failed = 1;
  }
  if (failed > 0) process.exitCode = 1;
  if (values.report !== undefined) {
    const report = { numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped, numTodoTests: 0 };
    writeFileSync(values.report, `${JSON.stringify(report)}\n`);
  }
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function count(output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1] ?? 0);
}

function fail(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
