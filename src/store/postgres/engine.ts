import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import { type CommitListener, CommitQueue } from "../shared/commit-queue.ts";
import { type StateSource, toSnapshot } from "../shared/stored-state.ts";
import type {
  Clock,
  Command,
  CommandResult,
  History,
  Migration,
  Projection,
  Read,
  ReadOptions,
  Snapshot,
  Store,
  View,
} from "../store.ts";
import { toImportError } from "../transfer/fill.ts";
import { longRun } from "./begin.ts";
import { Database } from "./database.ts";
import { toStoreError } from "./errors.ts";
import { type StateRow, stateColumns, toStoredState } from "./fetch.ts";
import { refold, verifyHistory } from "./history.ts";
import { parsePostgresUrl } from "./location.ts";
import { migrate } from "./migrate.ts";
import { Reader } from "./reader.ts";
import { type PostgresSettings, postgresSettings } from "./settings.ts";
import { PostgresTransactions } from "./transactions.ts";
import { exportHistory, importHistory } from "./transfer.ts";

export interface PostgresOptions {
  readonly projection: Projection;
  readonly clock: Clock;
  readonly onCommit?: CommitListener | undefined;
  /** What is given here comes before `connect_timeout` of the URL, and both before the defaults. */
  readonly postgres?: Partial<PostgresSettings> | undefined;
}

function toDatabase(url: string, given: Partial<PostgresSettings> = {}) {
  const location = parsePostgresUrl(url);
  const { poolSize, statementTimeoutMs, connectTimeoutMs } = postgresSettings;
  const settings: PostgresSettings = {
    poolSize: poolSize.default,
    statementTimeoutMs: statementTimeoutMs.default,
    connectTimeoutMs: location.connectTimeoutMs ?? connectTimeoutMs.default,
    ...given,
  };
  return { database: new Database(location, settings), settings };
}

/** Opens the store in a database, and creates its schema where there is none. */
export async function openPostgresStore(url: string, options: PostgresOptions): Promise<Store> {
  const { database, settings } = toDatabase(url, options.postgres);
  try {
    await database.use((client) => migrate(client, database.name));
    return new PostgresStore(database, { ...options, ...settings });
  } catch (error) {
    await database.close();
    throw toStoreError(error, database.name);
  }
}

/** Brings the schema to the newest, by hand: the next who opens the store would. */
export async function migratePostgresStore(url: string, given?: Partial<PostgresSettings>): Promise<Migration> {
  const { database } = toDatabase(url, given);
  try {
    return await database.use((client) => migrate(client, database.name));
  } catch (error) {
    throw toStoreError(error, database.name);
  } finally {
    await database.close();
  }
}

class PostgresStore implements Store {
  readonly #database: Database;
  readonly #source: StateSource & { readonly projection: Projection };
  readonly #reader: Reader;
  readonly #transactions: PostgresTransactions;
  readonly #queue: CommitQueue;
  readonly #others = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(database: Database, options: PostgresOptions & PostgresSettings) {
    this.#database = database;
    this.#source = { name: database.name, projection: options.projection };
    this.#reader = new Reader(database, this.#source);
    const outcomeTimeoutMs = options.connectTimeoutMs + options.statementTimeoutMs;
    this.#transactions = new PostgresTransactions({ ...options, database, outcomeTimeoutMs });
    this.#queue = new CommitQueue(this.#transactions, options.onCommit);
  }

  async read(reads: readonly Read[], options?: ReadOptions): Promise<View> {
    this.#refuseClosed();
    return this.#reader.read(reads, options);
  }

  async list<T extends AggregateType>(type: T): Promise<readonly Snapshot<T>[]> {
    this.#refuseClosed();
    return this.#during(async () => {
      const { rows } = await this.#database.use((client) =>
        client.query<StateRow>(
          `SELECT ${stateColumns} FROM portcullis.aggregates a WHERE a.type = $1 ORDER BY a.id COLLATE "C"`,
          [type],
        ),
      );
      return rows.map((row) => toSnapshot(toStoredState(row), this.#source)) as Snapshot<T>[];
    });
  }

  async execute<Value>(command: Command<Value>): Promise<CommandResult<Value>> {
    this.#refuseClosed();
    return (await this.#queue.execute(command)) as CommandResult<Value>;
  }

  async verify(): ReturnType<Store["verify"]> {
    this.#refuseClosed();
    return this.#during(() => this.#database.use((client) => verifyHistory(client, this.#source.projection)));
  }

  async rebuild(): ReturnType<Store["rebuild"]> {
    this.#refuseClosed();
    let counts = { events: 0, aggregates: 0 };
    await this.#queue.rewrite(async () => {
      const { rows, events, aggregates } = await refold(await this.#transactions.lengthen(), this.#source);
      counts = { events, aggregates };
      return rows;
    });
    return counts;
  }

  async export<Value>(use: (history: History) => Promise<Value>): Promise<Value> {
    this.#refuseClosed();
    return this.#during(() => this.#database.use((client) => exportHistory(client, this.#source, use)));
  }

  async import(...[events, check]: Parameters<Store["import"]>): Promise<void> {
    this.#refuseClosed();
    const given = { ...this.#source, events, check };
    const importing = this.#during(() =>
      this.#database.use((client) => importHistory(client, { ...given, begin: this.#database.beginWrite(longRun) })),
    );
    await importing.catch((error: unknown) => {
      throw toImportError(toStoreError(error, given.name));
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    await Promise.allSettled([this.#queue.drain(), this.#reader.drain(), ...this.#others]);
    this.#transactions.close();
    await this.#database.close();
  }

  /** Work that `close` waits for. */
  async #during<T>(work: () => Promise<T>): Promise<T> {
    const working = work();
    this.#others.add(working);
    try {
      return await working;
    } catch (error) {
      throw toStoreError(error, this.#database.name);
    } finally {
      this.#others.delete(working);
    }
  }

  #refuseClosed(): void {
    if (this.#closed !== undefined) throw new StoreError("closed", `The store ${this.#database.name} is closed.`);
  }
}
