import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import type { Rows } from "../shared/written-rows.ts";
import { Checkpoints } from "./checkpoints.ts";
import { isInDoubt, overwriteFailedCommit } from "./commit.ts";
import { connectForWriting } from "./connect.ts";
import { type FileIdentity, refuseReplaced } from "./file-identity.ts";
import { longestWaitMs, retryWhileBusy } from "./retry.ts";
import { WriteConnection } from "./write-connection.ts";
import type { AheadOfLock } from "./writer.ts";

// The thread with the writing connection: a commit that waits for the disk does not block the event loop. It imports little, to start
// fast.

export interface WriterThreadSettings {
  readonly path: string;
  /** The file as it was when the store was opened. */
  readonly file: FileIdentity;
  readonly busyTimeoutMs: number;
}

type TransactionRequest =
  | ({ readonly kind: "commitAhead" } & AheadOfLock)
  | { readonly kind: "begin" }
  | { readonly kind: "commit"; readonly rows: Rows }
  | { readonly kind: "rollback" };
/** After `close` the thread ends. */
export type WriterRequest = TransactionRequest | { readonly kind: "close" };

/** One for each request but `close`, in order. Errors lose fields between threads, so those that matter are copied. */
export type WriterReply = { readonly ok: true; readonly isWritten: boolean } | ({ readonly ok: false } & CopiedError);
interface CopiedError {
  readonly message: string;
  readonly code: unknown;
  readonly errcode: unknown;
}

/** Sent for each checkpoint that failed, and for the first one afterwards that did not. */
export interface CheckpointNotice {
  readonly checkpointFailure: CopiedError | undefined;
}

/** How long this process may write before others get a turn. */
const turnMs = 200;
/** Long enough for every waiting process to try once. */
const pauseMs = longestWaitMs + 2;

const settings = workerData as WriterThreadSettings;
const port = parentPort;
if (port === null) throw new Error("writer-worker.ts runs as a worker");

let connection: WriteConnection | undefined;
/** Whether a commit failed and may still happen. */
let hasCommitInDoubt = false;
/** Whether the last rows were written: others may have been decided on them. */
let wasWritten = true;
let turnStartedAt = 0;
let lastEndedAt = 0;

const checkpoints = new Checkpoints(settings.path, (failure) => {
  const notice: CheckpointNotice = { checkpointFailure: failure === undefined ? undefined : copyError(failure) };
  port.postMessage(notice);
});

let previous: Promise<unknown> = Promise.resolve();
port.on("message", (request: WriterRequest) => {
  previous = previous.then(async () => {
    if (request.kind === "close") {
      connection?.close();
      port.close();
      return;
    }
    port.postMessage(await reply(request));
    if (connection?.isInTransaction === false) checkpoints.look(connection);
  });
});

async function reply(request: TransactionRequest): Promise<WriterReply> {
  try {
    return { ok: true, isWritten: await handle(request) };
  } catch (error) {
    return { ok: false, ...copyError(error) };
  }
}

function copyError(error: unknown): CopiedError {
  const { message, code, errcode } = error as Error & Partial<CopiedError>;
  return { message, code, errcode };
}

async function handle(request: TransactionRequest): Promise<boolean> {
  if (request.kind === "commitAhead") return commitAhead(request);
  if (request.kind === "begin") await begin();
  else end((current) => (request.kind === "commit" ? current.commit(request.rows) : current.rollback()));
  return true;
}

async function commitAhead({ rows, from, follows }: AheadOfLock): Promise<boolean> {
  if (follows && !wasWritten) return false;
  wasWritten = false;
  const current = await begin();
  if (!orClose(() => current.isAt(from))) return false;
  end(() => (rows === undefined ? current.rollback() : current.commit(rows)));
  wasWritten = true;
  return true;
}

async function begin(): Promise<WriteConnection> {
  // A commit to a file that has lost its name would be acknowledged, and gone when the file is closed.
  refuseReplaced(settings.path, settings.file);
  await letOthersWrite();
  if (hasCommitInDoubt) {
    // What is decided from here on must not rest on it.
    overwriteFailedCommit(settings.path);
    hasCommitInDoubt = false;
  }
  const limit = { limitMs: settings.busyTimeoutMs };
  connection ??= await retryWhileBusy(() => new WriteConnection(connectForWriting(settings.path)), limit);
  const current = connection;
  await retryWhileBusy(() => current.begin(), limit);
  return current;
}

function end(finish: (current: WriteConnection) => void): void {
  if (connection === undefined) throw new Error("no transaction is open");
  const current = connection;
  try {
    orClose(() => finish(current));
  } finally {
    lastEndedAt = performance.now();
  }
}

/** After a disk error, the connection's cache may be wrong. */
function orClose<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    connection?.close();
    connection = undefined;
    hasCommitInDoubt ||= isInDoubt(error);
    throw error;
  }
}

/** SQLite's lock has no queue: without pauses, a process that always writes keeps the others out. */
async function letOthersWrite(): Promise<void> {
  const now = performance.now();
  if (now - lastEndedAt > pauseMs) turnStartedAt = now;
  if (now - turnStartedAt < turnMs) return;
  await sleep(pauseMs);
  turnStartedAt = performance.now();
}
