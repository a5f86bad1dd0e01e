import { expect, inject } from "vitest";
import { runCommand } from "../process/portcullis.ts";
import { checkHistory, type Operation } from "./checker.ts";
import { findFault } from "./porcupine.ts";
import { checkRecorded, readEvents } from "./recorded.ts";
import { model, type Workload } from "./workload.ts";

/** Expects that the history holds by itself and with what is in the store, and that the store is sound. */
export async function expectSound({ operations, seed }: Workload, store: string): Promise<void> {
  const events = await readEvents(store);
  expect(
    { violations: [...checkHistory(operations, model), ...checkRecorded(operations, events, model.inherited)] },
    `with seed ${seed}, ${operations.length} operations`,
  ).toEqual({ violations: [] });
  await expectLinearizable(operations);
  expect(await runCommand(["store", "verify", "--store", store])).toMatchObject({ exitCode: 0, stderr: "" });
}

/** The same, as others see it. */
async function expectLinearizable(operations: readonly Operation[]): Promise<void> {
  const porcupine = inject("porcupine");
  if ("program" in porcupine) expect(await findFault(porcupine.program, operations, model)).toBeUndefined();
  else if (process.env["CI"]) throw new Error(`Porcupine has to check this in CI: ${porcupine.missing}`);
  else print(`not checked by Porcupine: ${porcupine.missing}`);
}

/** How many calls were answered in each way. */
export function count({ operations }: Workload): Record<string, number> {
  const groups = Map.groupBy(operations, ({ answer }) => answer.kind);
  return Object.fromEntries([...groups].map(([kind, all]) => [kind, all.length]));
}

export const print = (line: string) => process.stdout.write(`${line}\n`);
