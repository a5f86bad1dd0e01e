import { hash } from "node:crypto";
import type { AggregateType, Cause } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import type { Projection, RecordedEvent, Snapshot, StoreRecord } from "../store.ts";

// Rows as engines read them, and what callers get. `written-rows.ts` has them as they are written.

export interface StoredEvent {
  readonly position: number;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly sequence: number;
  readonly type: string;
  readonly version: number;
  readonly payload: string;
  readonly recordedAt: number;
  readonly actor: string;
  /** Null where an older version of this program wrote the event, which does not say. */
  readonly previous: number | null;
  /** Null where an older version wrote the event. */
  readonly append: number | null;
  /** JSON; null: the events alone tell why. */
  readonly cause: string | null;
}

export interface StoredState {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly state: string;
  /** See `digestOf`; null where an older version of this program wrote the state and left the digest of the one before. */
  readonly digest: string | null;
  /** Of the aggregate's last event. An older version leaves that of an earlier one. */
  readonly position: number | null;
  readonly positionVersion: number | null;
}

interface StoredRecord {
  readonly kind: string;
  readonly value: string;
  readonly expiresAt: number | null;
}

/** The store that rows are read from. */
export interface StateSource {
  /** For messages. */
  readonly name: string;
  readonly projection: Pick<Projection, "upcast">;
}

/** The event as it was written, of whatever version. Throws StoreError `corrupt` for one that is damaged. */
export function toRecordedEvent(row: StoredEvent, name: string): RecordedEvent {
  const { position, aggregateType, aggregateId, sequence, type, version, payload, recordedAt, actor } = row;
  const ref = { type: aggregateType as AggregateType, id: aggregateId };
  try {
    const event = { type, version, payload: parseJson(payload) } as never;
    const { previous, append, cause } = row;
    return {
      position,
      ref,
      previous: previous ?? undefined,
      append: append ?? undefined,
      cause: cause === null ? undefined : (parseJson(cause) as Cause),
      sequence,
      event,
      recordedAt,
      actor,
    };
  } catch (error) {
    const sentence = `Event ${position} in the store ${name} is damaged: restore it from a backup.`;
    throw new StoreError("corrupt", sentence, error);
  }
}

/**
 * The digest that is checked whenever a state is read: disks and memory flip bits, and most of those leave valid JSON. It covers the
 * aggregate's name and version, to find a row in another's place. SHA-256 takes about as long as parsing the state.
 */
export const digestOf = ({
  type,
  id,
  version,
  state,
}: Pick<StoredState, "type" | "id" | "version" | "state">): string =>
  hash("sha256", `${type}\n${id}\n${version}\n${state}`, "base64url");

export const hasWrongDigest = (stored: StoredState): boolean =>
  stored.digest !== null && stored.digest !== digestOf(stored);

/** Where the aggregate's last event is, if the row says so. */
export const positionOf = ({ version, position, positionVersion }: StoredState): number | undefined =>
  positionVersion === version && position !== null ? position : undefined;

/** Throws StoreError `corrupt` where the state is not what was written, or cannot be read. */
export function toSnapshot(stored: StoredState, { name, projection }: StateSource): Snapshot {
  const ref = { type: stored.type as AggregateType, id: stored.id };
  try {
    if (hasWrongDigest(stored)) throw new Error("the state does not match its digest");
    const kept = parseJson(stored.state) as Snapshot["state"] | null;
    if (typeof kept !== "object" || kept === null) throw new Error("the state is no JSON object");
    const state = projection.upcast.state(ref.type, kept);
    return { ref, version: stored.version, position: positionOf(stored), state };
  } catch (cause) {
    const problem = `The state of ${ref.type} ${ref.id} in the store ${name} is damaged`;
    const advice = 'Run "portcullis store rebuild", which makes it again from the events';
    throw new StoreError("corrupt", `${problem}. ${advice}, or restore the store from a backup.`, cause);
  }
}

/** Throws StoreError `corrupt` where its value cannot be read. */
export function toRecord({ kind, value, expiresAt }: StoredRecord, { name }: StateSource): StoreRecord {
  try {
    return { value: parseJson(value), ...(expiresAt !== null && { expiresAt }) };
  } catch (error) {
    const problem = `A record of kind ${kind} in the store ${name} is damaged`;
    throw new StoreError("corrupt", `${problem}. Remove it, or restore the store from a backup.`, error);
  }
}

/**
 * Parses JSON. Throws an Error that repeats nothing of it, as the parser's own does: stored values may be secret, and errors go to
 * the log.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("it is no JSON");
  }
}
