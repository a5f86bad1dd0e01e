import { describe, expect, it } from "vitest";
import { checkHistory, type Operation } from "./checker.ts";
import { create, makeHistory, model, right, spoil, toOperations, wrong, wrote } from "./known-histories.ts";

it.each(Object.entries(right))("takes %s", (_, lines) => {
  expect(checkHistory(toOperations(lines), model)).toEqual([]);
});

it.each(Object.entries(wrong))("refuses %s", (_, { lines, says }) => {
  const violations = checkHistory(toOperations(lines), model);
  expect(violations).toHaveLength(1);
  expect(violations[0]).toMatch(says);
});

it("looks at each organization by itself", () => {
  const [acme, other] = [0, 1].map((client): Operation => {
    const organization = client === 0 ? "acme" : "other";
    return { organization, client, call: create(), answer: wrote(2), start: 0, end: 1 };
  }) as [Operation, Operation];
  expect(checkHistory([acme, other], model)).toEqual([]);
  expect(checkHistory([acme, { ...other, answer: wrote(3) }], model)).toEqual([
    expect.stringMatching(/^organization other: /),
  ]);
});

describe.each([1, 2, 3])("a history of thousands of calls, seed %i", (seed) => {
  const history = makeHistory(seed);

  it("is taken", () => {
    expect(checkHistory(history, model)).toEqual([]);
  });

  it.each(Object.entries(spoil(history)))("is refused with one %s changed", (_, changed) => {
    expect(checkHistory(changed, model)).toHaveLength(1);
  });
});
