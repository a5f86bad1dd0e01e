import { type Logger, pino } from "pino";
import { type LogOutput, standardErrorOutput } from "./log-output.ts";

export type Log = Logger;

export interface LogSettings {
  /** The least level that is logged. */
  readonly level: "error" | "warn" | "info" | "debug";
  /** JSON for programs, text for people. */
  readonly format: "json" | "text";
}

/**
 * The server's log on standard error, one line for each entry: JSON, or text for people. Of an error it logs type, message, code, stack
 * and cause, and no other property that a driver may have added. A slow disk or pipe does not slow the server: lines that find no
 * room are lost, and the next line says how many.
 */
export async function createLog(
  { level, format }: LogSettings,
  output: LogOutput = standardErrorOutput(),
): Promise<Log> {
  const write = format === "json" ? output.write : await forPeople(output.write);
  const log = pino({ name: "portcullis", level, serializers: { err: describeError } }, { write });
  output.onLost = (lines) =>
    log.warn(
      { lines },
      "lines of the log were lost: what reads standard error, or its disk, does not keep up or is full",
    );
  return log;
}

/** Text for a terminal. It loads pino-pretty, which JSON does not need. */
async function forPeople(write: LogOutput["write"]): Promise<LogOutput["write"]> {
  const { prettyFactory } = await import("pino-pretty");
  const toText = prettyFactory({
    colorize: process.stderr.isTTY === true,
    ignore: "pid,hostname,name",
    // The stack of an error keeps its own lines.
    singleLine: true,
    translateTime: "HH:MM:ss.l",
  });
  return (line) => write(toText(line));
}

interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly code?: unknown;
  readonly stack?: string;
  readonly cause?: DescribedError;
}

function describeError(error: unknown): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { code } = error as { readonly code?: unknown };
  return {
    type: error.constructor.name,
    message: error.message,
    ...(code !== undefined && { code }),
    ...(error.stack !== undefined && { stack: error.stack }),
    ...(error.cause !== undefined && { cause: describeError(error.cause) }),
  };
}
