import { type ExecFileOptions, execFile, spawnSync } from "node:child_process";

export interface Ended {
  /** The exit status. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Rejects only where it cannot be started. */
export function run(file: string, args: readonly string[], options: ExecFileOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { ...options, encoding: "utf8" }, (error, stdout, stderr) => {
      if (error === null) resolve({ status: 0, stdout, stderr });
      else if (typeof error.code === "number") resolve({ status: error.code, stdout, stderr });
      else reject(error);
    });
  });
}

/** Why a program cannot be used, or undefined: it is on the PATH, and its `--version` names what is needed. */
export function missingProgram(name: string, needed: RegExp = /./): string | undefined {
  const { error, stdout } = spawnSync(name, ["--version"], { encoding: "utf8" });
  if (error !== undefined) return `${name} is not on the PATH`;
  return needed.test(stdout) ? undefined : `${name} --version says nothing of ${needed.source}`;
}
