// A checker that others wrote: https://github.com/anishathalye/porcupine. This is the set-up of the project `cluster`, which builds it.
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { buildOnce, must, toolchainVersion } from "../interop/build.ts";
import { run } from "../interop/run.ts";
import type { Model, Operation, Violation } from "./checker.ts";

/** The program of `porcupine/`, or why there is none. */
export type Porcupine = { readonly program: string } | { readonly missing: string };

declare module "vitest" {
  interface ProvidedContext {
    porcupine: Porcupine;
  }
}

const sources = join(import.meta.dirname, "porcupine");
const directory = join(import.meta.dirname, "../../node_modules/.cache/porcupine");

export default async function setup({ provide }: TestProject): Promise<void> {
  provide("porcupine", await build().catch((error: Error) => ({ missing: error.message })));
}

async function build(): Promise<Porcupine> {
  const program = join(directory, "linearizable");
  const go = await toolchainVersion("go", ["version"], "install Go 1.26 or newer");
  await buildOnce({
    directory,
    inputs: [import.meta.filename, sources],
    toolchain: [go],
    build: async () => {
      await must("go", ["build", "-mod=readonly", "-o", program, "."], { cwd: sources });
    },
  });
  return { program };
}

/** What Porcupine says of the organizations whose histories are not linearizable. Rejects if it cannot say. */
export async function findFaults(
  program: string,
  operations: readonly Operation[],
  model: Model,
): Promise<readonly Violation[]> {
  const input = [model, ...operations].map((line) => JSON.stringify(line)).join("\n");
  const { status, stdout, stderr } = await run(program, [], { input });
  if (status === 0) {
    const asked = operations.filter(({ answer }) => answer.kind !== "failed").length;
    if (asked === 0 || !stdout.startsWith(`linearizable: ${asked} calls `)) {
      throw new Error(`Porcupine did not check ${asked} calls: ${stdout}`);
    }
    return [];
  }
  if (status === 1) return stdout.trim().split("\n");
  throw new Error(`Porcupine ended with ${status}: ${stderr || stdout}`);
}
