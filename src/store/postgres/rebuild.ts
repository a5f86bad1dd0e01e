import type { ClientBase } from "pg";
import { rebuild } from "../shared/rebuild.ts";
import type { Projection, Store } from "../store.ts";
import { patient } from "./begin.ts";
import { toStoreError } from "./errors.ts";
import { historyOf } from "./history.ts";
import { toRowStatements } from "./statements.ts";

/** See Store.rebuild. Writes in a transaction that holds the lock of the head; its commit must move the head's revision. */
export const rebuildIn = (
  client: ClientBase,
  { name, projection }: { readonly name: string; readonly projection: Projection },
): ReturnType<Store["rebuild"]> =>
  rebuild(historyOf(client), {
    name,
    projection,
    write: async (rows) => {
      await Promise.all(toRowStatements(rows).map(({ text, values }) => client.query(patient(text, values))));
    },
    isConflict: (error) => toStoreError(error, name).code === "conflict",
  });
