import type { DatabaseSync } from "node:sqlite";
import type { Rows } from "../shared/written-rows.ts";
import { toStoreError } from "./errors.ts";
import { WriteConnection } from "./write-connection.ts";
import type { Writer } from "./writer.ts";

/**
 * Writes on the reader's connection: no second one can see a store in memory. No one else can write, and a transaction that is open across
 * an await would show its rows to readers.
 */
export function createInlineWriter(db: DatabaseSync, { name }: { readonly name: string }): Writer {
  const connection = new WriteConnection(db);
  let wasWritten = true;
  const commit = async (rows: Rows): Promise<void> => {
    wasWritten = false;
    try {
      connection.begin();
      connection.commit(rows);
      wasWritten = true;
    } catch (error) {
      throw toStoreError(error, name);
    }
  };
  return {
    async commitAhead({ rows, follows }) {
      if (follows && !wasWritten) return false;
      if (rows !== undefined) await commit(rows);
      return true;
    },
    async begin() {},
    async rollback() {},
    commit,
    async close() {},
  };
}
