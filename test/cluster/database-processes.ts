// A PostgreSQL server is a process with children, one for each connection and some for itself.
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

interface Running {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
}

/** Clients go on meanwhile: a database that were left in peace until its end would have nothing to lose. */
async function running(): Promise<Running[]> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid=,stat="]);
  return stdout
    .trim()
    .split("\n")
    .map((line) => {
      const [pid, parent, state = ""] = line.trim().split(/\s+/);
      return { pid: Number(pid), parent: Number(parent), state };
    });
}

async function childrenOf(pid: number): Promise<number[]> {
  return (await running()).filter(({ parent }) => parent === pid).map((child) => child.pid);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Stops a server with everything it does, as a machine that hangs; to be disposed of, with which it goes on. */
export async function pause(pid: number): Promise<Disposable> {
  // The parent first, so that no child comes after it was asked for them.
  signal(pid, "SIGSTOP");
  const children = await childrenOf(pid);
  for (const child of children) signal(child, "SIGSTOP");
  const goOn = () => {
    for (const one of [...children, pid]) signal(one, "SIGCONT");
  };
  // What is stopped outlives even the kill of its parent.
  process.once("exit", goOn);
  return {
    [Symbol.dispose]() {
      process.off("exit", goOn);
      goOn();
    },
  };
}

/** Kills a server with everything it does, as when the power goes. Resolves when all of it is gone. */
export async function killAll(pid: number): Promise<void> {
  signal(pid, "SIGSTOP");
  const all = [pid, ...(await childrenOf(pid))];
  for (const one of all) signal(one, "SIGKILL");
  const isThere = ({ pid: one, state }: Running) => all.includes(one) && !state.startsWith("Z");
  // Nobody is told of the end of another's child.
  while ((await running()).some(isThere)) await sleep(10);
}
