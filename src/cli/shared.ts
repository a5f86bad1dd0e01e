import { existsSync } from "node:fs";
import { Command } from "commander";
import { createDirectory, type Directory } from "../application/directory.ts";
import { createIdSource } from "../application/ids.ts";
import { ConfigError, readPostgresSettings, type StoreConfig, storeLocation } from "../config.ts";
import { engines } from "../store/engines.ts";
import { type OpenStoreOptions, openStore, parseLocation } from "../store/open.ts";
import type { Store } from "../store/store.ts";
import { type Setting, storeSettings, toOption } from "./settings.ts";

/** Where a command finds the store, and how it prints. */
export interface SharedOptions extends StoreConfig {
  readonly json?: boolean;
}

/** Adds settings to a command. */
export function withSettings(command: Command, settings: readonly Setting[]): Command {
  for (const setting of settings) command.addOption(toOption(setting));
  return command;
}

/** A command that works on the store of a server, which may be running. */
export function storeSubcommand(nameAndArguments: string, description: string): Command {
  const command = new Command(nameAndArguments).description(description);
  return withSettings(command, storeSettings).option("--json", "print one JSON value");
}

/** What `--force` says, of a command that takes something away. */
export interface RemovalOptions extends SharedOptions {
  readonly force?: boolean;
}

/** A command that takes a role, a user, or what they sign in with away. */
export function removalSubcommand(nameAndArguments: string, description: string): Command {
  return storeSubcommand(nameAndArguments, description).option(
    "--force",
    "also where no instance owner (IAM_OWNER) could sign in after it",
  );
}

/** Which store a command is about. Throws a ConfigError for one that no other process can open. */
function storeOf(options: SharedOptions): OpenStoreOptions {
  const location = storeLocation(options);
  if (engines[parseLocation(location).engine].place === "process") {
    throw new ConfigError("a store in memory belongs to the server that holds it");
  }
  return { location, postgres: readPostgresSettings(options) };
}

/** The same, of a store that must exist. */
export function existingStoreOf(options: SharedOptions): OpenStoreOptions {
  const store = storeOf(options);
  const { engine, address } = parseLocation(store.location);
  if (engines[engine].place === "file" && !existsSync(address)) {
    throw new ConfigError(`there is no store at ${address}: run serve first, or name its directory with --data`);
  }
  return store;
}

/** Opens the store, which must exist, for one command, and closes it after. */
export async function withStore<T>(options: SharedOptions, use: (store: Store) => Promise<T>): Promise<T> {
  return withOpened(existingStoreOf(options), use);
}

/** The same for a store that is made where there is none. */
export async function withNewStore<T>(options: SharedOptions, use: (store: Store) => Promise<T>): Promise<T> {
  return withOpened(storeOf(options), use);
}

async function withOpened<T>(options: OpenStoreOptions, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(options);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** What a command changes is recorded as done by the command line. */
export const asCommandLine = (store: Store) => ({ store, newId: createIdSource(Date.now), actor: "cli" });

/** The same as withStore, for commands on organizations, users and tokens. */
export function withDirectory<T>(options: SharedOptions, use: (directory: Directory) => Promise<T>): Promise<T> {
  return withStore(options, (store) => use(createDirectory(asCommandLine(store))));
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

/** Prints what users have that may expire: keys, tokens. */
export function printExpiring(
  options: SharedOptions,
  all: readonly {
    readonly id: string;
    readonly userName: string;
    readonly createdAt: number;
    readonly expiresAt?: number;
  }[],
): void {
  const rows = all.map(({ id, userName, createdAt, expiresAt }) => ({
    id,
    user: userName,
    created: formatInstant(createdAt),
    expires: expiresAt === undefined ? null : formatInstant(expiresAt),
  }));
  print(options, {
    json: rows,
    text: table(
      ["ID", "USER", "CREATED", "EXPIRES"],
      rows.map(({ id, user, created, expires }) => [id, user, created, expires ?? "never"]),
    ),
  });
}

/** An instant as RFC 3339 in UTC. */
export const formatInstant = (ms: number): string => new Date(ms).toISOString();

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a span such as `30d`: a whole number of seconds, minutes, hours or days, at most 100 years. */
export function parseSpan(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (unitMs[unit ?? ""] ?? Number.NaN);
  if (!(ms <= 36_525 * 86_400_000)) {
    throw new ConfigError(`--expires must be a span such as 90m, 12h or 30d, at most 100 years, and not "${text}"`);
  }
  return ms;
}
