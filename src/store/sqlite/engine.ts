import { resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKeyKind } from "../../domain/states.ts";
import type { StoreError } from "../errors.ts";
import { type CommitListener, CommitQueue } from "../shared/commit-queue.ts";
import { type StoredHistory, toHistory } from "../shared/history.ts";
import { Lifetime } from "../shared/lifetime.ts";
import { refuseNumbers } from "../shared/pages.ts";
import { PositionWatch } from "../shared/position-watch.ts";
import { removalOfRecords } from "../shared/written-rows.ts";
import type {
  AggregateRef,
  ChangesOptions,
  ChangesPage,
  Clock,
  Command,
  CommandResult,
  History,
  HistoryOptions,
  KeyHolder,
  KeyPage,
  ListPage,
  Projection,
  Read,
  ReadOptions,
  RecordedEvent,
  Snapshot,
  Store,
  View,
} from "../store.ts";
import { toImportError } from "../transfer/fill.ts";
import { connectForWriting, connectReadOnly } from "./connect.ts";
import { toStoreError } from "./errors.ts";
import { openStoreFile } from "./file.ts";
import { identify, refuseReplaced } from "./file-identity.ts";
import { finish } from "./finish.ts";
import { copyHistory, historyOf, verify } from "./history.ts";
import { importHistory, makeRows } from "./import.ts";
import { createInlineWriter } from "./inline-writer.ts";
import { migrate } from "./migrate.ts";
import { Pages } from "./pages.ts";
import { Reader } from "./reader.ts";
import { rebuildFile, rebuiltRows } from "./rebuild.ts";
import { isBusy, retryWhileBusy } from "./retry.ts";
import { type CheckpointListener, ThreadWriter } from "./thread-writer.ts";
import { type Decided, SqliteTransactions } from "./transactions.ts";
import type { Writer } from "./writer.ts";

export interface SqliteOptions {
  readonly projection: Projection;
  readonly clock: Clock;
  /** How long a call waits for another process's lock before it is `unavailable`. */
  readonly busyTimeoutMs: number;
  readonly onCommit?: CommitListener | undefined;
  readonly onCheckpoint?: CheckpointListener | undefined;
}

