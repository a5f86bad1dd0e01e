import { mkdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { migrate } from "../../src/store/sqlite/migrate.ts";
import { migrations, schemaVersion } from "../../src/store/sqlite/migrations.ts";
import { databasePath } from "./database.ts";

const organizations = 100;

/** The first schema version, from which all migrations run, and the last one before the newest. */
export const olderVersions: readonly number[] = [...new Set([1, schemaVersion - 1])];

/** Makes a store as a program of that schema version left it. Every version has these columns. */
export function makeOlderStore(data: string, version: number): void {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  using db = new DatabaseSync(databasePath(data));
  migrate(db, migrations.slice(0, version));
  db.exec("PRAGMA journal_mode = WAL; BEGIN");
  const addEvent = db.prepare(
    "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, type, version, payload, recorded_at, actor) " +
      "VALUES (?, 'organization', ?, ?, ?, 1, ?, 0, 'older')",
  );
  const addState = db.prepare("INSERT INTO aggregates (type, id, version, state) VALUES ('organization', ?, 2, ?)");
  for (let number = 0; number < organizations; number += 1) {
    const [id, name] = [`o${number}`, `Organization ${number}`];
    addEvent.run(2 * number + 1, id, 1, "OrganizationAdded", JSON.stringify({ name }));
    addEvent.run(2 * number + 2, id, 2, "OrganizationRemoved", "{}");
    addState.run(id, JSON.stringify({ name, removed: true }));
  }
  db.exec("COMMIT");
}

/** The schema version that the next process to open the store finds. */
export function versionOf(data: string): number {
  using db = new DatabaseSync(databasePath(data), { timeout: 5000 });
  return Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
}
