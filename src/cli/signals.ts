/** With a grace period of 8 s before it, the process exits within 10 s of the signal. */
const exitAfterMs = 9_500;

/**
 * Lets SIGTERM and SIGINT end the process during the start: the first process of a container otherwise ignores them. Returns
 * a function that stops this.
 */
export function exitOnSignals(): () => void {
  const signals = ["SIGTERM", "SIGINT"] as const;
  const end = (signal: NodeJS.Signals) => {
    stop();
    process.kill(process.pid, signal);
    // Only the first process of a container still runs here.
    setImmediate(() => process.exit(1));
  };
  const stop = () => {
    for (const signal of signals) process.off(signal, end);
  };
  for (const signal of signals) process.on(signal, end);
  return stop;
}

/** Calls `close` on SIGTERM or SIGINT and then exits with 0; a second signal exits at once, with 1. */
export function closeOnSignals(
  close: (signal: NodeJS.Signals) => Promise<void>,
  { drainDelayMs }: { readonly drainDelayMs: number },
): void {
  let isClosing = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (isClosing) process.exit(1);
    isClosing = true;
    setTimeout(() => process.exit(1), drainDelayMs + exitAfterMs).unref();
    close(signal).then(
      () => process.exit(0),
      (reason: unknown) => {
        process.stderr.write(`portcullis: could not close cleanly: ${String(reason)}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
