import { resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import { type CommitListener, CommitQueue } from "../shared/commit-queue.ts";
import type {
  Clock,
  Command,
  CommandResult,
  History,
  Projection,
  Read,
  ReadOptions,
  Snapshot,
  Store,
  View,
} from "../store.ts";
import { toImportError } from "../transfer/fill.ts";
import { connectForWriting, connectReadOnly } from "./connect.ts";
import { toStoreError } from "./errors.ts";
import { openStoreFile } from "./file.ts";
import { identify, refuseReplaced } from "./file-identity.ts";
import { type HistoryOptions, refold, verifyHistory } from "./history.ts";
import { createInlineWriter } from "./inline-writer.ts";
import { migrate } from "./migrate.ts";
import { Reader } from "./reader.ts";
import { isBusy, retryWhileBusy } from "./retry.ts";
import { ThreadWriter } from "./thread-writer.ts";
import { SqliteTransactions } from "./transactions.ts";
import { exportHistory, importHistory, makeRows } from "./transfer.ts";
import type { Writer } from "./writer.ts";

export interface SqliteOptions {
  readonly projection: Projection;
  readonly clock: Clock;
  /** How long a call waits for another process's lock before it is `unavailable`. */
  readonly busyTimeoutMs: number;
  readonly onCommit?: CommitListener | undefined;
}

/** Opens the store in a file, and creates the file and its directory where there is none. */
export async function openSqliteStore(file: string, options: SqliteOptions): Promise<Store> {
  const path = resolve(file);
  const db = await openStoreFile(path, { limitMs: options.busyTimeoutMs });
  try {
    const file = identify(path);
    const writer = new ThreadWriter({ path, file, busyTimeoutMs: options.busyTimeoutMs });
    return new SqliteStore({
      ...options,
      name: path,
      reader: new Reader(db, { name: path, projection: options.projection }),
      writer,
      checkFile: () => refuseReplaced(path, file),
      openHistory: () => connectReadOnly(path),
      openForWriting: () => connectForWriting(path),
      isShared: false,
    });
  } catch (error) {
    db.close();
    throw toStoreError(error, path);
  }
}

/** Opens an empty store that lives in memory until it is closed. */
export async function openMemoryStore(options: SqliteOptions): Promise<Store> {
  const name = "in memory";
  const db = new DatabaseSync(":memory:");
  migrate(db);
  const reader = new Reader(db, { name, projection: options.projection });
  const writer = createInlineWriter(db, { name, onCommit: () => reader.forget() });
  return new SqliteStore({
    ...options,
    name,
    reader,
    writer,
    checkFile() {},
    openHistory: () => db,
    openForWriting: undefined,
    isShared: true,
  });
}

interface Parts extends SqliteOptions {
  readonly name: string;
  readonly reader: Reader;
  readonly writer: Writer;
  /** Throws where the store's file is no longer at its path. */
  readonly checkFile: () => void;
  /** The connection for what reads the whole history, which closes it unless it is the reader's own. */
  readonly openHistory: () => DatabaseSync;
  /** A connection for an import, which closes it; undefined where there can be no second one. */
  readonly openForWriting: (() => DatabaseSync) | undefined;
  readonly isShared: boolean;
}

interface WaitingRead {
  readonly reads: readonly Read[];
  readonly follow: ReadOptions["follow"];
  resolve(view: View): void;
  reject(reason: unknown): void;
}

class SqliteStore implements Store {
  readonly #parts: Parts;
  readonly #queue: CommitQueue;
  readonly #others = new Set<Promise<unknown>>();
  #waiting: WaitingRead[] = [];
  #closed: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#queue = new CommitQueue(new SqliteTransactions(parts), parts.onCommit);
  }

  /**
   * Reads wait until the event loop has taken in what there is, and then share one look at the file: it comes after all of
   * them began, and a busy server receives many calls at a time.
   */
  read(reads: readonly Read[], { follow, seen }: ReadOptions = {}): Promise<View> {
    if (seen !== undefined) return this.#whenFree(() => this.#parts.reader.read(reads, follow));
    return new Promise((resolve, reject) => {
      this.#refuseClosed();
      if (this.#waiting.length === 0) setImmediate(() => this.#serveWaiting());
      this.#waiting.push({ reads, follow, resolve, reject });
    });
  }

  #serveWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    const { name, reader, checkFile } = this.#parts;
    let served = 0;
    const serve = () => {
      checkFile();
      reader.look();
      for (const { reads, follow, resolve, reject } of waiting.slice(served)) {
        try {
          resolve(reader.read(reads, follow));
        } catch (error) {
          if (isBusy(error)) throw error;
          reject(toStoreError(error, name));
        }
        served += 1;
      }
    };
    this.#whenFree(serve).catch((error: unknown) => {
      for (const { reject } of waiting.slice(served)) reject(error);
    });
  }

  list<T extends AggregateType>(type: T): Promise<readonly Snapshot<T>[]> {
    return this.#whenFree(() => {
      this.#parts.checkFile();
      return this.#parts.reader.list(type);
    });
  }

  async execute<Value>(command: Command<Value>): Promise<CommandResult<Value>> {
    this.#refuseClosed();
    return (await this.#queue.execute(command)) as CommandResult<Value>;
  }

  async verify(): ReturnType<Store["verify"]> {
    this.#refuseClosed();
    return this.#during(this.#onHistory((db, options) => verifyHistory(db, options)));
  }

  async export<Value>(use: (history: History) => Promise<Value>): Promise<Value> {
    this.#refuseClosed();
    return this.#during(this.#onHistory((db, options) => exportHistory(db, options, use)));
  }

  async import(...[events, check]: Parameters<Store["import"]>): Promise<void> {
    this.#refuseClosed();
    const { name, reader, checkFile, openForWriting } = this.#parts;
    checkFile();
    const given = { ...this.#parts, events, check };
    const importing =
      openForWriting === undefined
        ? this.#queue.rewrite(() => makeRows(reader, given))
        : importHistory(openForWriting, given);
    await this.#during(importing).catch((error: unknown) => {
      throw toImportError(toStoreError(error, name));
    });
  }

  async rebuild(): ReturnType<Store["rebuild"]> {
    this.#refuseClosed();
    let counts = { events: 0, aggregates: 0 };
    await this.#queue.rewrite(async () => {
      const { rows, events, aggregates } = await this.#onHistory((db, options) => refold(db, options));
      counts = { events, aggregates };
      return rows;
    });
    return counts;
  }

  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#serveWaiting();
      this.#closed = this.#end();
    }
    return this.#closed;
  }

  async #end(): Promise<void> {
    await Promise.allSettled([this.#queue.drain(), ...this.#others]);
    // The writer last: the last connection to close leaves the store in one file.
    this.#parts.reader.close();
    await this.#parts.writer.close();
  }

  /** Work that `close` waits for. */
  #during<T>(work: Promise<T>): Promise<T> {
    this.#others.add(work);
    return work.finally(() => this.#others.delete(work));
  }

  /** Reads at once where that is possible, which is nearly always: only recovery after a crash keeps readers out. */
  #whenFree<T>(read: () => T): Promise<T> {
    const attempt = (): T => {
      this.#refuseClosed();
      return read();
    };
    const { name, busyTimeoutMs } = this.#parts;
    const fail = (error: unknown): never => {
      throw toStoreError(error, name);
    };
    try {
      return Promise.resolve(attempt());
    } catch (error) {
      if (!isBusy(error)) return Promise.reject(toStoreError(error, name));
      return retryWhileBusy(attempt, { limitMs: busyTimeoutMs }).catch(fail);
    }
  }

  async #onHistory<T>(use: (db: DatabaseSync, options: HistoryOptions) => Promise<T>): Promise<T> {
    const { name, projection, busyTimeoutMs, openHistory, isShared } = this.#parts;
    try {
      const db = await retryWhileBusy(openHistory, { limitMs: busyTimeoutMs });
      try {
        return await use(db, { name, projection, isShared });
      } finally {
        if (!isShared) db.close();
      }
    } catch (error) {
      throw toStoreError(error, name);
    }
  }

  #refuseClosed(): void {
    if (this.#closed !== undefined) throw new StoreError("closed", `The store ${this.#parts.name} is closed.`);
  }
}
