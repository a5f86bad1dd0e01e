// Writes our .proto files, Google's that they import and one descriptor set into a folder, so that plain protoc,
// grpcurl and the like can use them without this repository: npm run proto:export [-- DIR]
import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const root = join(import.meta.dirname, "..");
const descriptorSet = "portcullis.binpb";

function fail(sentence: string): never {
  process.stderr.write(`proto:export: ${sentence}\n`);
  process.exit(1);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function findBuf(): string {
  try {
    return createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
  } catch {
    return fail("buf is not installed; run 'npm ci' in the project first.");
  }
}

function runBuf(buf: string, ...args: string[]): void {
  const run = spawnSync(process.execPath, [buf, ...args], { cwd: root, encoding: "utf8" });
  if (run.error) fail(`buf could not be started: ${run.error.message}`);
  if (run.status !== 0) fail(`'buf ${args.join(" ")}' failed: ${(run.stderr || run.stdout).trim()}`);
}

const args = process.argv.slice(2);
if (args.length > 1 || args[0]?.startsWith("-")) fail("usage: npm run proto:export [-- DIR]");
const folder = resolve(args[0] ?? join(root, "proto-export"));

const buf = findBuf();
try {
  mkdirSync(folder, { recursive: true });
  accessSync(folder, constants.W_OK);
} catch (error) {
  fail(`the folder ${folder} cannot be written: ${reason(error)}`);
}
// Descriptors of google/protobuf/* are in the set, but not the files: every protoc carries them.
runBuf(buf, "build", "proto", "--as-file-descriptor-set", "--output", join(folder, descriptorSet));
runBuf(buf, "export", "proto", "--output", folder);
process.stdout.write(`Wrote the .proto files and the descriptor set ${descriptorSet} to ${folder}\n`);
