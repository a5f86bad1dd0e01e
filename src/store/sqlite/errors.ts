import { StoreError } from "../errors.ts";
import { isInDoubt } from "./commit.ts";
import { primaryCode, resultCodes } from "./result-codes.ts";

/** The store's error for one of the driver's or of the file system's, which becomes its cause. `path` is named to the operator. */
export function toStoreError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  if (isInDoubt(error)) {
    const sentence = `The disk of the store ${path} reported an error in a commit: whether this was written is unknown.`;
    return new StoreError("outcome_unknown", `${sentence} Read the current state before you try again.`, error);
  }
  const fail = (kind: "conflict" | "unavailable" | "corrupt", sentence: string): StoreError =>
    new StoreError(kind, `The store ${path} ${sentence}`, error);
  switch (primaryCode(error)) {
    case resultCodes.busy:
    case resultCodes.locked:
    case resultCodes.protocol:
      return fail("unavailable", "is busy: another process holds its write lock and does not let go.");
    case resultCodes.constraint:
      return fail("conflict", "was changed by another process, each time the decision was run again.");
    case resultCodes.full:
      return fail("unavailable", "cannot be written: its disk is full. Nothing was written; make room and try again.");
    case resultCodes.readOnly:
    case resultCodes.permission:
      return fail("unavailable", "cannot be written: it is read-only for this process.");
    case resultCodes.io:
      return fail("unavailable", "cannot be read or written: its disk reports an error, or is full.");
    case resultCodes.cannotOpen:
      return fail(
        "unavailable",
        "cannot be opened: this process must be able to write to it, to its directory and to the files beside it that end in -wal and -shm.",
      );
    case resultCodes.noMemory:
      return fail("unavailable", "cannot be used: there is not enough memory.");
    case undefined:
      return fail("unavailable", fileSentence(error));
    default:
      // Corrupt, not a database, and whatever SQLite says of a statement that fits our schema but not what the file holds.
      return fail("corrupt", "is damaged. Verify it, or restore it from a backup.");
  }
}

function fileSentence(error: unknown): string {
  switch ((error as { readonly code?: unknown } | undefined)?.code) {
    case "ENOENT":
      return "is gone: its file or directory was removed or replaced. Start again to use what is there now.";
    case "EEXIST":
    case "ENOTDIR":
      return "cannot be opened: a part of its path that should be a directory is a file.";
    case "EISDIR":
      return "cannot be opened: it is a directory. Give the path of a file in it.";
    case "EACCES":
    case "EPERM":
      return "cannot be opened: this process has no permission to read and write it or its directory.";
    case "EROFS":
      return "cannot be opened: it is on a read-only file system.";
    case "EIO":
      return "cannot be used: its disk reports an error.";
    case "ENOSPC":
    case "EDQUOT":
      return "cannot be created: its disk is full.";
    case "ENAMETOOLONG":
      return "cannot be opened: its path is too long.";
    case "ELOOP":
      return "cannot be opened: its path holds a loop of symbolic links.";
    default:
      return "cannot be used just now.";
  }
}
