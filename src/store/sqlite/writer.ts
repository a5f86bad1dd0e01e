import type { Rows } from "../shared/written-rows.ts";

/**
 * Writes one transaction at a time. Calls take effect in their order, so the next `begin` may be called while a `commit` is
 * on its way. Each rejects with a StoreError.
 */
export interface Writer {
  /**
   * Resolves when no other connection can write, until `commit` or `rollback`. `isUntouched` says that no other connection has
   * committed since the last transaction of this writer.
   */
  begin(): Promise<{ readonly isUntouched: boolean }>;
  /**
   * Resolves when the rows are on disk. If it rejects, none of them is or will be, except with `outcome_unknown`. `conflict`: a row
   * contradicts the store.
   */
  commit(rows: Rows): Promise<void>;
  rollback(): Promise<void>;
  /** Ends after the calls before it. */
  close(): Promise<void>;
}
