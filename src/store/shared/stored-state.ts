import { hash } from "node:crypto";
import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import type { Projection, Snapshot } from "../store.ts";
import { parseJson } from "./json.ts";

/** A state as an engine keeps it. */
export interface StoredState {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  /** JSON. */
  readonly state: string;
  /** See `digestOf`; null where an older version of this program wrote the state, which knows no digests. */
  readonly digest: string | null;
}

/**
 * What a state is checked by whenever it is read: disks and memory flip bits, and most of those leave JSON that can be read.
 * It covers the aggregate's name and version, so that a row in another's place is found as well. SHA-256, because it is in every Node
 * and takes about as long as parsing the state.
 */
export const digestOf = ({ type, id, version, state }: Omit<StoredState, "digest">): string =>
  hash("sha256", `${type}\n${id}\n${version}\n${state}`, "base64url");

export const hasWrongDigest = (stored: StoredState): boolean =>
  stored.digest !== null && stored.digest !== digestOf(stored);

/** Where states are read: what messages call the store, and how it makes sense of them. */
export interface StateSource {
  readonly name: string;
  readonly projection: Pick<Projection, "upcast">;
}

/** Throws StoreError `corrupt` where the state is not what was written, or cannot be read. */
export function toSnapshot(stored: StoredState, { name, projection }: StateSource): Snapshot {
  const ref = { type: stored.type as AggregateType, id: stored.id };
  try {
    if (hasWrongDigest(stored)) throw new Error("the state does not match its digest");
    const kept = parseJson(stored.state) as Snapshot["state"] | null;
    if (typeof kept !== "object" || kept === null) throw new Error("the state is no JSON object");
    return { ref, version: stored.version, state: projection.upcast.state(ref.type, kept) };
  } catch (cause) {
    const problem = `The state of ${ref.type} ${ref.id} in the store ${name} is damaged`;
    const advice = 'Run "portcullis store rebuild", which makes it anew from the events';
    throw new StoreError("corrupt", `${problem}. ${advice}, or restore the store from a backup.`, cause);
  }
}
