// What a machine may lack.
import { spawnSync } from "node:child_process";
import { existsSync, globSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { TestContext } from "vitest";

/** Skips the test where there is a reason to; in CI, where nothing may be missing, it fails. */
export function skipBecause(context: TestContext, reason: string | undefined): void {
  if (reason === undefined) return;
  if (process.env["CI"]) throw new Error(`this cannot be left out in CI: ${reason}`);
  context.skip(reason);
}

const succeeds = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

/** Why nothing can be traced here; undefined where it can. */
export const whyNoStrace = (): string | undefined =>
  succeeds("strace", "-o", "/dev/null", "true") ? undefined : "strace is missing, or may not trace here";

/** The wall clock of processes with this environment, which can be set while they run. Timers keep their pace. */
export class SetClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  private constructor(library: string, file: string) {
    this.#file = file;
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      // A clock that is set changes no times of files.
      NO_FAKE_STAT: "1",
    };
    this.set(0);
  }

  /** Undefined where libfaketime is not installed. It keeps its state in a file at that path. */
  static at(file: string): SetClock | undefined {
    const [library] = globSync("/usr/lib/{,*/}faketime/libfaketimeMT.so.1");
    return library === undefined ? undefined : new SetClock(library, file);
  }

  /** Sets it so many hours ahead, or behind. */
  set(hours: number): void {
    writeFileSync(this.#file, `${hours < 0 ? "" : "+"}${hours}h`);
  }
}

export const whyNoSetClock = "libfaketime is not installed, which is in Debian's package faketime";

const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"];

function run(command: string, ...args: string[]): boolean {
  const [first = command, ...rest] = [...asRoot, command, ...args];
  return succeeds(first, ...rest);
}

/** A small file system in memory, unmounted when it is disposed of. */
export class SmallDisk implements Disposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Mounts one of that many kilobytes on an existing directory; undefined where this user cannot. */
  static mount(path: string, { sizeKb }: { readonly sizeKb: number }): SmallDisk | undefined {
    if (process.platform !== "linux") return undefined;
    const options = `size=${sizeKb}k,mode=0700,uid=${process.getuid?.()}`;
    return run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path) ? new SmallDisk(path) : undefined;
  }

  makeReadOnly(): void {
    if (!run("mount", "-o", "remount,ro", this.path)) throw new Error(`${this.path} could not be remounted`);
  }

  [Symbol.dispose](): void {
    // Lazily: a process that was just killed may still hold it.
    run("umount", "-l", this.path);
  }
}

export const whyNoDisk = "only root on Linux can mount a small file system";

/** An installed Node that is too old for the program, and its version. */
export function findOldNode(): { readonly path: string; readonly version: string } | undefined {
  const folders = ["/usr/bin", "/usr/local/bin", ...(process.env["PATH"] ?? "").split(delimiter)];
  for (const folder of folders) {
    const path = join(folder, "node");
    if (folder.includes("node_modules") || !existsSync(path)) continue;
    const version = spawnSync(path, ["--version"], { encoding: "utf8" }).stdout?.trim() ?? "";
    const major = Number(/^v(\d+)\./.exec(version)?.[1]);
    if (major < 24) return { path, version: version.slice(1) };
  }
  return undefined;
}
