import type { ClientBase } from "pg";
import { StoreError } from "../errors.ts";
import type { Migration } from "../store.ts";
import { codeOf } from "./errors.ts";
import { isFinished, removeLeftovers } from "./finish.ts";
import { migrations } from "./migrations.ts";
import { changeSchema } from "./schema.ts";

/**
 * Brings a store to the newest schema. A database without one counts as version 0. Processes that start together wait for each other.
 * Where the schema is the newest, the user needs no right to change it. Throws StoreError `unsupported_schema` for a newer version, and
 * `unavailable` for a database that is not in UTF-8.
 */
export async function migrate(client: ClientBase, name: string): Promise<Migration> {
  const to = migrations.length;
  await refuseOtherEncodings(client, name);
  const version = await readVersion(client);
  if (version === to) return { from: version, to, isFinished: await isFinished(client) };
  if (version !== undefined && version > to) throw newer(name, version);
  try {
    if (version === undefined) await createVersion(client);
    const from = await runMigrations(client, name);
    return { from, to, isFinished: await isFinished(client) };
  } catch (error) {
    // insufficient_privilege
    if (codeOf(error) === "42501") throw notAllowed(name, version ?? 0, error);
    throw error;
  }
}

/** Resolves to the version before, which another process may just have changed. */
const runMigrations = (client: ClientBase, name: string): Promise<number> =>
  changeSchema(client, async (run) => {
    const { rows } = await run("SELECT version FROM portcullis.schema_version");
    const version = Number(rows[0]?.version ?? 0);
    if (version > migrations.length) throw newer(name, version);
    for (const step of migrations.slice(version)) await run(step);
    if (version === 0) await run(removeLeftovers);
    await run(`UPDATE portcullis.schema_version SET version = ${migrations.length}`);
    return version;
  });

/** A database of another encoding would fail later, with the first name that it has no character for. */
async function refuseOtherEncodings(client: ClientBase, name: string): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>("SHOW server_encoding");
  const encoding = rows[0]?.server_encoding ?? "";
  if (/^utf-?8$/i.test(encoding)) return;
  const text = `The store ${name} has the encoding ${encoding}, and needs UTF8: make it with "createdb -E UTF8 -T template0".`;
  throw new StoreError("unavailable", text);
}

/** The version of the schema; undefined where there is none. */
async function readVersion(client: ClientBase): Promise<number | undefined> {
  try {
    const { rows } = await client.query<{ version: number }>("SELECT version FROM portcullis.schema_version");
    return rows[0]?.version;
  } catch (error) {
    // undefined_table, invalid_schema_name
    if (["42P01", "3F000"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
}

async function createVersion(client: ClientBase): Promise<void> {
  for (const statement of [
    "CREATE SCHEMA IF NOT EXISTS portcullis",
    "CREATE TABLE IF NOT EXISTS portcullis.schema_version (id SMALLINT PRIMARY KEY, version INTEGER NOT NULL)",
    "INSERT INTO portcullis.schema_version VALUES (1, 0) ON CONFLICT (id) DO NOTHING",
  ]) {
    await client.query(statement).catch((error: unknown) => {
      // IF NOT EXISTS does not see what another session creates at the same time. Now it is there.
      if (!["23505", "40001", "42P06", "42P07", "42710"].includes(codeOf(error) ?? "")) throw error;
      return client.query(statement);
    });
  }
}

const newer = (name: string, version: number) =>
  new StoreError(
    "unsupported_schema",
    `The store ${name} has schema version ${version}, and this version of portcullis knows ${migrations.length}: use a newer one.`,
  );

const notAllowed = (name: string, version: number, cause: unknown) =>
  new StoreError(
    "unavailable",
    `The store ${name} ${version === 0 ? "has no schema yet" : `has schema version ${version}`}, and this user may not ` +
      `bring it to version ${migrations.length}: run "portcullis store migrate" as a user who may.`,
    cause,
  );
