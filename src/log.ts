import { type Logger, pino } from "pino";
import type { LogSettings } from "./config.ts";

export type Log = Logger;

/**
 * The server's log on standard error, a line for each entry: JSON, or text for people. Written at once, so that a crash loses
 * none. Of an error it has type, message, code, stack and cause, and nothing else that a driver may have put there.
 */
export async function createLog({ level, format }: LogSettings): Promise<Log> {
  const options = { name: "portcullis", level, serializers: { err: describeError } };
  if (format === "json") return pino(options, tolerant(pino.destination({ dest: 2, sync: true })));
  // Only people at a terminal need it.
  const { default: pretty } = await import("pino-pretty");
  const colorize = process.stderr.isTTY === true;
  const stream = pretty({
    destination: 2,
    sync: true,
    colorize,
    ignore: "pid,hostname,name",
    translateTime: "HH:MM:ss.l",
  });
  return pino(options, tolerant(stream));
}

/** Where a full disk or a closed terminal takes no line, the server goes on without. */
function tolerant<Stream extends { on(event: "error", listener: () => void): unknown }>(stream: Stream): Stream {
  stream.on("error", () => {});
  return stream;
}

/** Logs failures of the server's own, under the id that the caller was told. */
export const reportTo =
  (log: Log) =>
  ({ requestId, reason }: { readonly requestId?: string; readonly reason: unknown }): void => {
    log.error({ requestId, err: reason }, "call failed");
  };

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
