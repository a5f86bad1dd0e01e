import type { PoolClient } from "pg";
import type { AggregateType } from "../../domain/events.ts";
import type { UniqueKeyKind } from "../../domain/states.ts";
import type { StoreError } from "../errors.ts";
import { type CommitListener, CommitQueue } from "../shared/commit-queue.ts";
import { toHistory } from "../shared/history.ts";
import { Lifetime } from "../shared/lifetime.ts";
import { refuseNumbers } from "../shared/pages.ts";
import { PositionWatch } from "../shared/position-watch.ts";
import type { StateSource } from "../shared/read-rows.ts";
import { noRows, removalOfRecords } from "../shared/written-rows.ts";
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
  Migration,
  Projection,
  Read,
  ReadOptions,
  RecordedEvent,
  Snapshot,
  Store,
  View,
} from "../store.ts";
import { toImportError } from "../transfer/fill.ts";
import { beginRead, longRun } from "./begin.ts";
import { CommittedMoment } from "./committed.ts";
import { Database } from "./database.ts";
import { toStoreError } from "./errors.ts";
import { finish } from "./finish.ts";
import { historyOf, verify } from "./history.ts";
import { importHistory } from "./import.ts";
import { parsePostgresUrl } from "./location.ts";
import { migrate } from "./migrate.ts";
import { Pages } from "./pages.ts";
import { Reader } from "./reader.ts";
import { rebuildIn } from "./rebuild.ts";
import { type PostgresSettings, postgresSettings } from "./settings.ts";
import { type Decided, PostgresTransactions } from "./transactions.ts";

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

/** Opens the store in a database. Creates the schema where there is none. */
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

/** Brings the schema to the newest, as opening the store does. */
export const migratePostgresStore = (url: string, given?: Partial<PostgresSettings>): Promise<Migration> =>
  onSchema(url, given, migrate);

/** Ends the migration of a store that has the newest schema: see `finish`. */
export const finishPostgresStore = (
  url: string,
  { postgres, projection }: Pick<PostgresOptions, "postgres" | "projection">,
): Promise<boolean> => onSchema(url, postgres, (client, name) => finish(client, { name, projection }));

async function onSchema<T>(
  url: string,
  given: Partial<PostgresSettings> | undefined,
  work: (client: PoolClient, name: string) => Promise<T>,
): Promise<T> {
  const { database } = toDatabase(url, given);
  try {
    return await database.use((client) => work(client, database.name));
  } catch (error) {
    throw toStoreError(error, database.name);
  } finally {
    await database.close();
  }
}

class PostgresStore implements Store {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #source: StateSource & { readonly projection: Projection };
  readonly #reader: Reader;
  readonly #pages: Pages;
  readonly #transactions: PostgresTransactions;
  readonly #queue: CommitQueue<Decided>;
  readonly #lifetime: Lifetime;
  readonly #watch: PositionWatch;

  constructor(database: Database, options: PostgresOptions & PostgresSettings) {
    this.#database = database;
    this.#clock = options.clock;
    this.#lifetime = new Lifetime(database.name);
    this.#source = { name: database.name, projection: options.projection };
    const committed = new CommittedMoment(this.#source);
    this.#reader = new Reader(database, committed);
    this.#pages = new Pages(database, this.#source);
    const outcomeTimeoutMs = options.connectTimeoutMs + options.statementTimeoutMs;
    this.#transactions = new PostgresTransactions({ ...options, database, committed, outcomeTimeoutMs });
    const look = async () => (await this.read([])).position;
    this.#watch = new PositionWatch({ name: database.name, look });
    this.#queue = new CommitQueue(this.#transactions, (commands, position) => {
      this.#watch.advance(position);
      options.onCommit?.(commands, position);
    });
  }

  async read(reads: readonly Read[], options?: ReadOptions): Promise<View> {
    this.#lifetime.refuseClosed();
    return this.#reader.read(reads, options);
  }

  async list<T extends AggregateType>(type: T, page?: ListPage): Promise<readonly Snapshot<T>[]> {
    if (page !== undefined) refuseNumbers({ limit: page.limit });
    return this.#during(() => this.#pages.list(type, page));
  }

  async listByKey(kind: UniqueKeyKind, page: KeyPage): Promise<readonly KeyHolder[]> {
    refuseNumbers({ limit: page.limit });
    return this.#during(() => this.#pages.listByKey(kind, page));
  }

  async history<T extends AggregateType>(ref: AggregateRef<T>, options: HistoryOptions) {
    refuseNumbers({ limit: options.limit, position: options.before });
    return this.#during(() => this.#pages.history(ref, options) as Promise<RecordedEvent<T>[] | undefined>);
  }

  async changes<T extends AggregateType>(options: ChangesOptions<T>): Promise<ChangesPage<T>> {
    refuseNumbers({ limit: options.limit, position: options.after });
    return this.#during(() => this.#pages.changes(options) as Promise<ChangesPage<T>>);
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
    return this.#use((client) => verify(client, this.#source.projection));
  }

  async rebuild(): ReturnType<Store["rebuild"]> {
    this.#lifetime.refuseClosed();
    let counts = { events: 0, aggregates: 0 };
    await this.#queue.rewrite(async () => {
      counts = await rebuildIn(await this.#transactions.lengthen(), this.#source);
      return { ...noRows, now: this.#clock() };
    });
    return counts;
  }

  async export<Value>(use: (history: History) => Promise<Value>): Promise<Value> {
    return this.#use(async (client) => {
      await client.query(beginRead(longRun));
      const used = await use(toHistory(historyOf(client), this.#source));
      await client.query("COMMIT");
      return used;
    });
  }

  async import(...[events, check]: Parameters<Store["import"]>): Promise<void> {
    const given = { ...this.#source, events, check };
    const importing = this.#use((client) =>
      importHistory(client, { ...given, begin: this.#database.beginWrite(longRun) }),
    );
    await importing.catch((error: StoreError) => {
      throw toImportError(error);
    });
  }

  async removeRecords(): Promise<void> {
    this.#lifetime.refuseClosed();
    await this.#queue.rewrite(async () => {
      await this.#transactions.lengthen();
      return removalOfRecords(this.#clock());
    });
  }

  close(): Promise<void> {
    return this.#lifetime.close(async () => {
      this.#watch.close();
      await Promise.allSettled([this.#queue.drain(), this.#reader.drain(), this.#lifetime.settled()]);
      this.#transactions.close();
      await this.#database.close();
    });
  }

  /** Work on a connection of its own. */
  #use<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    return this.#during(() => this.#database.use(work));
  }

  /** Work that `close` waits for. */
  async #during<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#lifetime.during(work);
    } catch (error) {
      throw toStoreError(error, this.#database.name);
    }
  }
}
