import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..");

/** Servers share one CPU and generators have the other, so that neither takes the other's time. */
export const serverCpu = 0;
export const generatorCpu = 1;

/** Whether this machine can pin a process to either CPU. */
export const isPinned = [serverCpu, generatorCpu].every(
  (cpu) => spawnSync("taskset", ["-c", String(cpu), "true"]).status === 0,
);

/** A command that runs on one CPU, where there is a way. */
export const pin = (command: readonly string[], cpu: number): readonly [string, ...string[]] =>
  (isPinned ? ["taskset", "-c", String(cpu), ...command] : command) as unknown as [string, ...string[]];

/** A server in a process of its own. */
export interface Running {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a server that prints `serves on URL;`, and resolves when it has. */
export function startServer(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly isFree?: boolean } = {},
): Promise<Running> {
  const command = [process.execPath, ...args] as const;
  const [file, ...rest] = options.isFree ? command : pin(command, serverCpu);
  const child = spawn(file, rest, { cwd: root, stdio: ["ignore", "pipe", "inherit"], env: options.env ?? process.env });
  remember(child);
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk;
      const url = /serves on (\S+);/.exec(text)?.[1];
      if (url !== undefined) resolve({ url, pid: child.pid ?? 0, stop: () => end(child) });
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${args.join(" ").slice(0, 80)} ended with ${code}`)));
  });
}

/** Starts the server itself, as a person would, on a directory with a store. */
export function startPortcullis(
  directory: string,
  options: {
    readonly flags?: readonly string[];
    readonly nodeFlags?: readonly string[];
    readonly env?: NodeJS.ProcessEnv;
    /** Whether it may use every CPU. */
    readonly isFree?: boolean;
  } = {},
): Promise<Running> {
  const { flags = [], nodeFlags = [], env, isFree = false } = options;
  const serve = ["bin/portcullis.js", "serve", "--data", directory, "--listen", "127.0.0.1:0"];
  return startServer([...nodeFlags, ...serve, ...flags], { isFree, ...(env && { env: { ...process.env, ...env } }) });
}

export const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

const children = new Set<ChildProcess>();

/** Ends the process with this one. */
export function remember(child: ChildProcess): void {
  children.add(child);
  child.once("exit", () => children.delete(child));
}

/** Ends a process that may still be at work. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

const directories: string[] = [];

/** A new directory, until the end. It is beside the checkout and not in the system's, which is memory on some machines. */
export function temporaryDirectory(): string {
  const parent = join(root, "node_modules/.cache");
  mkdirSync(parent, { recursive: true });
  const directory = mkdtempSync(join(parent, "portcullis-bench-"));
  directories.push(directory);
  return directory;
}

/** Ends every process and removes every directory that is left. */
export function cleanUp(): void {
  for (const child of children) child.kill("SIGKILL");
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
}
