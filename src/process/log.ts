import { type Logger, pino } from "pino";
import type { LogSettings } from "../config.ts";
import { type LogOutput, standardErrorOutput } from "./log-output.ts";

export type Log = Logger;

/**
 * The server's log on standard error, a line for each entry: JSON, or text for people. Of an error it has type, message, code,
 * stack and cause, and nothing else that a driver may have put there. A disk or a pipe that is slow holds nobody up: what does
 * not fit is left out, and the next line that fits says how many lines that were.
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

/** Only people at a terminal need it. */
async function forPeople(write: LogOutput["write"]): Promise<LogOutput["write"]> {
  const { prettyFactory } = await import("pino-pretty");
  const toText = prettyFactory({
    colorize: process.stderr.isTTY === true,
    ignore: "pid,hostname,name",
    // Of an error, the stack still has lines of its own.
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
