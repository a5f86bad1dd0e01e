import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../../..");
const page = readFileSync(join(root, "docs/architecture.md"), "utf8");

/** The text between a heading and the next one. */
function section(heading: string): string {
  const [, text = ""] = page.split(`## ${heading}`);
  return text.split("\n## ")[0] ?? "";
}

const pathsOf = (text: string): string[] =>
  [...text.matchAll(/`((?:src|proto|test|docs|bin|gen|examples)\/[\w./-]+)`/g)].map(([, path = ""]) => path);

describe("docs/architecture.md", () => {
  it("names only paths that exist", () => {
    const folders = [...section("Folders").matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`([\w./-]+)`/g)].map(([, path = ""]) => `src/${path}`),
    );
    const named = [...pathsOf(page), ...folders];
    expect(named.length).toBeGreaterThan(40);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it("answers where to change each of ten things, by a path", () => {
    const rows = section("Where do I change …")
      .split("\n")
      .filter((line) => line.startsWith("| ") && !line.startsWith("| To"));
    expect(rows).toHaveLength(10);
    expect(rows.filter((row) => pathsOf(row).length === 0)).toEqual([]);
  });
});
