import type { DatabaseSync } from "node:sqlite";
import type { Rows } from "../shared/written-rows.ts";
import { toStoreError } from "./errors.ts";
import { WriteConnection } from "./write-connection.ts";
import type { Place, Writer } from "./writer.ts";

/**
 * Writes on the reader's connection: no second one can see a store in memory. No one else can write, and a transaction that is open across
 * an await would show its rows to readers.
 */
export function createInlineWriter(db: DatabaseSync, { name }: { readonly name: string }): Writer {
  const connection = new WriteConnection(db);
  let wasWritten = true;
  const write = (rows: Rows | undefined, from?: Place): boolean => {
    wasWritten = false;
    try {
      connection.begin();
      const isThere = from === undefined || connection.isAt(from);
      if (isThere && rows !== undefined) connection.commit(rows);
      else connection.rollback();
      wasWritten = isThere;
    } catch (error) {
      throw toStoreError(error, name);
    }
    return wasWritten;
  };
  return {
    async commitAhead({ rows, from, follows }) {
      if (follows && !wasWritten) return false;
      return write(rows, from);
    },
    async begin() {},
    async rollback() {},
    async commit(rows) {
      write(rows);
    },
    async close() {},
  };
}
