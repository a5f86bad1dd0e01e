import type { RecordRef } from "./store.ts";

/**
 * Marks a store as a copy that `store backup` made. It stays until someone decides what becomes of the sessions, codes and tokens in
 * the copy. A record, so that it survives a migration and a rebuild, and goes with the records that the decision may remove.
 */
export const copyMarkRef: RecordRef = { record: "copy_mark", id: "undecided" };

/** The value of the mark. */
export interface CopyMark {
  /** When the copy was begun, in milliseconds since 1970 UTC. */
  readonly madeAt: number;
}
