import type { DatabaseSync } from "node:sqlite";
import type { Rows } from "../shared/written-rows.ts";
import { toStoreError } from "./errors.ts";
import { WriteConnection } from "./write-connection.ts";
import type { Writer } from "./writer.ts";

/** Writes on the reader's connection: no second one can see a store in memory. */
export function createInlineWriter(
  db: DatabaseSync,
  store: { readonly name: string; readonly onCommit: () => void },
): Writer {
  const connection = new WriteConnection(db);
  let isUntouched = false;
  return {
    // No one else can write. A transaction that is open across an await would show its rows to readers.
    async begin() {
      return { isUntouched };
    },
    async rollback() {},
    async commit(rows: Rows) {
      isUntouched = false;
      try {
        connection.begin();
        connection.commit(rows);
        isUntouched = true;
      } catch (error) {
        throw toStoreError(error, store.name);
      } finally {
        store.onCommit();
      }
    },
    async close() {},
  };
}
