import { Command } from "commander";
import { type RawConfig, readConfig } from "../config.ts";
import { type Setting, serverSettings, toOption } from "./settings.ts";
import { withSettings } from "./shared.ts";

/** Where a value comes from, in commander's words. */
const sources: Readonly<Record<string, string>> = { cli: "flag", env: "environment", default: "default" };

export function configCommand(): Command {
  const print = withSettings(
    new Command("print").description("print every setting as serve would use it, with secrets hidden"),
    serverSettings,
  )
    .option("--json", "print one JSON value")
    .action((raw: RawConfig & { readonly json?: boolean }, command: Command) => {
      // What serve would refuse is refused here as well.
      readConfig(raw, process.env);
      const rows = [...serverSettings.map((setting) => rowOf(setting, command)), adminTokenRow(process.env)];
      process.stdout.write(raw.json ? `${JSON.stringify(rows, null, 2)}\n` : table(rows));
    });
  return new Command("config").description("settings of the server").addCommand(print);
}

interface Row {
  readonly setting: string;
  readonly variable: string | null;
  readonly value: unknown;
  readonly source: string;
}

function rowOf(setting: Setting, command: Command): Row {
  const option = toOption(setting);
  const name = option.attributeName();
  const given: unknown = command.getOptionValue(name);
  const isInFile = name === "store" && command.getOptionValue("storeFile") !== undefined;
  return {
    setting: option.long ?? "",
    variable: setting.env ?? null,
    value: isInFile ? "(in the file of --store-file)" : withoutPassword(given ?? setting.default ?? null),
    source: sources[command.getOptionValueSource(name) ?? "default"] ?? "default",
  };
}

function adminTokenRow(environment: NodeJS.ProcessEnv): Row {
  const variable = environment["PORTCULLIS_ADMIN_TOKEN_FILE"]
    ? "PORTCULLIS_ADMIN_TOKEN_FILE"
    : "PORTCULLIS_ADMIN_TOKEN";
  const value = environment[variable];
  const shown = variable === "PORTCULLIS_ADMIN_TOKEN" ? "(hidden)" : value;
  return value === undefined
    ? { setting: "admin token", variable, value: "admin.token in the data directory", source: "default" }
    : { setting: "admin token", variable, value: shown, source: "environment" };
}

/** A URL of PostgreSQL may hold one, also among its parameters. */
function withoutPassword(value: unknown): unknown {
  if (typeof value !== "string" || !/^postgres(ql)?:/.test(value)) return value;
  return value
    .replace(/^([^:]+:\/\/[^:@/]*):.*@/s, "$1:(hidden)@")
    .replace(/([?&](?:password|sslpassword)=)[^&]*/gi, "$1(hidden)");
}

function table(rows: readonly Row[]): string {
  const lines = [
    ["SETTING", "VALUE", "FROM", "ENVIRONMENT"],
    ...rows.map(({ setting, value, source, variable }) => [setting, textOf(value), source, variable ?? ""]),
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) => `${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd())
    .map((line) => `${line}\n`)
    .join("");
}

function textOf(value: unknown): string {
  if (value === null) return "-";
  return Array.isArray(value) ? value.join(" ") : String(value);
}
