import { readdirSync } from "node:fs";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { readPage, tableRows } from "../docs/page.ts";

const folder = new URL("../../../src/cli/", import.meta.url);

/** Every command that runs something, by its name behind `portcullis`. */
async function commands(): Promise<readonly string[]> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href)));
  const groups = modules.flatMap((module: Record<string, unknown>) =>
    Object.entries(module).flatMap(([name, make]) =>
      name.endsWith("Command") && typeof make === "function" && make.length === 0 ? [make() as unknown] : [],
    ),
  );
  return groups.flatMap((group) => {
    if (!(group instanceof Command)) return [];
    const { commands: children } = group;
    return children.length === 0 ? [group.name()] : children.map((child) => `${group.name()} ${child.name()}`);
  });
}

describe("the table of commands in docs/settings.md", () => {
  it("has every command, and no other", async () => {
    const documented = tableRows(readPage("docs/settings.md"), "| Command | Does |").flatMap(([cell = ""]) =>
      [...cell.matchAll(/`([a-z-]+(?: [a-z-]+)?)/g)].map(([, name]) => name),
    );
    expect(documented.sort()).toEqual([...(await commands())].sort());
  });
});
