import { readFileSync } from "node:fs";
import { createIdSource } from "../application/ids.ts";
import { readCopyMark } from "../application/restored-copy.ts";
import { holdsAdminToken, isSetUp, replaceAdminToken, setUp } from "../application/set-up.ts";
import { adminTokenPath, provideAdminToken } from "../auth/admin-token.ts";
import { digestToken } from "../auth/token.ts";
import { type Config, ConfigError } from "../config.ts";
import { DirectoryError } from "../domain/directory/errors.ts";
import type { Log } from "../process/log.ts";
import type { Store } from "../store/store.ts";
import { formatInstant } from "./output.ts";

/**
 * On the first start, creates the instance and its admin. On a later one, makes the token from the environment the admin's.
 * Resolves to a text that says where the admin token is. A removed admin is not created again, and does not prevent the start. Throws
 * a ConfigError, before it writes, for a copy on which nobody has decided.
 */
export async function prepareStore(
  store: Store,
  { dataDirectory, adminToken }: Pick<Config, "dataDirectory" | "adminToken">,
  log: Log,
): Promise<string> {
  const copy = await readCopyMark(store);
  if (copy !== undefined) {
    throw new ConfigError(
      `the store is a copy of ${formatInstant(copy.madeAt)}: run "store restore" first, which ends the sessions, codes and issued tokens that come back with it, or keeps them with --keep-credentials`,
    );
  }
  const asSetup = { store, newId: createIdSource(Date.now), actor: "setup" };
  if (adminToken === undefined) {
    const path = adminTokenPath(dataDirectory);
    if (!(await isSetUp(store))) await setUp(asSetup, digestToken(readToken(dataDirectory)));
    // At a later start the file may be missing, or the token may have been replaced.
    const isInFile = await holdsAdminToken(store, digestToken(readFileOrNothing(path)));
    return `${isInFile ? "in" : "not in"} ${path}`;
  }
  const digest = digestToken(adminToken);
  try {
    if (!(await setUp(asSetup, digest))) await replaceAdminToken(asSetup, digest);
    return "the one from the environment";
  } catch (error) {
    if (!(error instanceof DirectoryError && error.code === "user_missing")) throw error;
    log.warn(
      "the admin token from the environment has no effect, because the user admin was removed: unset it, or run 'user add admin --role IAM_OWNER' and restart",
    );
    return "without effect: the user admin was removed";
  }
}

function readFileOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

function readToken(dataDirectory: string): string {
  try {
    return provideAdminToken(dataDirectory);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    throw new ConfigError(`the admin token cannot be kept in ${adminTokenPath(dataDirectory)} (${reason})`, { cause });
  }
}
