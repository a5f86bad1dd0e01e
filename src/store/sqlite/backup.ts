import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { backup } from "node:sqlite";
import { syncPath } from "../../process/durable-directory.ts";
import { StoreError } from "../errors.ts";
import { createFile } from "./create.ts";
import { toStoreError } from "./errors.ts";
import { openUnchanged } from "./file.ts";

/** In one step: SQLite starts over after each commit between two steps. */
const rate = 2 ** 31 - 1;

/** Copies a store, as of one moment, to a new file. Other processes can read and write it meanwhile. */
export async function backupStoreFile(
  path: string,
  { to, busyTimeoutMs }: { readonly to: string; readonly busyTimeoutMs: number },
): Promise<void> {
  const db = await openUnchanged(path, { limitMs: busyTimeoutMs });
  try {
    await createFile(to, (temporary) => backup(db, temporary, { rate }));
    syncName(to);
  } catch (error) {
    const sentence = sentences[String((error as { readonly code?: unknown }).code)];
    if (sentence === undefined) throw toStoreError(error, to);
    throw new StoreError("unavailable", `The copy ${to} ${sentence}`, error);
  } finally {
    db.close();
  }
}

/** Removes the copy if its name might be lost: it was not made, and the same name can be given again. */
function syncName(path: string): void {
  try {
    syncPath(dirname(path));
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

const sentences: Readonly<Record<string, string>> = {
  EEXIST: "cannot be made: that file exists. Give another name.",
  ENOENT: "cannot be made: its directory does not exist. Make it first.",
};
