import { accessSync, closeSync, constants, lstatSync, openSync, readSync, statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { StoreError } from "../errors.ts";
import type { Migration, Projection } from "../store.ts";
import { connectForWriting, connectImmutable, connectReadOnly, readPragma } from "./connect.ts";
import { createStoreFile } from "./create.ts";
import { toStoreError } from "./errors.ts";
import { finish, isFinished } from "./finish.ts";
import { migrate } from "./migrate.ts";
import { applicationId, schemaVersion } from "./migrations.ts";
import { primaryCode, resultCodes } from "./result-codes.ts";
import { retryWhileBusy } from "./retry.ts";

/**
 * Opens a store for reading, after creating it or bringing it to the newest schema. Refuses a file that is not a store, or is of a newer
 * version, and leaves it as it was.
 */
export async function openStoreFile(path: string, busy: { readonly limitMs: number }): Promise<DatabaseSync> {
  try {
    if (!isThere(path)) await create(path);
    await bringToNewest(path, busy);
    return await retryWhileBusy(() => connectReadOnly(path), busy);
  } catch (error) {
    throw toStoreError(error, path);
  }
}

/** Opens an existing store for reading, in whatever schema version it has. */
export async function openUnchanged(path: string, busy: { readonly limitMs: number }): Promise<DatabaseSync> {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    look(path);
    return await retryWhileBusy(() => connectReadOnly(path), busy);
  } catch (error) {
    throw toStoreError(error, path);
  }
}

/** Brings a store to the newest schema, as opening it does. */
export async function migrateStoreFile(path: string, busy: { readonly limitMs: number }): Promise<Migration> {
  try {
    const from = await bringToNewest(path, busy);
    using db = await retryWhileBusy(() => connectReadOnly(path), busy);
    return { from, to: schemaVersion, isFinished: await retryWhileBusy(() => isFinished(db), busy) };
  } catch (error) {
    throw toStoreError(error, path);
  }
}

/** Ends the migration of a store that has the newest schema: see `finish`. */
export async function finishStoreFile(
  path: string,
  { projection, ...busy }: { readonly limitMs: number; readonly projection: Projection },
): Promise<boolean> {
  try {
    using db = await retryWhileBusy(() => connectForWriting(path), busy);
    return await retryWhileBusy(() => finish(db, projection), busy);
  } catch (error) {
    throw toStoreError(error, path);
  }
}

/** Resolves to the version before. */
async function bringToNewest(path: string, busy: { readonly limitMs: number }): Promise<number> {
  accessSync(path, constants.R_OK | constants.W_OK);
  look(path);
  const { version, journalMode } = await retryWhileBusy(() => inspect(path), busy);
  // A copy that SQLite made of a store (VACUUM INTO) is a sound one without a write-ahead log.
  if (version < schemaVersion || journalMode !== "wal") await retryWhileBusy(() => upgrade(path), busy);
  return version;
}

async function create(path: string): Promise<void> {
  try {
    await createStoreFile(path);
  } catch (error) {
    // Such as under /proc. Elsewhere the same code means that a file was there and is gone.
    if ((error as { readonly code?: unknown }).code !== "ENOENT") throw error;
    throw new StoreError("unavailable", `The store ${path} cannot be created: its directory cannot be made.`, error);
  }
}

function isThere(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    const entry = lstatSync(path, { throwIfNoEntry: false });
    if (entry === undefined) return false;
    // Another process made it just now.
    if (!entry.isSymbolicLink()) return isThere(path);
    throw new StoreError("unavailable", `The store ${path} cannot be opened: it is a symbolic link to nothing.`);
  }
  if (found.isDirectory()) throw Object.assign(new Error("is a directory"), { code: "EISDIR" });
  if (!found.isFile()) throw new StoreError("unavailable", `The store ${path} cannot be opened: it is not a file.`);
  return true;
}

/** Refuses, by the header alone, what an ordinary connection should not touch. */
function look(path: string): void {
  if (statSync(path).size === 0) throw foreign(path, "is empty");
  try {
    using db = connectImmutable(path);
    if (readPragma(db, "application_id") !== applicationId)
      throw foreign(path, "is a SQLite database of another program");
    refuseUnknown(path, readPragma(db, "user_version"));
  } catch (error) {
    if (primaryCode(error) === resultCodes.notADatabase && !hasOurMark(path))
      throw foreign(path, "is not a SQLite database");
    throw error;
  }
}

/** The newest schema version may still be in the write-ahead log, which the header does not show. */
function inspect(path: string): { readonly version: number; readonly journalMode: unknown } {
  using db = connectReadOnly(path);
  const version = readPragma(db, "user_version");
  refuseUnknown(path, version);
  return { version, journalMode: readPragma(db, "journal_mode") };
}

function upgrade(path: string): void {
  using db = connectForWriting(path);
  migrate(db);
}

function refuseUnknown(path: string, version: number): void {
  if (version >= 1 && version <= schemaVersion) return;
  throw new StoreError(
    "unsupported_schema",
    `The store ${path} has schema version ${version}, and this program knows versions up to ${schemaVersion}: ` +
      "start the newer version of portcullis that wrote it, or give another path. It was left as it was.",
  );
}

function foreign(path: string, sentence: string): StoreError {
  return new StoreError(
    "unsupported_schema",
    `The file ${path} ${sentence}, not a store of portcullis: give another path, or move the file away. It was left as it was.`,
  );
}

/** Whether a file with a damaged beginning was a store. SQLite does not read it, so it holds no locks to drop. */
function hasOurMark(path: string): boolean {
  const descriptor = openSync(path, "r");
  try {
    const mark = Buffer.alloc(4);
    const markOffset = 68;
    return readSync(descriptor, mark, 0, 4, markOffset) === 4 && mark.readUInt32BE() === applicationId;
  } finally {
    closeSync(descriptor);
  }
}