/** Opens the store in a file. Creates the file and its directory where there is none. */
export async function openSqliteStore(file: string, options: SqliteOptions): Promise<Store> {
  const path = resolve(file);
  const db = await openStoreFile(path, { limitMs: options.busyTimeoutMs });
  try {
    const file = identify(path);
    const source = { name: path, projection: options.projection };
    return new SqliteStore({
      ...options,
      name: path,
      reader: new Reader(db, source),
      pages: new Pages(db, source),
      writer: new ThreadWriter({ path, file, busyTimeoutMs: options.busyTimeoutMs }, options.onCheckpoint),
      checkFile: () => refuseReplaced(path, file),
      async withHistory(use) {
        const own = await retryWhileBusy(() => connectReadOnly(path), { limitMs: options.busyTimeoutMs });
        try {
          own.exec("BEGIN");
          return await use(historyOf(own, path), own);
        } finally {
          own.close();
        }
      },
      openForWriting: () => connectForWriting(path),
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
  // Otherwise SQLite sorts on disk what does not fit in a few megabytes.
  db.exec("PRAGMA temp_store = MEMORY");
  migrate(db);
  finish(db);
  const source = { name, projection: options.projection };
  const writer = createInlineWriter(db, { name });
  return new SqliteStore({
    ...options,
    name,
    reader: new Reader(db, source),
    pages: new Pages(db, source),
    writer,
    checkFile() {},
    withHistory: async (use) => use(copyHistory(db), db),
    openForWriting: undefined,
  });
}

interface Parts extends SqliteOptions {
  readonly name: string;
  readonly reader: Reader;
  /** On the reader's connection. */
  readonly pages: Pages;
  readonly writer: Writer;
  /** Throws where the store's file is no longer at its path. */
  readonly checkFile: () => void;
  /** Gives the whole history, as of one moment, with the connection that reads it. */
  readonly withHistory: <T>(use: (stored: StoredHistory, db: DatabaseSync) => Promise<T>) => Promise<T>;
  /** A connection for an import or a rebuild, which closes it; undefined where there can be no second one. */
  readonly openForWriting: (() => DatabaseSync) | undefined;
}

interface WaitingRead {
  readonly reads: readonly Read[];
  readonly follow: ReadOptions["follow"];
  resolve(view: View): void;
  reject(reason: unknown): void;
}

class SqliteStore implements Store {
  readonly #parts: Parts;
  readonly #queue: CommitQueue<Decided>;
  readonly #lifetime: Lifetime;
  readonly #watch: PositionWatch;
  #waiting: WaitingRead[] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#lifetime = new Lifetime(parts.name);
    const look = async () => (await this.read([])).position;
    this.#watch = new PositionWatch({ name: parts.name, look });
    this.#queue = new CommitQueue(new SqliteTransactions(parts), (commands, position) => {
      this.#watch.advance(position);
      parts.onCommit?.(commands, position);
    });
  }

  /**
   * Reads that arrive in one turn of the event loop share one look at the file, after all of them began: a busy server receives many
   * calls at a time.
   */
  read(reads: readonly Read[], { follow, seen }: ReadOptions = {}): Promise<View> {
    if (seen !== undefined) return this.#whenFree(() => this.#parts.reader.read(reads, follow));
    return new Promise((resolve, reject) => {
      this.#lifetime.refuseClosed();
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

  async list<T extends AggregateType>(type: T, page?: ListPage): Promise<readonly Snapshot<T>[]> {
    if (page !== undefined) refuseNumbers({ limit: page.limit });
    return this.#readPage((pages) => pages.list(type, page));
  }

  async listByKey(kind: UniqueKeyKind, page: KeyPage): Promise<readonly KeyHolder[]> {
    refuseNumbers({ limit: page.limit });
    return this.#readPage((pages) => pages.listByKey(kind, page));
  }

  async history<T extends AggregateType>(ref: AggregateRef<T>, options: HistoryOptions) {
    refuseNumbers({ limit: options.limit, position: options.before });
    return this.#readPage((pages) => pages.history(ref, options) as RecordedEvent<T>[] | undefined);
  }

  async changes<T extends AggregateType>(options: ChangesOptions<T>): Promise<ChangesPage<T>> {
    refuseNumbers({ limit: options.limit, position: options.after });
    return this.#readPage((pages) => pages.changes(options) as ChangesPage<T>);
  }

  async changed(after: number, { signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    this.#lifetime.refuseClosed();
    refuseNumbers({ position: after });
    return this.#watch.changed(after, signal);
  }

  async execute<Value>(command: Command<Value>): Promise<CommandResult<Value>> {
    this.#lifetime.refuseClosed();
    return (await this.#queue.execute(command)) as CommandResult<Value>;
  }

  async verify(): ReturnType<Store["verify"]> {
    return this.#during(({ withHistory, ...options }) => withHistory((stored, db) => verify(db, stored, options)));
  }

  async export<Value>(use: (history: History) => Promise<Value>): Promise<Value> {
    return this.#during(({ withHistory, ...source }) => withHistory((stored) => use(toHistory(stored, source))));
  }

  async import(...[events, check]: Parameters<Store["import"]>): Promise<void> {
    const importing = this.#during(({ checkFile, openForWriting: open, ...options }) => {
      checkFile();
      const given = { ...options, events, check };
      return open === undefined
        ? this.#queue.rewrite(() => makeRows(options.reader.loader, given))
        : importHistory({ ...options, open }, given);
    });
    await importing.catch((error: StoreError) => {
      throw toImportError(error);
    });
  }

  async rebuild(): ReturnType<Store["rebuild"]> {
    let counts = { events: 0, aggregates: 0 };
    await this.#during(({ checkFile, openForWriting: open, withHistory, writer, ...options }) =>
      this.#queue.rewrite(async () => {
        if (open === undefined) {
          const rebuilt = await withHistory((stored) => rebuiltRows(stored, options));
          counts = rebuilt.counts;
          return rebuilt.rows;
        }
        checkFile();
        // The turn keeps back this process's own commands. The lock is for the connection of the rebuild.
        await writer.rollback();
        counts = await rebuildFile({ ...options, open }, options);
        return undefined;
      }),
    );
    return counts;
  }

  async removeRecords(): Promise<void> {
    this.#lifetime.refuseClosed();
    await this.#queue.rewrite(async () => removalOfRecords(this.#parts.clock()));
  }

  close(): Promise<void> {
    return this.#lifetime.close(async () => {
      this.#watch.close();
      this.#serveWaiting();
      await Promise.allSettled([this.#queue.drain(), this.#lifetime.settled()]);
      // The writer last: the last connection to close leaves the store in one file.
      this.#parts.reader.close();
      await this.#parts.writer.close();
    });
  }

  /** Work that `close` waits for. */
  async #during<T>(work: (parts: Parts) => Promise<T>): Promise<T> {
    try {
      return await this.#lifetime.during(async () => work(this.#parts));
    } catch (error) {
      throw toStoreError(error, this.#parts.name);
    }
  }

  #readPage<T>(read: (pages: Pages) => T): Promise<T> {
    const { checkFile, pages } = this.#parts;
    return this.#whenFree(() => {
      checkFile();
      return read(pages);
    });
  }

  /** Reads at once, nearly always: only recovery after a crash keeps readers out. */
  #whenFree<T>(read: () => T): Promise<T> {
    const attempt = (): T => {
      this.#lifetime.refuseClosed();
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
}
