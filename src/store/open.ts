import { evolve, uniqueKeysOf } from "../domain/evolve.ts";
import { upcast } from "../domain/upcast.ts";
import { type EngineName, type EngineOptions, engines } from "./engines.ts";
import { StoreError } from "./errors.ts";
import type { Clock, Migration, Store } from "./store.ts";

export interface OpenStoreOptions extends Pick<EngineOptions, "onCommit" | "onCheckpoint" | "postgres"> {
  /**
   * `sqlite:PATH` for a file, which is created where there is none; `postgres://USER:PASSWORD@HOST/DATABASE` for a database, in
   * which the schema is created where there is none; or `memory:`, which is empty and ends with `close()`.
   */
  readonly location: string;
  /** Default: the system's. An event is never recorded earlier than the one before it, whatever the clock says. */
  readonly clock?: Clock;
  /** How long a call waits for another process's lock on a SQLite file before it is `unavailable`. Default 5000: people wait that long. */
  readonly busyTimeoutMs?: number;
}

const projection = { upcast, evolve, uniqueKeysOf };

const defaultBusyTimeoutMs = 5000;

/**
 * Opens the store at a location. Rejects with a StoreError: `unavailable` for a location that is none or cannot be reached,
 * `unsupported_schema` for a file that is not ours or of a newer version, which stays as it is, `corrupt` for a damaged one.
 */
export async function openStore({
  location,
  clock = Date.now,
  busyTimeoutMs = defaultBusyTimeoutMs,
  onCommit,
  onCheckpoint,
  postgres,
}: OpenStoreOptions): Promise<Store> {
  const { engine, address } = parseLocation(location);
  return engines[engine].open(address, { projection, clock, busyTimeoutMs, onCommit, onCheckpoint, postgres });
}

/**
 * Brings the schema of the store at a location to the newest, as opening it does where the user may. Rejects with a StoreError as
 * `openStore` does; a file must be there.
 */
export async function migrateStore({
  location,
  busyTimeoutMs = defaultBusyTimeoutMs,
  postgres,
}: Omit<OpenStoreOptions, "clock">): Promise<Migration> {
  const { engine, address } = parseLocation(location);
  return engines[engine].migrate(address, { busyTimeoutMs, postgres });
}

/**
 * Migrates a store and ends its migration, once no process of an older version runs: fills in what older versions left out, and removes
 * what only they need. After that, they cannot write. Where it was cut off, the next run completes it. Resolves to whether there was
 * anything to do. On a SQLite file, other writers wait, and it blocks the event loop, so call it only in a process that does not serve.
 * Rejects with a StoreError as `migrateStore` does, and with `conflict` where a node of an older version wrote to PostgreSQL meanwhile.
 */
export async function finishStore(options: Omit<OpenStoreOptions, "clock">): Promise<boolean> {
  await migrateStore(options);
  const { engine, address } = parseLocation(options.location);
  const { busyTimeoutMs = defaultBusyTimeoutMs, postgres } = options;
  return engines[engine].finish(address, { busyTimeoutMs, postgres, projection });
}

/**
 * Copies the SQLite file at a location, which may be in use, to a new file that only this user can read: all of it as of one
 * moment, as a store of its own. Rejects with StoreError `unavailable` where there is such a file already, and for stores that
 * are not files.
 */
export async function backupStore({
  location,
  to,
  busyTimeoutMs = defaultBusyTimeoutMs,
}: Pick<OpenStoreOptions, "location" | "busyTimeoutMs"> & { readonly to: string }): Promise<void> {
  const { engine, address } = parseLocation(location);
  const { backup } = engines[engine];
  if (typeof backup === "string") throw new StoreError("unavailable", backup);
  return backup(address, { to, busyTimeoutMs });
}

/** What measures the write-ahead log of the store at a location, in bytes; undefined where it has no file for that. */
export function logMeterOf(location: string): (() => number) | undefined {
  const { engine, address } = parseLocation(location);
  const { measureLog } = engines[engine];
  return measureLog && (() => measureLog(address));
}

/** Finds the engine of a location. Throws StoreError `unavailable` where there is none. */
export function parseLocation(location: string): { readonly engine: EngineName; readonly address: string } {
  for (const engine of Object.keys(engines) as EngineName[]) {
    const address = engines[engine].parse(location);
    if (address !== undefined) return { engine, address };
  }
  // Only the scheme is repeated: the rest may hold a password.
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(location)?.[0];
  const given = scheme === undefined ? "A store location without a scheme" : `The store location ${scheme}…`;
  const forms = Object.values(engines).map(({ form }) => form);
  throw new StoreError(
    "unavailable",
    `${given} is not understood: give ${forms.slice(0, -1).join(", ")} or ${forms.at(-1)} instead.`,
  );
}
