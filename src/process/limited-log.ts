import type { Log } from "./log.ts";

/** Of each kind, this many lines are written in one window; the others are counted. */
const linesPerWindow = 10;
const windowMs = 10_000;

/**
 * Writes a line to the log, unless its kind had enough of them lately. `kind` is a constant of the program, never a text that
 * a caller sends: each one is remembered.
 */
export type LimitedLog = (
  kind: string,
  level: "error" | "warn" | "info" | "debug",
  fields: Readonly<Record<string, unknown>>,
  message: string,
) => void;

/**
 * A log for lines that strangers can cause. It writes at most 10 lines of a kind in 10 s; then, when these are over, one line
 * with the count of those left out. `now` gives milliseconds; the default is a clock that never goes back.
 */
export function createLimitedLog(log: Log, { now = () => performance.now() }: { now?: () => number } = {}): LimitedLog {
  const windows = new Map<string, { readonly startedAt: number; lines: number; end?: () => void }>();

  return (kind, level, fields, message) => {
    if (!log.isLevelEnabled(level)) return;
    const at = now();
    let window = windows.get(kind);
    if (window !== undefined && at - window.startedAt >= windowMs) {
      window.end?.();
      window = undefined;
    }
    if (window === undefined) {
      window = { startedAt: at, lines: 0 };
      windows.set(kind, window);
    }
    window.lines += 1;
    if (window.lines <= linesPerWindow) return log[level](fields, message);
    window.end ??= countLater(window, windowMs - (at - window.startedAt), (leftOut) => {
      windows.delete(kind);
      log[level]({ kind, leftOut }, `left out ${leftOut} more of the lines: ${message}`);
    });
  };
}

/** Writes the count when the window ends, also where no other line of the kind comes. Returns a function that does it now. */
function countLater(window: { readonly lines: number }, ms: number, write: (leftOut: number) => void): () => void {
  const end = () => {
    clearTimeout(timer);
    write(window.lines - linesPerWindow);
  };
  // The process may end before: nobody waits for a count.
  const timer = setTimeout(end, ms).unref();
  return end;
}
