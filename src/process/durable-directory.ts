import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Makes a directory, and those above it, where they are missing: open to this user alone, and on disk when it returns.
 * Throws Node's error (ENOENT, EACCES, EROFS, ENOTDIR) where that cannot be. Not `mkdirSync` with `recursive`, which never
 * returns under a file system that refuses new directories with ENOENT, as /proc does.
 */
export function makeDirectory(directory: string): void {
  const path = resolve(directory);
  if (isDirectory(path)) return;
  const parent = dirname(path);
  makeDirectory(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process may have been first.
    if (!isDirectory(path)) throw error;
  }
  syncPath(parent);
}

/** Brings a file, or the names in a directory, to the disk. */
export function syncPath(path: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    // Windows opens no directory, and keeps its entries safe in its own way.
    if (process.platform === "win32") return;
    throw error;
  }
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
