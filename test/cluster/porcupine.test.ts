import { describe, expect, inject, it, type TestContext } from "vitest";
import { skipBecause } from "../process/machine.ts";
import type { Operation, Violation } from "./checker.ts";
import { create, makeHistory, model, right, spoil, toOperations, wrong, wrote } from "./known-histories.ts";
import { findFaults } from "./porcupine.ts";

const porcupine = inject("porcupine");

async function check(context: TestContext, operations: readonly Operation[]): Promise<readonly Violation[]> {
  if ("program" in porcupine) return findFaults(porcupine.program, operations, model);
  skipBecause(context, porcupine.missing);
  return [];
}

it.for(Object.entries(right))("takes %s", async ([, lines], context) => {
  expect(await check(context, toOperations(lines))).toEqual([]);
});

it.for(Object.entries(wrong))("refuses %s", async ([, { lines }], context) => {
  expect(await check(context, toOperations(lines))).toEqual([
    expect.stringMatching(/^organization acme: after \d+ of \d+ calls, .* no order goes on/),
  ]);
});

it("shows where the orders end", async (context) => {
  const { lines } = wrong["a stale read"] ?? { lines: [] };
  expect(await check(context, toOperations(lines))).toEqual([
    "organization acme: after 2 of 3 calls, at sequence 3 (own SMS), no order goes on with [client 2: read, 4.0 to 5.0, shown [], sequence 2]",
  ]);
});

it("names only the organizations whose histories do not hold", async (context) => {
  const [acme] = toOperations([[0, 1, create(), wrote(2)]]) as [Operation];
  const other = { ...acme, organization: "other", answer: wrote(3) };
  expect(await check(context, [acme, other])).toEqual([expect.stringMatching(/^organization other: /)]);
});

describe.each([1, 2, 3])("a history of a thousand calls, seed %i", (seed) => {
  const history = makeHistory(seed, 1000);

  it("is taken", async (context) => {
    expect(await check(context, history)).toEqual([]);
  });

  it.for(Object.entries(spoil(history)))("is refused with one %s changed", async ([, changed], context) => {
    expect(await check(context, changed)).toHaveLength(1);
  });
});
