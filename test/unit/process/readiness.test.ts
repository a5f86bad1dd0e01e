import { expect, it } from "vitest";
import { createReadiness } from "../../../src/process/readiness.ts";

it("is ready while nothing stands in the way", () => {
  const readiness = createReadiness();
  expect([readiness.isReady, readiness.reasons]).toEqual([true, []]);
  readiness.set("store", true);
  readiness.set("draining", true);
  expect([readiness.isReady, readiness.reasons]).toEqual([false, ["store", "draining"]]);
  readiness.set("store", false);
  expect([readiness.isReady, readiness.reasons]).toEqual([false, ["draining"]]);
  readiness.set("draining", false);
  expect([readiness.isReady, readiness.reasons]).toEqual([true, []]);
});

it("tells of changes between ready and not, and of nothing else", () => {
  const readiness = createReadiness();
  const told: boolean[] = [];
  readiness.onChange((isReady) => told.push(isReady));
  readiness.set("draining", false);
  readiness.set("draining", true);
  readiness.set("draining", true);
  readiness.set("store", true);
  readiness.set("draining", false);
  expect(told).toEqual([false]);
  readiness.set("store", false);
  expect(told).toEqual([false, true]);
});

it("tells nobody who has left, even in the middle of a change", () => {
  const readiness = createReadiness();
  const told: string[] = [];
  const leave = [
    readiness.onChange(() => {
      told.push("first");
      leave[1]?.();
    }),
    readiness.onChange(() => told.push("second")),
  ];
  readiness.set("store", true);
  leave[0]?.();
  readiness.set("store", false);
  expect(told).toEqual(["first"]);
});

it("tells a function that listens twice twice, until each has left", () => {
  const readiness = createReadiness();
  let count = 0;
  const listener = () => {
    count += 1;
  };
  const leave = readiness.onChange(listener);
  readiness.onChange(listener);
  readiness.set("store", true);
  leave();
  readiness.set("store", false);
  expect(count).toBe(3);
});
