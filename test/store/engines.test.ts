import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { engines } from "../../src/store/engines.ts";

it.each(Object.keys(engines))("runs the store suite on %s", (engine) => {
  const file = new URL(`./${engine}.test.ts`, import.meta.url);
  expect(existsSync(file), `test/store/${engine}.test.ts is missing`).toBe(true);
  expect(readFileSync(file, "utf8")).toContain("defineStoreSuite({");
});
