import type { Log } from "./log.ts";

/** Each kind of line is written this often in one window; further lines are counted. */
const linesPerWindow = 10;
const windowMs = 10_000;

/**
 * Writes a line to the log, unless lines of its kind have reached their limit. `kind` is a constant of the program, never text from a
 * caller: every kind takes memory.
 */
export type LimitedLog = (
  kind: string,
  level: "error" | "warn" | "info" | "debug",
  fields: Readonly<Record<string, unknown>>,
  message: string,
) => void;

/**
 * A log for lines that strangers can cause. It writes at most 10 lines of a kind in 10 s, and when these are over one line with the
 * number of lines left out. `now` returns milliseconds and defaults to a monotonic clock.
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

/** Writes the count when the window ends, even if no other line of the kind comes. Returns a function that writes it at once. */
function countLater(window: { readonly lines: number }, ms: number, write: (leftOut: number) => void): () => void {
  const end = () => {
    clearTimeout(timer);
    write(window.lines - linesPerWindow);
  };
  // The count must not keep the process alive.
  const timer = setTimeout(end, ms).unref();
  return end;
}
