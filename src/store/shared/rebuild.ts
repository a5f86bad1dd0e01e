import { StoreError } from "../errors.ts";
import type { Projection, Snapshot, Store } from "../store.ts";
import { AggregateFold } from "./fold.ts";
import type { StoredHistory } from "./history.ts";
import { uniqueKeysByName } from "./unique-keys.ts";
import { checkOrder, Findings } from "./verify.ts";
import { isSameRef } from "./view.ts";
import { type Rows, toRows } from "./written-rows.ts";

export interface Rebuild {
  /** The store's, for messages. */
  readonly name: string;
  readonly projection: Projection;
  /** How many aggregates are written at a time. */
  readonly batchSize?: number;
  /** The first rows replace the projection. They are there only if all are written. */
  readonly write: (rows: Rows) => Promise<void>;
  /** Whether the table of keys refused rows that were to be written, since another aggregate has the key. */
  readonly isConflict: (error: unknown) => boolean;
}

/**
 * Makes the projection again from the events, some aggregates at a time. Rejects with StoreError `corrupt` where the history itself is
 * broken; then what was written must be undone.
 */
export async function rebuild(stored: StoredHistory, options: Rebuild): ReturnType<Store["rebuild"]> {
  const { name, projection, batchSize = 1000, write, isConflict } = options;
  const findings = new Findings();
  const { problems } = findings;
  const refuseBroken = (problem = problems.list()[0], cause?: unknown): void => {
    if (problem === undefined) return;
    throw new StoreError(
      "corrupt",
      `The history in the store ${name} is broken, so nothing was rebuilt. ${problem}`,
      cause,
    );
  };
  await checkOrder(stored, findings);
  refuseBroken();
  let batch: Snapshot[] = [];
  let isFirst = true;
  const flush = async (): Promise<void> => {
    const rows = toProjectionRows(batch, { projection, replacesProjection: isFirst });
    [batch, isFirst] = [[], false];
    await write(rows).catch((error: unknown) => {
      if (isConflict(error))
        refuseBroken(`Two aggregates hold the same name, token or key: run "portcullis store verify".`, error);
      throw error;
    });
  };
  let fold: AggregateFold | undefined;
  const end = async (): Promise<void> => {
    refuseBroken();
    if (fold?.snapshot === undefined) return;
    findings.aggregates += 1;
    batch.push(fold.snapshot);
    if (batch.length >= batchSize) await flush();
  };
  for await (const parts of stored.eventsByAggregate()) {
    for (const part of parts) {
      if (part.of !== "event") continue;
      if (fold === undefined || !isSameRef(fold.ref, part.ref)) {
        await end();
        fold = new AggregateFold(part.ref, { projection, problems });
      }
      fold.add(part);
    }
  }
  await end();
  if (batch.length > 0 || isFirst) await flush();
  return { events: findings.events, aggregates: findings.aggregates };
}

function toProjectionRows(
  aggregates: readonly Snapshot[],
  { projection, replacesProjection }: { readonly projection: Projection; readonly replacesProjection: boolean },
): Rows {
  const keyMoves = aggregates.flatMap(({ ref, state }) =>
    [...uniqueKeysByName(projection.uniqueKeysOf(ref.type, state)).values()].map((key) => ({
      key,
      from: undefined,
      to: ref,
    })),
  );
  return toRows({ events: [], aggregates, keyMoves, records: [], now: 0 }, replacesProjection);
}
