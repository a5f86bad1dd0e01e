import { describe, expect, it } from "vitest";
import { serverSettings, toOption } from "../../../src/cli/settings.ts";
import { readPage, tableRows } from "../docs/page.ts";

const rows = tableRows(readPage("docs/settings.md"), "| Flag of `serve` | Environment | Default | |");

describe("the table of settings in docs/settings.md", () => {
  it.each(serverSettings.map((setting) => ({ setting, name: toOption(setting).long })))(
    "has $name",
    ({ setting, name }) => {
      const [, variable, byDefault = ""] = rows.find(([flag = ""]) => flag.split(/[` ]/)[1] === name) ?? [];
      expect(variable).toBe(setting.env === undefined ? "" : `\`${setting.env}\``);
      if (setting.default !== undefined) expect(byDefault.replaceAll("`", "")).toBe(setting.default);
      else expect(byDefault).toMatch(/^(none|off)/);
    },
  );

  it("has no others", () => {
    expect(rows).toHaveLength(serverSettings.length);
  });
});
