import pino from "pino";

/** The server's log: JSON lines on standard error, written at once so that a crash loses none. */
const log = pino({ name: "portcullis" }, pino.destination({ dest: 2, sync: true }));

/** Logs a failure of the server's own, under the id that the caller was told. */
export function reportFailure({ requestId, reason }: { readonly requestId?: string; readonly reason: unknown }): void {
  log.error({ requestId, err: reason }, "call failed");
}
