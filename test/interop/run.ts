import { type ExecFileOptions, execFile, spawnSync } from "node:child_process";

export interface Ended {
  /** The exit status. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions extends ExecFileOptions {
  /** What the program reads on standard input, which is empty by default. */
  readonly input?: string | Uint8Array | undefined;
}

/** Runs a program to its end. Rejects only where it cannot be started, or had to be stopped. */
export function run(file: string, args: readonly string[], { input, ...options }: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = execFile(file, args, { ...options, encoding: "utf8" }, (error, stdout, stderr) => {
      if (error === null) resolve({ status: 0, stdout, stderr });
      else if (typeof error.code === "number") resolve({ status: error.code, stdout, stderr });
      else reject(error);
    });
    // It may have ended, or never started, without reading; what it says of that counts.
    child.stdin?.on("error", () => {}).end(input);
  });
}

/** Why a program cannot be used, or undefined: it is on the PATH, and its `--version` names what is needed. */
export function missingProgram(name: string, needed: RegExp = /./): string | undefined {
  const { error, stdout } = spawnSync(name, ["--version"], { encoding: "utf8" });
  if (error !== undefined) return `${name} is not on the PATH`;
  return needed.test(stdout) ? undefined : `${name} --version says nothing of ${needed.source}`;
}
