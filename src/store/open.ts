import { evolve, uniqueKeysOf } from "../domain/evolve.ts";
import { upcast } from "../domain/upcast.ts";
import type { CommitListener } from "./engine/commit-queue.ts";
import { StoreError } from "./errors.ts";
import type { DatabaseOptions } from "./postgres/database.ts";
import { backupStoreFile } from "./sqlite/backup.ts";
import { openMemoryStore, openSqliteStore } from "./sqlite/engine.ts";
import { migrateStoreFile } from "./sqlite/file.ts";
import type { Clock, Migration, Store } from "./store.ts";

export interface OpenStoreOptions {
  /**
   * `sqlite:PATH` for a file, which is created where there is none; `postgres://USER:PASSWORD@HOST/DATABASE` for a database, in
   * which the schema is created where there is none; or `memory:`, which is empty and ends with `close()`.
   */
  readonly location: string;
  /** Default: the system's. An event is never recorded earlier than the one before it, whatever the clock says. */
  readonly clock?: Clock;
  /** How long a call waits, at most, for another process's lock before it is `unavailable`. Default 5000: people still wait that long. */
  readonly busyTimeoutMs?: number;
  /** Told of each commit, how many commands shared it. */
  readonly onCommit?: CommitListener | undefined;
  /** Of PostgreSQL alone. Default: 4 connections, and 5000 ms each; `connect_timeout` of the URL comes before the default. */
  readonly postgres?: Partial<DatabaseOptions> | undefined;
}

const defaultBusyTimeoutMs = 5000;

/** With its driver, which most processes never need. */
const loadPostgres = () => import("./postgres/engine.ts");

/**
 * Opens the store at a location. Rejects with a StoreError: `unavailable` for a location that is none or cannot be reached,
 * `unsupported_schema` for a file that is not ours or of a newer version, which stays as it is, `corrupt` for a damaged one.
 */
export async function openStore({
  location,
  clock = Date.now,
  busyTimeoutMs = defaultBusyTimeoutMs,
  onCommit,
  postgres,
}: OpenStoreOptions): Promise<Store> {
  const options = { projection: { upcast, evolve, uniqueKeysOf }, clock, busyTimeoutMs, onCommit };
  const parsed = parseLocation(location);
  switch (parsed.engine) {
    case "sqlite":
      return openSqliteStore(parsed.path, options);
    case "memory":
      return openMemoryStore(options);
    case "postgres":
      return (await loadPostgres()).openPostgresStore(parsed.url, { ...postgres, ...options });
  }
}

/**
 * Brings the schema of the store at a location to the newest, as whoever opens it does where that is allowed. Rejects with a
 * StoreError as `openStore` does; a file must be there.
 */
export async function migrateStore({
  location,
  busyTimeoutMs = defaultBusyTimeoutMs,
  postgres,
}: Omit<OpenStoreOptions, "clock">): Promise<Migration> {
  const parsed = parseLocation(location);
  switch (parsed.engine) {
    case "sqlite":
      return migrateStoreFile(parsed.path, { limitMs: busyTimeoutMs });
    case "postgres":
      return (await loadPostgres()).migratePostgresStore(parsed.url, postgres ?? {});
    case "memory":
      throw new StoreError("unavailable", "A store in memory always has the newest schema.");
  }
}

/**
 * Copies the SQLite file at a location, which may be in use, to a new file that only this user can read: all of it as of one
 * moment, as a store of its own. Rejects with StoreError `unavailable` where the file is there already, and for stores that
 * are no file.
 */
export async function backupStore({
  location,
  to,
  busyTimeoutMs = defaultBusyTimeoutMs,
}: Pick<OpenStoreOptions, "location" | "busyTimeoutMs"> & { readonly to: string }): Promise<void> {
  const parsed = parseLocation(location);
  switch (parsed.engine) {
    case "sqlite":
      return backupStoreFile(parsed.path, { to, busyTimeoutMs });
    case "postgres":
      throw new StoreError(
        "unavailable",
        "A store in PostgreSQL is copied with PostgreSQL's own program: pg_dump --schema=portcullis.",
      );
    case "memory":
      throw new StoreError(
        "unavailable",
        "A store in memory cannot be copied: it belongs to the process that holds it.",
      );
  }
}

export type StoreLocation =
  | { readonly engine: "sqlite"; readonly path: string }
  | { readonly engine: "memory" }
  | { readonly engine: "postgres"; readonly url: string };

/** Reads `sqlite:PATH`, `memory:` or `postgres://…`. Throws StoreError `unavailable` for anything else. */
export function parseLocation(location: string): StoreLocation {
  if (location === "memory:") return { engine: "memory" };
  if (/^postgres(ql)?:/.test(location)) return { engine: "postgres", url: location };
  const path = /^sqlite:(.+)$/s.exec(location)?.[1];
  // Two slashes would make the first folder look like a host; three are an absolute path, as in a URL.
  if (path === undefined || path.includes("\0") || path === ":memory:" || /^\/\/[^/]/.test(path)) {
    // Only the scheme is repeated: the rest may hold a password.
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(location)?.[0];
    const given = scheme === undefined ? "A store location without a scheme" : `The store location ${scheme}…`;
    throw new StoreError(
      "unavailable",
      `${given} is not understood: give sqlite:PATH, memory: or postgres://… instead.`,
    );
  }
  return { engine: "sqlite", path };
}
