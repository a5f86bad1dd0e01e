/**
 * - `conflict`: another writer was first, each time the decision was made again, or before an import.
 * - `unavailable`: the store cannot be reached or written now: it is busy, full, read-only or gone.
 * - `outcome_unknown`: the store was lost, or its disk failed, while it committed. The change may be there or not, or come later: until
 *   the next write succeeds, reads need not show it.
 * - `closed`: the store was closed.
 * - `corrupt`: what is stored, or was to be imported, is damaged.
 * - `unsupported_schema`: the store was written by another program, or by a newer version of this one.
 */
export type StoreErrorCode =
  | "conflict"
  | "unavailable"
  | "outcome_unknown"
  | "closed"
  | "corrupt"
  | "unsupported_schema";

/** A failure of the store. The message is a sentence for an operator; the driver's own error is the cause, for the log. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
