import type { DatabaseSync } from "node:sqlite";
import { commit } from "./commit.ts";
import { readPragma } from "./connect.ts";
import { applicationId, migrations } from "./migrations.ts";

/**
 * Brings a store to the newest schema in one transaction; a new, empty database counts as version 0. Does nothing where
 * another process was first. Throws the driver's busy error while another process writes. Commits as `commit` does.
 */
export function migrate(db: DatabaseSync, steps: readonly string[] = migrations): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    for (const step of steps.slice(readPragma(db, "user_version"))) db.exec(step);
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${steps.length}`);
    commit(db);
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}
