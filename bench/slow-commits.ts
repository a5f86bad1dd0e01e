// node --import: makes every commit of the store's writer thread take 10 ms longer, as on a slow disk. For measuring only.
import { syncBuiltinESMExports } from "node:module";
import { DatabaseSync } from "node:sqlite";
import workers, { isMainThread } from "node:worker_threads";

const delayMs = 10;

if (isMainThread) {
  // The writer is the only thread that the server starts, and it is started without this program's own flags.
  workers.Worker = class extends workers.Worker {
    constructor(url: string | URL, options: workers.WorkerOptions = {}) {
      super(url, { ...options, execArgv: [...(options.execArgv ?? []), "--import", import.meta.url] });
    }
  };
  syncBuiltinESMExports();
} else {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const exec = DatabaseSync.prototype.exec;
  DatabaseSync.prototype.exec = function (sql: string) {
    // The thread sleeps where it would wait for the disk: before the commit is done, and without using a CPU.
    if (/\bCOMMIT\b/.test(sql)) Atomics.wait(nobody, 0, 0, delayMs);
    exec.call(this, sql);
  };
}
