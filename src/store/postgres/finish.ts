import type { ClientBase } from "pg";
import { StoreError } from "../errors.ts";
import { codeOf } from "./errors.ts";
import { changeSchema } from "./schema.ts";

// The end of a migration, once no node of an older version runs. Until then, the events have an index that only those need. They write
// neither the newest columns nor the links between events.

/** Whether nothing is left that only older versions need. */
export async function isFinished(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ is_nullable: string }>(
    `SELECT is_nullable FROM information_schema.columns
      WHERE table_schema = 'portcullis' AND table_name = 'events' AND column_name = 'previous'`,
  );
  return rows[0]?.is_nullable === "NO";
}

/** Fills in the links that older versions left out. Nodes of this version can write meanwhile. */
const fillLinks = `UPDATE portcullis.events AS e SET previous = coalesce((
    SELECT b.position FROM portcullis.events AS b
    WHERE b.aggregate_type = e.aggregate_type AND b.aggregate_id = e.aggregate_id AND b.sequence = e.sequence - 1
  ), 0) WHERE previous IS NULL`;

/** Removes what only older versions need: they cannot write any more. */
export const removeLeftovers = `ALTER TABLE portcullis.events ALTER COLUMN previous SET NOT NULL;
  ALTER TABLE portcullis.events DROP CONSTRAINT IF EXISTS events_aggregate_type_aggregate_id_sequence_key`;

/** Does both. The projection must have been rebuilt before. Does nothing where it was done. */
export async function finish(client: ClientBase, name: string): Promise<void> {
  if (await isFinished(client)) return;
  await changeSchema(client, (run) => run(fillLinks));
  try {
    await changeSchema(client, (run) => run(removeLeftovers));
  } catch (error) {
    // not_null_violation
    if (codeOf(error) !== "23502") throw error;
    const text = `A node of an older version wrote to the store ${name} meanwhile. Stop it, and run this again.`;
    throw new StoreError("conflict", text, error);
  }
}
