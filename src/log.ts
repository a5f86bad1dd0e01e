import pino from "pino";

/** The server's log: JSON lines on standard error, written at once so that a crash loses none. */
export const log = pino({ name: "portcullis" }, pino.destination({ dest: 2, sync: true }));
