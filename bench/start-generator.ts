import { spawn } from "node:child_process";
import type { Stream, Work, WorkResult } from "./generator.ts";
import { end, generatorCpu, pin, remember, root } from "./processes.ts";

/** The generator's own garbage is collected between measurements rather than during them. */
const flags = ["--expose-gc", "--max-semi-space-size=64"];
const warmUpCallers = 32;
const warmUpSeconds = 3;

/** Starts the generator of calls that h2load cannot send. It does one work at a time. */
export function startGenerator() {
  const [file, ...args] = pin([process.execPath, ...flags, "bench/generator.ts"], generatorCpu);
  const child = spawn(file, args, { cwd: root, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  remember(child);
  return {
    /** Rejects where a single answer is no success. */
    run: (work: Work) =>
      new Promise<WorkResult>((resolve, reject) => {
        const onExit = () => reject(new Error("the generator ended"));
        child.once("exit", onExit);
        child.once("message", ({ result, error }: { readonly result?: WorkResult; readonly error?: string }) => {
          child.off("exit", onExit);
          if (result === undefined) reject(new Error(error));
          else resolve(result);
        });
        child.send(work);
      }),
    stop: () => end(child),
  };
}

/** Calls for some seconds what will be measured, as fast as the server answers: before, both sides compile. */
export async function warmUp(
  generator: Generator,
  { url, token, calls }: Pick<Work, "url" | "token"> & { readonly calls: readonly Stream["call"][] },
): Promise<void> {
  for (const call of calls) {
    const streams = [{ call, organizations: warmUpCallers, pace: { callers: warmUpCallers } }];
    await generator.run({ url, token, connections: 4, seconds: warmUpSeconds, streams });
  }
}

export type Generator = ReturnType<typeof startGenerator>;
