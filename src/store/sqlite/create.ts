import { closeSync, existsSync, linkSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { makeDirectory, syncPath } from "../../process/durable-directory.ts";
import { StoreError } from "../errors.ts";
import { finish } from "./finish.ts";
import { migrate } from "./migrate.ts";

const staleAfterMs = 60 * 60 * 1000;

/** Creates an empty store, and its directory. Does nothing where another process was first. */
export async function createStoreFile(path: string): Promise<void> {
  makeDirectory(dirname(path));
  try {
    await createFile(path, build);
    syncPath(dirname(path));
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error;
  }
}

/**
 * Creates a file, for this user only, that is complete once it has its name: a killed process leaves at most a file under a temporary
 * name. `build` gets that name, of an empty file. The content is on disk then, and the name once the caller has synced the directory.
 * Rejects with Node's EEXIST where there is a file.
 */
export async function createFile(path: string, build: (temporary: string) => unknown): Promise<void> {
  if (existsSync(path)) throw Object.assign(new Error("the file exists"), { code: "EEXIST" });
  removeStale(path);
  const temporary = `${path}.new-${process.pid}-${Math.random().toString(36).slice(2)}`;
  try {
    // Made here first, because SQLite would let others read it.
    closeSync(openSync(temporary, "wx", 0o600));
    await build(temporary);
    syncPath(temporary);
    link(temporary, path);
  } finally {
    for (const suffix of ["", "-journal", "-wal", "-shm"]) rmSync(`${temporary}${suffix}`, { force: true });
  }
}

function build(temporary: string): void {
  const db = new DatabaseSync(temporary);
  try {
    migrate(db);
    finish(db);
    db.exec("PRAGMA journal_mode = WAL");
  } finally {
    db.close();
  }
}

function link(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].some((code) => isCode(error, code))) throw error;
    throw new StoreError(
      "unavailable",
      `The file ${path} cannot be created: its file system has no hard links.`,
      error,
    );
  }
}

/** Removes what killed processes left. A younger file may belong to a running one. */
function removeStale(path: string): void {
  for (const name of readdirSync(dirname(path))) {
    if (!name.startsWith(`${basename(path)}.new-`)) continue;
    const left = join(dirname(path), name);
    const { mtimeMs } = statSync(left, { throwIfNoEntry: false }) ?? { mtimeMs: Number.POSITIVE_INFINITY };
    if (Date.now() - mtimeMs > staleAfterMs) rmSync(left, { force: true });
  }
}

const isCode = (error: unknown, code: string): boolean => (error as { readonly code?: unknown }).code === code;
