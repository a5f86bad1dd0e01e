import type { Rows } from "../shared/written-rows.ts";

/** Tells one state of the store from all others. */
export interface Place {
  /** Of the newest event. */
  readonly position: number;
  /** How many commits changed what events do not tell, or more. It never decreases. */
  readonly recordCommits: number;
}

/** Rows that were decided before their transaction. */
export interface AheadOfLock {
  /** Undefined where there is nothing to write, and only the place is compared. */
  readonly rows: Rows | undefined;
  /** Where the store was when they were decided. */
  readonly from: Place;
  /** Whether they were decided on the rows of the call before, which must have been written. */
  readonly follows: boolean;
}

/**
 * Writes one transaction at a time. Calls take effect in their order, so the next may be made while one is on its way. Each rejects with a
 * StoreError.
 */
export interface Writer {
  /**
   * Writes rows if the store is where they were decided. Resolves to true when they are on disk; to false where the store is elsewhere: then
   * no other connection can write, until `commit` or `rollback`. Rows that follow rows that were not written change nothing, and resolve to false.
   */
  commitAhead(ahead: AheadOfLock): Promise<boolean>;
  /** Resolves when no other connection can write, until `commit` or `rollback`. */
  begin(): Promise<void>;
  /**
   * Resolves when the rows are on disk. If this or `commitAhead` rejects, none of them is or will be, except with `outcome_unknown`.
   * `conflict`: a row contradicts the store.
   */
  commit(rows: Rows): Promise<void>;
  rollback(): Promise<void>;
  /** Ends after the calls before it. */
  close(): Promise<void>;
}
