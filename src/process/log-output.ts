import { fstatSync, write, writeSync } from "node:fs";
import { isatty } from "node:tty";

/** Where the lines of a log go. Writing a line never waits and never fails. */
export interface LogOutput {
  /** Takes a line with its line break. When too much is waiting, the line is lost and counted. */
  write(line: string): void;
  /** Gets the number of lost lines as soon as lines are taken again. Lines that it writes itself are never lost. */
  onLost: (lines: number) => void;
  /** Lines lost since the start: for lack of room, and by a failed write. */
  readonly lost: Readonly<Record<"full" | "failed", number>>;
  /** Resolves when everything is written, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
  /** Writes waiting lines, as many as the system takes at once: for the last moment of a process. */
  flushSync(): void;
}

/** Takes the bytes of a log. */
export interface LogSink {
  write(bytes: Buffer, done: (error?: Error | null) => void): void;
  /** Throws when the bytes cannot be written within a moment. */
  writeSync(bytes: Buffer): void;
}

/** In characters: some thousands of waiting lines. */
const maxWaiting = 1024 * 1024;
const maxChunk = 64 * 1024;

export function createLogOutput(sink: LogSink): LogOutput {
  let waiting: string[] = [];
  let length = 0;
  let isWriting = false;
  let isTelling = false;
  let untold = 0;
  const onIdle: (() => void)[] = [];
  const lost = { full: 0, failed: 0 };

  function lose(reason: keyof typeof lost, lines: number): void {
    lost[reason] += lines;
    untold += lines;
  }

  /** Takes the next lines together: each write costs a system call. */
  function take(): { readonly bytes: Buffer; readonly lines: number } {
    let size = 0;
    const end = waiting.findIndex((line) => {
      size += line.length;
      return size > maxChunk;
    });
    // A line of more than a chunk goes alone.
    const lines = waiting.splice(0, end === -1 ? waiting.length : Math.max(end, 1));
    const text = lines.join("");
    length -= text.length;
    return { bytes: Buffer.from(text), lines: lines.length };
  }

  function writeNext(): void {
    const { bytes, lines } = take();
    isWriting = true;
    sink.write(bytes, (error) => {
      isWriting = false;
      if (error) lose("failed", lines);
      else if (untold > 0) tell();
      if (isWriting) return;
      if (waiting.length > 0) return writeNext();
      for (const idle of onIdle.splice(0)) idle();
    });
  }

  function tell(): void {
    const lines = untold;
    untold = 0;
    isTelling = true;
    output.onLost(lines);
    isTelling = false;
  }

  const output: LogOutput = {
    onLost: () => {},
    lost,
    write(line) {
      if (length + line.length > maxWaiting && !isTelling) return lose("full", 1);
      waiting.push(line);
      length += line.length;
      if (!isWriting) writeNext();
    },
    async flush(timeoutMs) {
      if (!isWriting) return;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        onIdle.push(resolve);
        timer = setTimeout(resolve, timeoutMs);
      });
      clearTimeout(timer);
    },
    flushSync() {
      try {
        while (waiting.length > 0) sink.writeSync(take().bytes);
      } catch {
        waiting = [];
      }
    },
  };
  return output;
}

let standardError: LogOutput | undefined;

/** The log output of this process on standard error. It writes the last lines when the process exits, also by an uncaught error. */
export function standardErrorOutput(): LogOutput {
  if (standardError === undefined) {
    const output = createLogOutput(standardErrorSink());
    process.once("exit", () => output.flushSync());
    standardError = output;
  }
  return standardError;
}

/**
 * The event loop writes to a pipe without waiting for its reader: a thread that waits would keep the process from exiting. A file
 * has no such way, so a thread writes it, and an exit waits for the disk.
 */
function standardErrorSink(): LogSink {
  const { stderr } = process;
  // When the terminal or pipe closes, the server goes on without a log.
  stderr.on("error", () => {});
  const stat = fstatSync(stderr.fd);
  const isStream = stat.isFIFO() || stat.isSocket() || isatty(stderr.fd);
  return {
    write: isStream ? (bytes, done) => void stderr.write(bytes, done) : (bytes, done) => writeToFile(bytes, done),
    writeSync(bytes) {
      for (let at = 0; at < bytes.length; ) at += writePatiently(stderr.fd, bytes.subarray(at));
    },
  };
}

/** Writes at least a part of the bytes. A full pipe may be read within a moment, or never. */
function writePatiently(fd: number, bytes: Buffer): number {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return writeSync(fd, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || attempt === 20) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

/** Writes all bytes: the system may take only a part of them. */
function writeToFile(bytes: Buffer, done: (error?: Error | null) => void): void {
  write(process.stderr.fd, bytes, (error, written) => {
    if (error || written === bytes.length) done(error);
    else writeToFile(bytes.subarray(written), done);
  });
}
