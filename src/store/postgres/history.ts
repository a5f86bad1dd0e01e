import type { ClientBase } from "pg";
import { Fold, ProblemList, rebuiltRows, type StoredEvent, type StoredUniqueKey } from "../shared/fold.ts";
import type { Rows } from "../shared/rows.ts";
import type { StateSource, StoredState } from "../shared/stored-state.ts";
import type { History, Problem, Projection } from "../store.ts";
import { toHistory } from "../transfer/fill.ts";
import { beginRead, longRun, patient } from "./begin.ts";
import { readHead, type StateRow, stateColumns, toStoredState } from "./fetch.ts";
import { fromText } from "./text.ts";

// All read the whole history, page by page: a few megabytes at a time, whatever its length. Folding a page takes time as well, in
// which the server hears nothing, so all of this goes on in transactions of a long run.

const pageRows = 5000;

/** See Store.verify. Within one transaction of its own, all of it is as of one moment. */
export async function verifyHistory(
  client: ClientBase,
  projection: Projection,
): Promise<{ readonly problems: readonly Problem[]; readonly events: number; readonly aggregates: number }> {
  const problems = new ProblemList();
  const fold = new Fold(projection, problems);
  await client.query(beginRead(longRun));
  for await (const event of selectEvents(client)) fold.add(event);
  const { position } = await readHead(client);
  if (position !== fold.lastPosition) {
    problems.add(`The head is at position ${position}, and the last event at ${fold.lastPosition}.`);
  }
  const comparison = fold.comparison();
  for await (const stored of selectAggregates(client)) comparison.aggregate(stored);
  for await (const stored of selectKeys(client)) comparison.key(stored);
  comparison.end();
  await client.query("COMMIT");
  return { problems: problems.list(), events: fold.events, aggregates: fold.aggregates };
}

/** The rows that make the projection anew, read in the transaction that writes them. Rejects with `corrupt` where the history itself is broken. */
export async function refold(
  client: ClientBase,
  { name, projection }: { readonly name: string; readonly projection: Projection },
): Promise<{ readonly rows: Rows; readonly events: number; readonly aggregates: number }> {
  const problems = new ProblemList();
  const fold = new Fold(projection, problems);
  for await (const event of selectEvents(client)) fold.add(event);
  return { rows: rebuiltRows(fold, { problems, name }), events: fold.events, aggregates: fold.aggregates };
}

/** What a connection sees, in the transaction that it has begun. */
export const historyOf = (client: ClientBase, source: StateSource): History =>
  toHistory({ events: () => selectEvents(client), aggregates: () => selectAggregates(client) }, source);

async function* selectEvents(client: ClientBase): AsyncIterable<StoredEvent> {
  for (let after = 0; ; ) {
    const page = patient(
      `SELECT position, aggregate_type AS "aggregateType", aggregate_id AS "aggregateId", sequence, type, version, payload,
        recorded_at AS "recordedAt", actor FROM portcullis.events WHERE position > $1 ORDER BY position LIMIT $2`,
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
