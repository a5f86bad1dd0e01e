import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, platform } from "node:os";
import { isPinned, root } from "./processes.ts";

/** How much is measured. */
export interface Effort {
  readonly rounds: number;
  /** How long one measurement of one contender lasts. */
  readonly seconds: number;
  /** How many organizations the large store holds. */
  readonly organizations: number;
}

/** What one has to know to read the numbers, in words. */
export type Environment = Readonly<Record<string, string>>;

/** Begins to watch the machine. What is returned ends it, and describes the machine and what was measured on it. */
export function watchEnvironment({ rounds, seconds }: Effort): () => Environment {
  const before = readCpuTimes();
  return () => ({
    date: new Date().toISOString().slice(0, 10),
    commit: `commit ${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain", "src") === "" ? "" : " with changes"}`,
    system: `${platform()} ${arch()}`,
    processors: `${cpus().length} × ${cpus()[0]?.model}`,
    ...describeSteal(before, readCpuTimes()),
    node: `Node ${process.version}`,
    h2load: h2loadVersion(),
    pinning: isPinned ? "servers on CPU 0, generators on CPU 1" : "processes not pinned",
    effort: `${rounds} rounds of ${seconds} s`,
  });
}

interface CpuTimes {
  readonly all: number;
  /** What the host of a virtual machine gave to others while something here wanted to run. */
  readonly stolen: number;
}

function readCpuTimes(): CpuTimes | undefined {
  if (!existsSync("/proc/stat")) return undefined;
  // user, nice, system, idle, iowait, irq, softirq, steal
  const times = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]?.split(/\s+/).slice(1, 9).map(Number) ?? [];
  return { all: times.reduce((sum, time) => sum + time, 0), stolen: times[7] ?? 0 };
}

function describeSteal(before: CpuTimes | undefined, after: CpuTimes | undefined): Environment {
  if (before === undefined || after === undefined) return {};
  const share = (after.stolen - before.stolen) / (after.all - before.all);
  return { stolen: `of whose time the host took ${(share * 100).toFixed(1)} %` };
}

function git(...args: readonly string[]): string {
  try {
    return execFileSync("git", args, { cwd: root, stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim();
  } catch {
    return "unknown";
  }
}

export function h2loadVersion(): string {
  const found = spawnSync("h2load", ["--version"], { encoding: "utf8" });
  if (found.error) return "no h2load";
  return found.stdout.trim().replace("/", " ");
}
