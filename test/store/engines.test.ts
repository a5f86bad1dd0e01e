import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const engines = readdirSync(new URL("../../src/store", import.meta.url), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

it("finds engines to look for", () => {
  expect(engines).toContain("sqlite");
});

it.each([...engines, "memory"])("runs the store suite on %s", (engine) => {
  const file = new URL(`./${engine}.test.ts`, import.meta.url);
  expect(existsSync(file), `test/store/${engine}.test.ts is missing`).toBe(true);
  expect(readFileSync(file, "utf8")).toContain("defineStoreSuite({");
});
