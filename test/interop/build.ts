// What the `prepare` of clients is made of.

import type { ExecFileOptions } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ended, run } from "./run.ts";

export interface BuildOptions {
  /** Where the result is. It is kept between runs, and so is what is in it, so that a build can start from the last one. */
  readonly directory: string;
  /** Files and folders that the build reads, and the file that says how to build. */
  readonly inputs: readonly string[];
  /** What else decides on the result, such as versions of compilers. */
  readonly toolchain?: readonly string[];
  readonly build: () => Promise<void>;
}

/** Builds, unless the last build in the directory ended well and was the same, of the same. */
export async function buildOnce({ directory, inputs, toolchain = [], build }: BuildOptions): Promise<void> {
  const hash = createHash("sha256").update(JSON.stringify(toolchain));
  for (const input of inputs) {
    for (const path of filesOf(input)) {
      // Names matter, but not where a folder is.
      hash
        .update(`${path.slice(input.length)}\0`)
        .update(readFileSync(path))
        .update("\0");
    }
  }
  const digest = hash.digest("hex");
  const stamp = join(directory, "built-from.sha256");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  mkdirSync(directory, { recursive: true });
  rmSync(stamp, { force: true });
  await build();
  writeFileSync(stamp, digest);
}

function filesOf(path: string): readonly string[] {
  if (!statSync(path).isDirectory()) return [path];
  const entries = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map(({ parentPath, name }) => join(parentPath, name)).sort();
}

/** Runs a program that has to succeed, and resolves to what it printed. Rejects with a sentence. */
export async function must(file: string, args: readonly string[], options: ExecFileOptions = {}): Promise<string> {
  let ended: Ended;
  try {
    ended = await run(file, args, { maxBuffer: 2 ** 26, ...options });
  } catch (error) {
    throw new Error(`${file} ${args[0] ?? ""} could not be run: ${(error as Error).message}`);
  }
  const { status, stdout, stderr } = ended;
  if (status !== 0) throw new Error(`${[file, ...args].join(" ")} ended with ${status}: ${(stderr || stdout).trim()}`);
  return stdout;
}

/** What a program of a toolchain says to be. Rejects with a sentence where it is not there. */
export async function toolchainVersion(name: string, args: readonly string[], install: string): Promise<string> {
  try {
    return (await run(name, args)).stdout.trim();
  } catch {
    throw new Error(`${name} is not on the PATH: ${install}.`);
  }
}

/** The version of an npm package of this project. Some packages export no package.json, so that it is read as a file. */
export function npmVersion(name: string): string {
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
