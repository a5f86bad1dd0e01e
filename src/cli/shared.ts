import { existsSync } from "node:fs";
import { Command, Option } from "commander";
import { createDirectory, type Directory } from "../commands/directory.ts";
import { createIdSource } from "../commands/ids.ts";
import { ConfigError, storeLocation } from "../config.ts";
import { openStore, parseLocation } from "../store/open.ts";
import type { Store } from "../store/store.ts";

/** Where a command finds the store, and how it prints. */
export interface SharedOptions {
  readonly data: string;
  readonly store?: string;
  readonly json?: boolean;
}

export const dataOption = () =>
  new Option("--data <dir>", "directory of the store and of admin.token").default("./data").env("PORTCULLIS_DATA");

export const storeOption = () =>
  new Option("--store <location>", "sqlite:PATH or memory: (default: sqlite:DIR/portcullis.db)").env(
    "PORTCULLIS_STORE",
  );

/** A command that works on the store of a server, which may be running. */
export function storeSubcommand(nameAndArguments: string, description: string): Command {
  return new Command(nameAndArguments)
    .description(description)
    .addOption(dataOption())
    .addOption(storeOption())
    .option("--json", "print one JSON value");
}

/** Opens the store, which must exist, for one command, and closes it after. */
export async function withStore<T>(options: SharedOptions, use: (store: Store) => Promise<T>): Promise<T> {
  const location = storeLocation(options);
  const parsed = parseLocation(location);
  if (parsed.engine === "memory") throw new ConfigError("a store in memory belongs to the server that holds it");
  if (!existsSync(parsed.path)) {
    throw new ConfigError(`there is no store at ${parsed.path}: run serve first, or name its directory with --data`);
  }
  const store = await openStore({ location });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** The same, for commands on organizations, users and tokens; what they change is recorded as done by the command line. */
export function withDirectory<T>(options: SharedOptions, use: (directory: Directory) => Promise<T>): Promise<T> {
  return withStore(options, (store) => use(createDirectory({ store, newId: createIdSource(Date.now), actor: "cli" })));
}

/** Prints the result of a command: one JSON value where that was asked for, else the line for people. */
export function print(options: SharedOptions, result: { readonly json: unknown; readonly text: string }): void {
  process.stdout.write(`${options.json ? JSON.stringify(result.json) : result.text}\n`);
}

/** Aligned columns, with a heading. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** An instant as RFC 3339 in UTC. */
export const formatInstant = (ms: number): string => new Date(ms).toISOString();
