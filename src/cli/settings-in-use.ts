import type { Command } from "commander";
import { adminTokenVariables, type Config, type RawConfig } from "../config.ts";
import { type Setting, serverSettings, toOption } from "./settings.ts";

/** Commander's names for the source of a value. */
const sources: Readonly<Record<string, string>> = { cli: "flag", env: "environment", default: "default" };

/** A setting with the value that the server uses. */
export interface SettingInUse {
  readonly setting: string;
  readonly variable: string | null;
  readonly value: unknown;
  readonly source: string;
}

/** Every setting as `serve` uses it, with secrets hidden. */
export const settingsInUse = (given: Given): readonly SettingInUse[] => [
  ...serverSettings.map((setting) => inUse(setting, given)),
  adminTokenInUse(process.env),
];

interface Given {
  readonly command: Command;
  readonly raw: RawConfig;
  readonly config: Config;
}

function inUse(setting: Setting, { command, raw, config }: Given): SettingInUse {
  const option = toOption(setting);
  const name = option.attributeName();
  const given: unknown = command.getOptionValue(name);
  const value = name === "store" ? withoutPassword(config.storeLocation) : (given ?? setting.default ?? null);
  const source = sources[command.getOptionValueSource(name) ?? "default"] ?? "default";
  const followed = given === undefined ? followedFrom(name, { raw, config }) : undefined;
  return { setting: option.long ?? "", variable: setting.env ?? null, value, source, ...followed };
}

/** The value of a setting that follows from another one, which is then its source. */
function followedFrom(name: string, { raw, config }: Omit<Given, "command">): Partial<SettingInUse> | undefined {
  switch (name) {
    case "store":
      return raw.storeFile === undefined ? undefined : { source: "--store-file" };
    case "corsOrigin":
      return raw.dev ? { value: config.corsOrigins, source: "--dev" } : undefined;
    case "issuer":
      return raw.dev ? { value: true, source: "--dev" } : undefined;
    case "postgresConnectTimeout": {
      const [, seconds] = /^postgres.*[?&]connect_timeout=(\d+)/.exec(config.storeLocation) ?? [];
      return seconds === undefined ? undefined : { value: String(Number(seconds) * 1000), source: "--store" };
    }
    default:
      return undefined;
  }
}

function adminTokenInUse(environment: NodeJS.ProcessEnv): SettingInUse {
  const { direct, file } = adminTokenVariables;
  const variable = environment[file] ? file : direct;
  const value = environment[variable];
  const shown = variable === direct ? "(hidden)" : value;
  return value === undefined
    ? { setting: "admin token", variable, value: "admin.token in the data directory", source: "default" }
    : { setting: "admin token", variable, value: shown, source: "environment" };
}

/** The location of a store without passwords. A location that does not parse is hidden whole, since any part may be one. */
function withoutPassword(location: string): string {
  if (/^(sqlite|memory):/.test(location)) return location;
  const [, scheme = "", user, rest = ""] = /^(postgres(?:ql)?:\/\/)(.*@)?([^@]*)$/s.exec(location) ?? [];
  if (!/^[\w.,[\]-]*(:\d+)?(,[\w.[\]-]+(:\d+)?)*([/?].*)?$/s.test(rest) || scheme === "")
    return "(hidden: not a valid location)";
  // A name may be percent-encoded, and then hide the word password.
  const shown = rest.replace(/(?<=[?&])([^&=]*)=[^&]*/g, (parameter, name: string) =>
    /^[\w.-]+$/.test(name) && !/password/i.test(name) ? parameter : `${name}=(hidden)`,
  );
  return `${scheme}${user === undefined ? "" : "(hidden)@"}${shown}`;
}
