import { expect, inject } from "vitest";
import { runCommand } from "../process/portcullis.ts";
import { checkHistory, type Operation, type Violation } from "./checker.ts";
import { findFaults } from "./porcupine.ts";
import { checkRecorded, readEvents } from "./recorded.ts";
import { model, type Workload } from "./workload.ts";

/** Expects that the history holds by itself and with what is in the store, and that the store is sound. */
export async function expectSound(
  { operations, seed }: Pick<Workload, "operations" | "seed">,
  store: string,
): Promise<void> {
  const events = await readEvents(store);
  const violations = [
    ...checkHistory(operations, model),
    ...(await checkByPorcupine(operations)),
    ...checkRecorded(operations, events, model.inherited),
  ];
  expect({ violations }, `with seed ${seed}, ${operations.length} operations`).toEqual({ violations: [] });
  expect(await runCommand(["store", "verify", "--store", store])).toMatchObject({ exitCode: 0, stderr: "" });
}

async function checkByPorcupine(operations: readonly Operation[]): Promise<readonly Violation[]> {
  const porcupine = inject("porcupine");
  if ("program" in porcupine) return findFaults(porcupine.program, operations, model);
  if (process.env["CI"]) throw new Error(`Porcupine has to check this in CI: ${porcupine.missing}`);
  print(`not checked by Porcupine: ${porcupine.missing}`);
  return [];
}

/** How many calls were answered in each way. */
export function count({ operations }: Pick<Workload, "operations">): Record<string, number> {
  const groups = Map.groupBy(operations, ({ answer }) => answer.kind);
  return Object.fromEntries([...groups].map(([kind, all]) => [kind, all.length]));
}

export const print = (line: string) => process.stdout.write(`${line}\n`);
