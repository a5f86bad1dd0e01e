import { randomUUID } from "node:crypto";
import { linkSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory, syncPath } from "../process/durable-directory.ts";
import { generateToken, isAdminTokenText } from "./token.ts";

/** Where the first start leaves the admin's token. */
export const adminTokenPath = (dataDirectory: string): string => join(dataDirectory, "admin.token");

/**
 * The admin's token in `DIR/admin.token`, created (mode 0600) where the file is missing. The file is whole or absent, and
 * of several processes that start at once all get the same token. It is written before the store knows the token, so a
 * process killed in between loses nothing: the next start takes the token from the file. Throws Node's error where the file
 * cannot be written or read, and an Error where it holds no token.
 */
export function provideAdminToken(dataDirectory: string): string {
  const path = adminTokenPath(dataDirectory);
  makeDirectory(dataDirectory);
  removeStale(dataDirectory);
  const fresh = `${path}.${randomUUID()}`;
  try {
    writeFileSync(fresh, `${generateToken()}\n`, { mode: 0o600, flag: "wx", flush: true });
    // Unlike a rename, a link never replaces a token that another process has put there.
    linkSync(fresh, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  // The store may be elsewhere, so nothing else brings the file's name to the disk before the store knows the token.
  syncPath(dataDirectory);
  const token = readFileSync(path, "utf8").trim();
  if (!isAdminTokenText(token)) throw new Error("the file holds no token: remove it");
  return token;
}

const staleAfterMs = 60 * 60 * 1000;

/** Removes what a killed process left. A younger file may belong to one that is at work. */
function removeStale(dataDirectory: string): void {
  for (const name of readdirSync(dataDirectory)) {
    if (!/^admin\.token\.[0-9a-f-]{36}$/.test(name)) continue;
    const left = join(dataDirectory, name);
    const { mtimeMs } = statSync(left, { throwIfNoEntry: false }) ?? { mtimeMs: Number.POSITIVE_INFINITY };
    if (Date.now() - mtimeMs > staleAfterMs) rmSync(left, { force: true });
  }
}
