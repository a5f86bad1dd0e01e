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
  syncDirectory(parent);
}

/** Brings the names in a directory to the disk. */
export function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
