// What the `prepare` of clients is made of.

import type { ExecFileOptions } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ended, run } from "./run.ts";

const stampName = ".built-from";

export interface BuildOptions {
  /** Where the result is. What else is there is removed before a build. */
  readonly directory: string;
  /** Files and folders that the result is made of. */
  readonly sources: readonly string[];
  /** What else decides on the result, such as versions of a toolchain. */
  readonly toolchain: readonly string[];
  readonly build: () => Promise<void>;
}

/** Builds, unless the last build in the directory ended well and was of the same sources and toolchain. */
export async function buildOnce({ directory, sources, toolchain, build }: BuildOptions): Promise<void> {
  const stamp = join(directory, stampName);
  const hash = createHash("sha256").update(JSON.stringify([toolchain, build.toString()]));
  for (const source of sources) addToHash(source);
  const wanted = hash.digest("hex");
  if (readIfThere(stamp) === wanted) return;
  for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true, force: true });
  await build();
  writeFileSync(stamp, wanted);

  function addToHash(path: string): void {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) addToHash(join(path, name));
    else hash.update(JSON.stringify(path)).update(readFileSync(path));
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
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
