import type { PostgresOptions } from "./postgres/engine.ts";
import { backupStoreFile } from "./sqlite/backup.ts";
import { measureLog } from "./sqlite/checkpoints.ts";
import { openMemoryStore, openSqliteStore, type SqliteOptions } from "./sqlite/engine.ts";
import { finishStoreFile, migrateStoreFile } from "./sqlite/file.ts";
import { parseSqlitePath } from "./sqlite/location.ts";
import { schemaVersion } from "./sqlite/migrations.ts";
import type { Migration, Store } from "./store.ts";

/** What the engines need to open a store; each takes what it knows. */
export type EngineOptions = SqliteOptions & PostgresOptions;

/**
 * One way to keep a store. To add one: a folder beside `sqlite/` that implements `Store`, a row in `engines`, and a file in
 * `test/store/` that runs the store suite on it.
 */
export interface Engine {
  /** How a location is written, for messages. */
  readonly form: string;
  /** Where the store is: in the file that is its address, on a server, or in the process that opened it. */
  readonly place: "file" | "server" | "process";
  /** The address in a location, for the calls below; undefined for a location of another engine. */
  parse(location: string): string | undefined;
  /** Creates the store where there is none. */
  open(address: string, options: EngineOptions): Promise<Store>;
  /** Brings the schema of a store to the newest. */
  migrate(address: string, options: MigrateOptions): Promise<Migration>;
  /**
   * Fills in what older versions left out of a store of the newest schema, and removes what only they need. Resolves to whether there was
   * anything to do.
   */
  finish(address: string, options: FinishOptions): Promise<boolean>;
  /** Copies a store to a new file, or says how else to copy it. */
  readonly backup: string | ((address: string, options: BackupOptions) => Promise<void>);
  /** The size of a log in a file of its own, from which what was written moves on to the store; undefined where there is none. */
  readonly measureLog: ((address: string) => number) | undefined;
}

type MigrateOptions = Pick<EngineOptions, "busyTimeoutMs" | "postgres">;
type FinishOptions = MigrateOptions & Pick<EngineOptions, "projection">;
type BackupOptions = Pick<EngineOptions, "busyTimeoutMs"> & { readonly to: string };

/** With its driver, which most processes do not need. */
const loadPostgres = () => import("./postgres/engine.ts");

const rows = {
  sqlite: {
    form: "sqlite:PATH",
    place: "file",
    parse: parseSqlitePath,
    open: openSqliteStore,
    migrate: (path, { busyTimeoutMs }) => migrateStoreFile(path, { limitMs: busyTimeoutMs }),
    finish: (path, { busyTimeoutMs, projection }) => finishStoreFile(path, { limitMs: busyTimeoutMs, projection }),
    backup: backupStoreFile,
    measureLog,
  },
  memory: {
    form: "memory:",
    place: "process",
    parse: (location) => (location === "memory:" ? "" : undefined),
    open: (_, options) => openMemoryStore(options),
    // Each is new.
    migrate: async () => ({ from: schemaVersion, to: schemaVersion, isFinished: true }),
    finish: async () => false,
    backup: "A store in memory cannot be copied: it belongs to the process that holds it.",
    measureLog: undefined,
  },
  postgres: {
    form: "postgres://…",
    place: "server",
    parse: (location) => (/^postgres(ql)?:/.test(location) ? location : undefined),
    open: async (url, options) => (await loadPostgres()).openPostgresStore(url, options),
    migrate: async (url, { postgres }) => (await loadPostgres()).migratePostgresStore(url, postgres),
    finish: async (url, { postgres, projection }) =>
      (await loadPostgres()).finishPostgresStore(url, { postgres, projection }),
    backup: "A store in PostgreSQL is copied with PostgreSQL's own program: pg_dump --schema=portcullis.",
    measureLog: undefined,
  },
} as const satisfies Readonly<Record<string, Engine>>;

export type EngineName = keyof typeof rows;
export const engines: Readonly<Record<EngineName, Engine>> = rows;
