import { describe, expect, it } from "vitest";
import { createIdSource } from "../../../src/application/ids.ts";

const noon = Date.UTC(2026, 6, 1, 12);

/** A clock that goes through these times, and a chance that always comes out the same. */
const sourceOf = (times: readonly number[], chance = 0) => {
  const left = [...times];
  return createIdSource(
    () => left.shift() ?? noon,
    () => chance,
  );
};
const idsOf = (times: readonly number[], chance?: number) => {
  const next = sourceOf(times, chance);
  return times.map(() => next());
};

describe("createIdSource", () => {
  it.each([
    ["2020", Date.UTC(2020, 0, 1)],
    ["now", noon],
    ["2051", Date.UTC(2051, 0, 1)],
    ["before its epoch, on a machine without a clock", 0],
  ])("makes 18 digits in %s", (_, time) => {
    for (const id of [...idsOf([time, time], 0), ...idsOf([time, time], 0.999_999)]) expect(id).toMatch(/^\d{18}$/);
  });

  it("is made of the milliseconds since 2020 and a random start", () => {
    const time = Date.UTC(2020, 0, 1) + 12_345_678;
    expect(idsOf([time], 0)).toEqual(["000012345678000000"]);
    expect(idsOf([time], 0.5)).toEqual(["000012345678250000"]);
  });

  it("leaves room to count up: the random part stays below half a million", () => {
    for (const chance of [0, 0.1, 0.5, 0.999_999_999]) {
      expect(Number(idsOf([noon], chance)[0]?.slice(-6))).toBeLessThan(500_000);
    }
  });

  it.each([
    ["goes on", [noon, noon + 1, noon + 5000]],
    ["stands still", [noon, noon, noon, noon]],
    ["goes back", [noon, noon - 1, noon - 86_400_000, noon - 5, noon]],
    ["goes back before the epoch", [noon, 0, 0, noon]],
  ])("only increases when the clock %s", (_, times) => {
    for (const chance of [0, 0.999_999]) {
      const ids = idsOf(times, chance);
      expect(ids).toEqual([...new Set(ids)].sort());
    }
  });

  it("only increases when chance goes down within a millisecond", () => {
    const chances = [0.9, 0.1, 0.95, 0.2];
    const next = createIdSource(
      () => noon,
      () => chances.shift() ?? 0,
    );
    const ids = Array.from({ length: 6 }, () => next());
    expect(ids).toEqual([...new Set(ids)].sort());
  });

  it("differs between two sources in the same millisecond", () => {
    const [a, b] = [createIdSource(() => noon), createIdSource(() => noon)];
    // One collision in half a million is possible, a whole row of them is not.
    expect([a(), a(), a()].join()).not.toBe([b(), b(), b()].join());
  });
});
