import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import { StoreError } from "../errors.ts";
import type { Rows } from "../shared/written-rows.ts";
import { toStoreError } from "./errors.ts";
import type { AheadOfLock, Writer } from "./writer.ts";
import type { CheckpointNotice, WriterReply, WriterRequest, WriterThreadSettings } from "./writer-worker.ts";

// tsc does not rewrite this one: it is a URL, not an import.
const threadUrl = new URL(
  import.meta.url.endsWith(".ts") ? "./writer-worker.ts" : "./writer-worker.js",
  import.meta.url,
);

/** A thread takes Node's compile cache only from its environment. Without it, a checkout strips types again, for 17 MB. */
function sharedCompileCache(): { readonly env?: NodeJS.ProcessEnv } {
  const directory = getCompileCacheDir();
  return directory === undefined ? {} : { env: { ...process.env, NODE_COMPILE_CACHE: dirname(directory) } };
}

/** Gets the error of each checkpoint that failed, and undefined when one succeeds afterwards. */
export type CheckpointListener = (failure: StoreError | undefined) => void;

interface Pending {
  /** Whether it commits rows, which may have happened when the thread ends. */
  readonly writes: boolean;
  readonly resolve: (isWritten: boolean) => void;
  readonly reject: (error: StoreError) => void;
}

/**
 * Writes on a thread (`writer-worker.ts`), which starts with the first transaction, and again after it died. It keeps the process alive
 * only while a call is pending.
 */
export class ThreadWriter implements Writer {
  readonly #settings: WriterThreadSettings;
  readonly #onCheckpoint: CheckpointListener;
  #thread: Worker | undefined;
  #pending: Pending[] = [];

  constructor(settings: WriterThreadSettings, onCheckpoint: CheckpointListener = () => {}) {
    this.#settings = settings;
    this.#onCheckpoint = onCheckpoint;
  }

  async commitAhead(ahead: AheadOfLock): Promise<boolean> {
    this.#thread ??= this.#start();
    return this.#send({ kind: "commitAhead", ...ahead });
  }

  async begin(): Promise<void> {
    this.#thread ??= this.#start();
    await this.#send({ kind: "begin" });
  }

  async commit(rows: Rows): Promise<void> {
    await this.#send({ kind: "commit", rows });
  }

  async rollback(): Promise<void> {
    await this.#send({ kind: "rollback" });
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    if (thread === undefined) return;
    const ended = new Promise((resolve) => thread.once("exit", resolve));
    thread.ref();
    thread.postMessage({ kind: "close" } satisfies WriterRequest);
    await ended;
  }

  #send(request: WriterRequest): Promise<boolean> {
    const thread = this.#thread;
    if (thread === undefined) return Promise.reject(this.#died(false));
    return new Promise((resolve, reject) => {
      thread.postMessage(request);
      thread.ref();
      this.#pending.push({ writes: "rows" in request && request.rows !== undefined, resolve, reject });
    });
  }

  #start(): Worker {
    const thread = new Worker(threadUrl, {
      workerData: this.#settings,
      name: "portcullis store writer",
      // With some of the process's flags, such as --input-type, no thread starts.
      execArgv: [],
      ...sharedCompileCache(),
    });
    let cause: unknown;
    thread.on("message", (reply: WriterReply | CheckpointNotice) => {
      if ("checkpointFailure" in reply) {
        const { checkpointFailure: failure } = reply;
        return this.#onCheckpoint(failure && this.#toStoreError(failure));
      }
      // Under `node --watch`, Node itself sends the names of the thread's modules the same way.
      if (!("ok" in reply)) return;
      const pending = this.#pending.shift();
      if (this.#pending.length === 0) thread.unref();
      if (reply.ok) pending?.resolve(reply.isWritten);
      else pending?.reject(this.#toStoreError(reply));
    });
    thread.on("error", (error) => {
      cause = error;
    });
    thread.on("exit", () => {
      if (this.#thread === thread) this.#thread = undefined;
      for (const { writes, reject } of this.#pending.splice(0)) reject(this.#died(writes, cause));
    });
    return thread;
  }

  #toStoreError({ message, code, errcode }: NonNullable<CheckpointNotice["checkpointFailure"]>): StoreError {
    const cause = Object.assign(new Error(message), { code, errcode });
    return toStoreError(cause, this.#settings.path);
  }

  #died(whileItWrote: boolean, cause?: unknown): StoreError {
    const ended = `The writer of the store ${this.#settings.path} ended unexpectedly`;
    return whileItWrote
      ? new StoreError("outcome_unknown", `${ended} while it committed.`, cause)
      : new StoreError("unavailable", `${ended}.`, cause);
  }
}
