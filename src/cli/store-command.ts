import { existsSync } from "node:fs";
import { Command } from "commander";
import { type Clients, createClients } from "../application/clients.ts";
import { type Credentials, createCredentials } from "../application/credentials.ts";
import { createDirectory, type Directory } from "../application/directory.ts";
import { createIdSource } from "../application/ids.ts";
import { ConfigError, readPostgresSettings, type StoreConfig, storeLocation } from "../config.ts";
import { engines } from "../store/engines.ts";
import { type OpenStoreOptions, openStore, parseLocation } from "../store/open.ts";
import type { Store } from "../store/store.ts";
import { storeSettings, withSettings } from "./settings.ts";

/** The options of every command on a store. */
export interface StoreCommandOptions extends StoreConfig {
  readonly json?: boolean;
}

/** A subcommand that opens the store, even while a server uses it. */
export function storeSubcommand(nameAndArguments: string, description: string): Command {
  const command = new Command(nameAndArguments).description(description);
  return withSettings(command, storeSettings).option("--json", "print one JSON value");
}

export interface RemovalOptions extends StoreCommandOptions {
  readonly force?: boolean;
}

/** A subcommand that removes a user, a role or a credential. */
export function removalSubcommand(nameAndArguments: string, description: string): Command {
  return storeSubcommand(nameAndArguments, description).option(
    "--force",
    "even if no instance owner (IAM_OWNER) can sign in afterwards",
  );
}

/** The store that the options name. */
const storeOf = (options: StoreCommandOptions): OpenStoreOptions => ({
  location: storeLocation(options),
  postgres: readPostgresSettings(options),
});

/** Throws a ConfigError for a store in memory, which no other process can open. */
function refuseMemory(store: OpenStoreOptions): OpenStoreOptions {
  if (engines[parseLocation(store.location).engine].place === "process") {
    throw new ConfigError("another process cannot open a store in memory: give --store or --data");
  }
  return store;
}

/** The store that the options name. Throws a ConfigError for a SQLite file that does not exist. */
export function migratableStoreOf(options: StoreCommandOptions): OpenStoreOptions {
  const store = storeOf(options);
  const { engine, address } = parseLocation(store.location);
  if (engines[engine].place === "file" && !existsSync(address)) {
    throw new ConfigError(`there is no store at ${address}: run serve first, or name the store with --data or --store`);
  }
  return store;
}

/** Of a store that older versions may still write. */
export const unfinished =
  'the migration is not finished: when no older version runs any more, run "portcullis store migrate --finish"';

/** The same, but throws a ConfigError for one in memory too. */
export const existingStoreOf = (options: StoreCommandOptions): OpenStoreOptions =>
  refuseMemory(migratableStoreOf(options));

/** Opens an existing store for one command, and closes it afterwards. */
export async function withStore<T>(options: StoreCommandOptions, use: (store: Store) => Promise<T>): Promise<T> {
  return withOpened(existingStoreOf(options), use);
}

/** The same, but creates the store if it does not exist. */
export async function withNewStore<T>(options: StoreCommandOptions, use: (store: Store) => Promise<T>): Promise<T> {
  return withOpened(refuseMemory(storeOf(options)), use);
}

async function withOpened<T>(options: OpenStoreOptions, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(options);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Options of commands, with the command line as the recorded author. */
const asCommandLine = (store: Store) => ({ store, newId: createIdSource(Date.now), actor: "cli" });

export function withDirectory<T>(options: StoreCommandOptions, use: (directory: Directory) => Promise<T>): Promise<T> {
  return withStore(options, (store) => use(createDirectory(asCommandLine(store))));
}

export function withCredentials<T>(options: StoreCommandOptions, use: (all: Credentials) => Promise<T>): Promise<T> {
  return withStore(options, (store) => use(createCredentials(asCommandLine(store))));
}

export function withClients<T>(options: StoreCommandOptions, use: (clients: Clients) => Promise<T>): Promise<T> {
  return withStore(options, (store) => use(createClients(asCommandLine(store))));
}
