import type { StoredHistory } from "../shared/history.ts";
import { type Rebuild, rebuild } from "../shared/rebuild.ts";
import type { Rows } from "../shared/written-rows.ts";
import type { Projection, Store } from "../store.ts";
import { toStoreError } from "./errors.ts";
import { historyOf } from "./history.ts";
import { type Rewriting, rewrite } from "./rewrite.ts";

interface Options {
  readonly name: string;
  readonly projection: Projection;
}

/** See Store.rebuild. */
export const rebuildFile = (rewriting: Rewriting, options: Options): ReturnType<Store["rebuild"]> =>
  rewrite(rewriting, (db, connection) =>
    rebuild(
      historyOf(db, options.name),
      toRebuild(options, async (rows) => connection.write(rows)),
    ),
  );

/** The rows of a rebuild of a store with one connection for all, where readers would see an open transaction. */
export async function rebuiltRows(
  stored: StoredHistory,
  options: Options,
): Promise<{ readonly rows: Rows; readonly counts: Awaited<ReturnType<Store["rebuild"]>> }> {
  const written: Rows[] = [];
  const rebuilding = toRebuild(options, async (rows) => void written.push(rows));
  const counts = await rebuild(stored, { ...rebuilding, batchSize: Number.POSITIVE_INFINITY });
  return { rows: written[0] as Rows, counts };
}

const toRebuild = ({ name, projection }: Options, write: Rebuild["write"]): Rebuild => ({
  name,
  projection,
  write,
  isConflict: (error) => toStoreError(error, name).code === "conflict",
});
