// The store's file, seen past the server.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openStore } from "../../src/store/open.ts";

export const databasePath = (data: string): string => join(data, "portcullis.db");

export interface EventRow {
  readonly position: number;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly sequence: number;
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly actor: string;
}

/** Every event, in the order of positions. */
export function readEvents(data: string): EventRow[] {
  const db = new DatabaseSync(databasePath(data), { readOnly: true, timeout: 5000 });
  try {
    const rows = db
      .prepare(
        `SELECT position, aggregate_type AS aggregateType, aggregate_id AS aggregateId, sequence, type, payload, actor
          FROM events ORDER BY position`,
      )
      .all();
    return rows.map((row) => ({ ...row, payload: JSON.parse(String(row["payload"])) }) as unknown as EventRow);
  } finally {
    db.close();
  }
}

/** The schema version that the next process to open the store finds. */
export function versionOf(data: string): number {
  using db = new DatabaseSync(databasePath(data), { timeout: 5000 });
  return Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
}

/** Throws unless positions, and the sequences of each aggregate, count from 1 without a gap. */
export function checkContiguous(events: readonly EventRow[]): void {
  const sequences = new Map<string, number>();
  for (const [index, { position, aggregateType, aggregateId, sequence }] of events.entries()) {
    const name = `${aggregateType} ${aggregateId}`;
    const expected = (sequences.get(name) ?? 0) + 1;
    if (position !== index + 1) throw new Error(`position ${position} stands where ${index + 1} should`);
    if (sequence !== expected) throw new Error(`${name} has sequence ${sequence} where ${expected} should be`);
    sequences.set(name, sequence);
  }
}

/** What `store verify` would find, without the process. */
export async function verifyStore(data: string) {
  const store = await openStore({ location: `sqlite:${databasePath(data)}` });
  try {
    return await store.verify();
  } finally {
    await store.close();
  }
}

/** Keeps every other process from writing until it is disposed of. */
export class WriteLock implements Disposable {
  readonly #db: DatabaseSync;

  constructor(data: string) {
    this.#db = new DatabaseSync(databasePath(data), { timeout: 5000 });
    this.#db.exec("BEGIN IMMEDIATE");
  }

  release(): void {
    if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
  }

  [Symbol.dispose](): void {
    this.release();
    this.#db.close();
  }
}
