// Preloaded into a server (node --import): ends the thread that writes to its SQLite file, wherever it is, on SIGUSR2.
import { isMainThread, type Worker } from "node:worker_threads";

/** What it says on standard error when the thread is gone. */
export const endedWriter = "the writer was ended";

if (isMainThread) {
  let writer: Worker | undefined;
  process.on("worker", (thread) => {
    if (thread.threadName === "portcullis store writer") writer = thread;
  });
  process.on("SIGUSR2", () => {
    writer?.once("exit", () => process.stderr.write(`${endedWriter}\n`));
    void writer?.terminate();
  });
}
