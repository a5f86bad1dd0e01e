import { describe, expect, inject, it, type TestContext } from "vitest";
import { skipBecause } from "../process/machine.ts";
import type { Operation } from "./checker.ts";
import { create, makeHistory, model, right, spoil, toOperations, wrong, wrote } from "./known-histories.ts";
import { findFault } from "./porcupine.ts";

const porcupine = inject("porcupine");

async function check(context: TestContext, operations: readonly Operation[]): Promise<string | undefined> {
  if ("program" in porcupine) return findFault(porcupine.program, operations, model);
  skipBecause(context, porcupine.missing);
  return undefined;
}

it.for(Object.entries(right))("takes %s", async ([, lines], context) => {
  expect(await check(context, toOperations(lines))).toBeUndefined();
});

it.for(Object.entries(wrong))("refuses %s", async ([, { lines }], context) => {
  expect(await check(context, toOperations(lines))).toMatch(
    /^organization acme: after \d+ of \d+ calls, .* no order goes on/,
  );
});

it("shows where the orders end", async (context) => {
  const { lines } = wrong["a stale read"] ?? { lines: [] };
  expect(await check(context, toOperations(lines))).toBe(
    "organization acme: after 2 of 3 calls, at sequence 3 (own SMS), no order goes on with [client 2: read , 4.0 to 5.0, shown , sequence 2]",
  );
});

it("names only the organizations whose histories do not hold", async (context) => {
  const [acme] = toOperations([[0, 1, create(), wrote(2)]]) as [Operation];
  const other = { ...acme, organization: "other", answer: wrote(3) };
  expect(await check(context, [acme, other])).toMatch(/^organization other: .*$/);
});

describe.each([1, 2, 3])("a history of a thousand calls, seed %i", (seed) => {
  const history = makeHistory(seed, 1000);

  it("is taken", async (context) => {
    expect(await check(context, history)).toBeUndefined();
  });

  it.for(Object.entries(spoil(history)))("is refused with one %s changed", async ([, changed], context) => {
    expect(await check(context, changed)).toMatch(/no order goes on with/);
  });
});
