// A disk that fails, or loses power, under a process. See sick-disk.c.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestContext } from "vitest";
import { skipBecause } from "./machine.ts";
import type { TemporaryDirectory } from "./portcullis.ts";

export interface Fault {
  /** Default: the operation fails with EIO. `KILL`: the process is killed before it. */
  readonly fault?: "EIO" | "KILL";
  /** Default: only syncs. `change`: also writes, new lengths, links and removals. */
  readonly operations?: "sync" | "change";
  /** A pattern of paths, in which * stands for any characters. Default: every path. */
  readonly of?: string;
  /** The first and the last of these operations that fail, counted from 1. Default: all. */
  readonly from?: number;
  readonly to?: number;
}

export class SickDisk {
  /** For the processes that use this disk. */
  readonly env: Readonly<Record<string, string>>;
  readonly #control: string;
  readonly #image: string;
  readonly #directory: TemporaryDirectory;

  private constructor(directory: TemporaryDirectory, library: string) {
    this.#directory = directory;
    this.#control = directory.join("sick-disk");
    this.#image = directory.join("durable");
    this.env = { LD_PRELOAD: library, SICK_DISK: this.#control };
  }

  /** Skips the test where the library cannot be built. */
  static create(context: TestContext, directory: TemporaryDirectory): SickDisk {
    const library = directory.join("sick-disk.so");
    const source = fileURLToPath(new URL("sick-disk.c", import.meta.url));
    const built =
      process.platform === "linux"
        ? spawnSync("gcc", ["-shared", "-fPIC", "-o", library, source, "-ldl"], { encoding: "utf8" })
        : { status: 1, stderr: "it is for Linux" };
    skipBecause(context, built.status === 0 ? undefined : `gcc is missing, or cannot build: ${built.stderr}`);
    return new SickDisk(directory, library);
  }

  /** Takes the place of an earlier fault, and counts from 1 again. */
  fail({ fault = "EIO", operations = "sync", of = "*", from = 1, to = 2 ** 31 }: Fault = {}): void {
    this.heal();
    writeFileSync(this.#control, `${fault} ${operations} ${of} ${from} ${to}\n`);
  }

  heal(): void {
    rmSync(this.#control, { force: true });
  }

  /** How many of the operations of the last `fail` there were, failed or not. */
  get attempts(): number {
    const noted = readFileSync(this.#control);
    return noted.length - noted.indexOf("\n") - 1;
  }

  /** Follows what is durable of a directory from now on, for processes that get this environment too. */
  follow(data: string): Readonly<Record<string, string>> {
    rmSync(this.#image, { recursive: true, force: true });
    mkdirSync(this.#image);
    const entries = readdirSync(data).map((name) => ({ name, inode: inodeOf(join(data, name)) }));
    for (const { name, inode } of entries) copyFileSync(join(data, name), join(this.#image, `content-${inode}`));
    const names = entries.map(({ name, inode }) => `${inode} ${name}\n`);
    writeFileSync(join(this.#image, `names-${inodeOf(data)}`), names.join(""));
    return { DURABLE: this.#image };
  }

  /** Makes a directory as it is after a loss of power: with what was synced, and nothing else. */
  losePower(data: string, name: string): string {
    const after = this.#directory.join(name);
    mkdirSync(after, { mode: 0o700 });
    const lines = readFileSync(join(this.#image, `names-${inodeOf(data)}`), "utf8").split("\n");
    for (const line of lines.filter((text) => text !== "")) {
      const [, inode, file = ""] = /^(\d+) (.+)$/.exec(line) ?? [];
      const content = join(this.#image, `content-${inode}`);
      writeFileSync(join(after, file), existsSync(content) ? readFileSync(content) : "", { mode: 0o600 });
    }
    return after;
  }
}

const inodeOf = (path: string): number => statSync(path).ino;
