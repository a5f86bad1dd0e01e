import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { backup } from "node:sqlite";
import { syncPath } from "../../process/durable-directory.ts";
import { type CopyMark, copyMarkRef } from "../copy-mark.ts";
import { StoreError } from "../errors.ts";
import { connectAlone, readPragma } from "./connect.ts";
import { createFile } from "./create.ts";
import { toStoreError } from "./errors.ts";
import { openUnchanged } from "./file.ts";
import { migrate } from "./migrate.ts";
import { migrations } from "./migrations.ts";

/** In one step: SQLite starts over after each commit between two steps. */
const rate = 2 ** 31 - 1;

/** The first schema version with records. */
const recordsVersion = 2;

/** Copies a store, as of one moment, to a new file with the mark of a copy. Other processes can read and write the store meanwhile. */
export async function backupStoreFile(
  path: string,
  { to, busyTimeoutMs }: { readonly to: string; readonly busyTimeoutMs: number },
): Promise<void> {
  const db = await openUnchanged(path, { limitMs: busyTimeoutMs });
  try {
    await createFile(to, async (temporary) => {
      // From before the copy: what is taken away while it is made may come back too.
      const madeAt = Date.now();
      await backup(db, temporary, { rate });
      mark(temporary, { madeAt });
    });
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

/** The copy of a copy on which nobody has decided keeps the earlier mark. */
function mark(temporary: string, value: CopyMark): void {
  const db = connectAlone(temporary);
  try {
    if (readPragma(db, "user_version") < recordsVersion) migrate(db, migrations.slice(0, recordsVersion));
    db.prepare("INSERT OR IGNORE INTO records (kind, id, value) VALUES (?, ?, ?)").run(
      copyMarkRef.record,
      copyMarkRef.id,
      JSON.stringify(value),
    );
    db.exec("PRAGMA journal_mode = WAL");
  } finally {
    db.close();
  }
}

const sentences: Readonly<Record<string, string>> = {
  EEXIST: "cannot be made: that file exists. Give another name.",
  ENOENT: "cannot be made: its directory does not exist. Make it first.",
};
