import { Command } from "commander";
import { type RawConfig, readConfig } from "../config.ts";
import { parseLocation } from "../store/open.ts";
import { print, table } from "./output.ts";
import { serverSettings, withSettings } from "./settings.ts";
import { settingsInUse } from "./settings-in-use.ts";

export function configCommand(): Command {
  const printing = withSettings(
    new Command("print").description("print every setting as serve would use it; secrets are hidden"),
    serverSettings,
  )
    .option("--json", "print one JSON value")
    .action((raw: RawConfig & { readonly json?: boolean }, command: Command) => {
      // Refuses everything that serve would refuse.
      const config = readConfig(raw, process.env);
      parseLocation(config.storeLocation);
      const rows = settingsInUse({ command, raw, config });
      const cells = rows.map(({ setting, value, source, variable }) => [
        setting,
        textOf(value),
        source,
        variable ?? "",
      ]);
      print(raw, { json: rows, text: table(["SETTING", "VALUE", "FROM", "ENVIRONMENT"], cells) });
    });
  return new Command("config").description("settings of the server").addCommand(printing);
}

function textOf(value: unknown): string {
  if (value === null) return "-";
  return Array.isArray(value) ? value.join(" ") : String(value);
}
