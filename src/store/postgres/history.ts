import type { ClientBase } from "pg";
import { Fold } from "../shared/fold.ts";
import type { StoredHistory } from "../shared/history.ts";
import type { StoredEvent, StoredState, StoredUniqueKey } from "../shared/read-rows.ts";
import { compare } from "../shared/verify.ts";
import type { Projection, Store } from "../store.ts";
import { beginRead, longRun, patient } from "./begin.ts";
import { type StateRow, stateColumns, toNumber, toStoredState } from "./fetch.ts";
import { readHead } from "./head.ts";
import { fromText } from "./text.ts";

// The history is read by pages of a few megabytes. The server hears nothing while a page is used, so its transaction has the limits of a
// long run.

const pageRows = 5000;

/** What a connection sees, in the transaction that it has begun. */
export const historyOf = (client: ClientBase): StoredHistory => ({
  events: () => selectEvents(client),
  aggregates: () => selectAggregates(client),
  keys: () => selectKeys(client),
});

/** See Store.verify. One transaction, so all of it is as of one moment. */
export async function verify(client: ClientBase, projection: Projection): ReturnType<Store["verify"]> {
  const fold = new Fold(projection);
  await client.query(beginRead(longRun));
  await compare(historyOf(client), fold);
  const { position } = await readHead(client);
  await client.query("COMMIT");
  if (position !== fold.last.position) {
    fold.problems.add(`The head is at position ${position}, and the last event at ${fold.last.position}.`);
  }
  return { problems: fold.problems.list(), ...fold.counts };
}

async function* selectEvents(client: ClientBase): AsyncIterable<StoredEvent> {
  for (let after = 0; ; ) {
    const page = patient(
      `SELECT position, aggregate_type AS "aggregateType", aggregate_id AS "aggregateId", sequence, type, version, payload,
        recorded_at AS "recordedAt", actor, previous FROM portcullis.events WHERE position > $1 ORDER BY position LIMIT $2`,
      [after, pageRows],
    );
    const { rows } = await client.query<Record<keyof StoredEvent, string>>(page);
    for (const row of rows) {
      after = Number(row.position);
      yield {
        ...row,
        position: after,
        aggregateId: fromText(row.aggregateId),
        sequence: Number(row.sequence),
        version: Number(row.version),
        recordedAt: Number(row.recordedAt),
        actor: fromText(row.actor),
        previous: toNumber(row.previous),
      };
    }
    if (rows.length < pageRows) return;
  }
}

async function* selectAggregates(client: ClientBase): AsyncIterable<StoredState> {
  for (let after = ["", ""]; ; ) {
    const page = patient(
      `SELECT ${stateColumns} FROM portcullis.aggregates a WHERE (a.type, a.id) > ($1, $2)
        ORDER BY a.type, a.id LIMIT $3`,
      [...after, pageRows],
    );
    const { rows } = await client.query<StateRow>(page);
    for (const row of rows) {
      after = [row.type, row.id];
      yield toStoredState(row);
    }
    if (rows.length < pageRows) return;
  }
}

async function* selectKeys(client: ClientBase): AsyncIterable<StoredUniqueKey> {
  for (let after = ["", ""]; ; ) {
    const page = patient(
      `SELECT kind, value, aggregate_type AS "aggregateType", aggregate_id AS "aggregateId" FROM portcullis.keys
        WHERE (kind, value) > ($1, $2) ORDER BY kind, value LIMIT $3`,
      [...after, pageRows],
    );
    const { rows } = await client.query<Record<keyof StoredUniqueKey, string>>(page);
    for (const row of rows) {
      after = [row.kind, row.value];
      yield { ...row, value: fromText(row.value), aggregateId: fromText(row.aggregateId) };
    }
    if (rows.length < pageRows) return;
  }
}
