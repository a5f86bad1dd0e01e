import { Command } from "commander";
import { type RawConfig, readConfig } from "../config.ts";
import { parseLocation } from "../store/open.ts";
import { misspeltVariables } from "./environment.ts";
import { serverSettings } from "./settings.ts";
import { settingsInUse } from "./settings-in-use.ts";
import { print, type SharedOptions, table, withSettings } from "./shared.ts";

export function configCommand(): Command {
  const printing = withSettings(
    new Command("print").description("print every setting as serve would use it, with secrets hidden"),
    serverSettings,
  )
    .option("--json", "print one JSON value")
    .action((raw: RawConfig & SharedOptions, command: Command) => {
      // What serve would refuse is refused here as well.
      const config = readConfig(raw, process.env);
      parseLocation(config.storeLocation);
      for (const sentence of misspeltVariables(process.env)) process.stderr.write(`portcullis: ${sentence}\n`);
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
