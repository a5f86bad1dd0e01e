import type { ClientBase, QueryResult } from "pg";
import { beginWrite, patient } from "./begin.ts";

/** A step may have to rewrite every row, and another process waits that long for it. */
const longestMs = 3_600_000;

/**
 * While a migration waits for a table that an export or a dump reads, every node waits behind it: then it is better not to start, and to
 * try again.
 */
const lockMs = 5000;

export type Run = (text: string, values?: readonly unknown[]) => Promise<QueryResult>;

/**
 * Changes the schema in one transaction. Processes that do so at once come after each other. Rejects, and changes nothing, where a table
 * is not free within some seconds.
 */
export async function changeSchema<T>(client: ClientBase, change: (run: Run) => Promise<T>): Promise<T> {
  await client.query(beginWrite({ statementMs: longestMs, idleMs: lockMs }));
  const run: Run = (text, values) => client.query(patient(text, values, longestMs));
  try {
    await run("SELECT version FROM portcullis.schema_version FOR UPDATE");
    await client.query(`SET LOCAL lock_timeout = ${lockMs}`);
    const changed = await change(run);
    await client.query("COMMIT");
    return changed;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  }
}
