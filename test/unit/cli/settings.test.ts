import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { serverSettings, toOption } from "../../../src/cli/settings.ts";

const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
const rows = readme.split("\n").filter((line) => /^\| `--/.test(line));

describe("the README's table of settings", () => {
  it.each(serverSettings.map((setting) => ({ setting, name: toOption(setting).long })))(
    "has $name",
    ({ setting, name }) => {
      const [, , variable = "", byDefault = ""] =
        rows.find((row) => row.startsWith(`| \`${name}\``) || row.startsWith(`| \`${name} `))?.split("|") ?? [];
      expect(variable.trim()).toBe(setting.env === undefined ? "" : `\`${setting.env}\``);
      if (setting.default !== undefined) expect(byDefault.replaceAll("`", "").trim()).toBe(setting.default);
      else expect(byDefault.trim()).toMatch(/^(none|off)/);
    },
  );

  it("has no others", () => {
    expect(rows).toHaveLength(serverSettings.length);
  });
});
