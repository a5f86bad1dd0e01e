import { randomUUID } from "node:crypto";
import { linkSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory, syncPath } from "../process/durable-directory.ts";
import { generateToken, isAdminTokenText } from "./token.ts";

/** The file to which the first start writes the admin's token. */
export const adminTokenPath = (dataDirectory: string): string => join(dataDirectory, "admin.token");

/**
 * The admin's token in `DIR/admin.token`, which it creates (mode 0600) if it is missing. The file is complete or absent, and
 * processes that start at the same time get the same token. Call it before the store knows the token: after a crash in
 * between, the next start takes the token from the file. Throws Node's error if the file cannot be written or read, and an
 * Error if it contains no token.
 */
export function provideAdminToken(dataDirectory: string): string {
  const path = adminTokenPath(dataDirectory);
  makeDirectory(dataDirectory);
  removeStale(dataDirectory);
  const fresh = `${path}.${randomUUID()}`;
  try {
    writeFileSync(fresh, `${generateToken()}\n`, { mode: 0o600, flag: "wx", flush: true });
    // Unlike a rename, a link never replaces the token of another process.
    linkSync(fresh, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  // The name must be on disk before the store knows the token, and the store may be on another disk.
  syncPath(dataDirectory);
  const token = readFileSync(path, "utf8").trim();
  if (!isAdminTokenText(token)) throw new Error("the file contains no token: remove it");
  return token;
}

const staleAfterMs = 60 * 60 * 1000;

/** Removes the files of killed processes. A younger file may belong to a running one. */
function removeStale(dataDirectory: string): void {
  for (const name of readdirSync(dataDirectory)) {
    if (!/^admin\.token\.[0-9a-f-]{36}$/.test(name)) continue;
    const left = join(dataDirectory, name);
    const { mtimeMs } = statSync(left, { throwIfNoEntry: false }) ?? { mtimeMs: Number.POSITIVE_INFINITY };
    if (Date.now() - mtimeMs > staleAfterMs) rmSync(left, { force: true });
  }
}
