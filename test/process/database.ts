// The store's file, seen past the server.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { defaultLoginPolicy } from "../../src/domain/login-policy/settings.ts";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type RecordedEvent } from "../../src/store/store.ts";

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
export const readEvents = (data: string): EventRow[] => readEventsAt(databasePath(data));

/** The same of a file. */
export function readEventsAt(path: string): EventRow[] {
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
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

/** Gives an empty store that many organizations, each with two events. */
export async function fillStore(location: string, organizations: number): Promise<void> {
  const store = await openStore({ location });
  try {
    await store.import(makeEvents(organizations), async () => {});
  } finally {
    await store.close();
  }
}

async function* makeEvents(organizations: number): AsyncIterable<RecordedEvent> {
  for (let index = 0; index < organizations; index += 1) {
    const common = { ref: organizationRef(`${index}`), recordedAt: 1_000, actor: "cli" };
    const position = 2 * index + 1;
    const name = `Organization ${index}`;
    yield { ...common, position, sequence: 1, event: { type: "OrganizationAdded", version: 1, payload: { name } } };
    const event = { type: "LoginPolicyAdded", version: 1, payload: defaultLoginPolicy } as const;
    yield { ...common, position: position + 1, sequence: 2, event };
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
