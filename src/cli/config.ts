import { Command } from "commander";
import { type RawConfig, readConfig } from "../config.ts";
import { parseLocation } from "../store/open.ts";
import { printList } from "./output.ts";
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
      printList(raw, rows, {
        SETTING: ({ setting }) => setting,
        VALUE: ({ value }) => textOf(value),
        FROM: ({ source }) => source,
        ENVIRONMENT: ({ variable }) => variable ?? "",
      });
    });
  return new Command("config").description("settings of the server").addCommand(printing);
}

function textOf(value: unknown): string {
  if (value === null) return "(not set)";
  return Array.isArray(value) ? value.join(" ") : String(value);
}
