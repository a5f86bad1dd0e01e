import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory, syncDirectory } from "../make-directory.ts";
import { generateToken } from "./token.ts";

/** Whether a text may be the admin's token: long enough not to be guessed, and fit for a header. */
export const isAdminToken = (text: string): boolean => /^[\x21-\x2b\x2d-\x7e]{32,}$/.test(text);

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
  syncDirectory(dataDirectory);
  const token = readFileSync(path, "utf8").trim();
  if (!isAdminToken(token)) throw new Error("the file holds no token: remove it");
  return token;
}
