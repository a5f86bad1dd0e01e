import type { AggregateType, Cause, EventOrigin, EventsOf } from "../domain/events.ts";
import type { State, StatesOf, UniqueKey, UniqueKeyKind } from "../domain/states.ts";
import type { Upcast } from "../domain/upcast.ts";

/** Names one aggregate. There is one instance per store; its id as an aggregate is always `instance`. */
export interface AggregateRef<T extends AggregateType = AggregateType> {
  readonly type: T;
  readonly id: string;
}

export const instanceRef: AggregateRef<"instance"> = { type: "instance", id: "instance" };
export const organizationRef = (id: string): AggregateRef<"organization"> => ({ type: "organization", id });
export const userRef = (id: string): AggregateRef<"user"> => ({ type: "user", id });
export const clientRef = (id: string): AggregateRef<"client"> => ({ type: "client", id });

/** An aggregate at one moment. `version` is the sequence of its last event. Before its first one, it is 0 and there is no state. */
export interface Snapshot<T extends AggregateType = AggregateType> {
  readonly ref: AggregateRef<T>;
  readonly version: number;
  /** Global position of its last event; 0 before its first one; undefined where an older version of this program wrote the event. */
  readonly position: number | undefined;
  readonly state: StatesOf[T] | undefined;
}

/** Names a record: `record` is its kind, and `id` is unique within that kind. */
export interface RecordRef {
  readonly record: string;
  readonly id: string;
}

/** A value beside the history, for what comes and goes: sessions, codes, tokens, keys. Its changes leave no events. */
export interface StoreRecord {
  /** A JSON value. It is shared, so it must not be changed. */
  readonly value: unknown;
  /** Milliseconds since 1970 UTC; absent: it stays. The store removes an expired record some time later, so readers compare. */
  readonly expiresAt?: number;
}

/** What to read: an aggregate by its id, the one that holds a unique key, or a record. */
export type Read = AggregateRef | UniqueKey | RecordRef;

export interface ReadOptions {
  /** Returns what else to read, from what was found. Must be pure: it may be called more than once. */
  readonly follow?: (found: View) => readonly Read[];
  /** A view of this store from earlier in the same call. The new view may be as old as that one, and then costs less. */
  readonly seen?: View | undefined;
}

/**
 * What one read found, all of it as of `position`. The principal of a call contains the view that the request gate read. The
 * handler passes it to its own reads, so that each call looks only once for new commits.
 */
export interface View {
  /** The aggregate. Throws an Error if neither its id nor a key that it holds is among the reads. */
  get<T extends AggregateType>(ref: AggregateRef<T>): Snapshot<T>;
  /** The aggregate that holds the key; undefined if none does. Throws an Error if the key is not among the reads. */
  find(key: UniqueKey): Snapshot | undefined;
  /** The record; undefined if there is none. Throws an Error if it is not among the reads. */
  record(ref: RecordRef): StoreRecord | undefined;
  /** Global position of the newest event that the view reflects; 0 in an empty store. It never decreases from view to view. */
  readonly position: number;
  /** When that event was recorded, in milliseconds since 1970 UTC; 0 in an empty store. */
  readonly recordedAt: number;
}

export interface RecordedEvent<T extends AggregateType = AggregateType> extends EventOrigin {
  /** Place among all events of the store, from 1, without gaps. */
  readonly position: number;
  readonly ref: AggregateRef<T>;
  /** Position of the event before it in its aggregate; 0: it is the first. Absent in exports, and where an older version wrote it. */
  readonly previous?: number | undefined;
  readonly event: EventsOf[T];
  /** Who caused it: the id of a user, `cli` for the command line, `setup` for the first start. */
  readonly actor: string;
  /** Position of the first event of the same command. Absent where an older version wrote it. */
  readonly append?: number | undefined;
  /** Absent: the events alone tell why. */
  readonly cause?: Cause | undefined;
}

export interface HistoryOptions {
  /** Only the events before this one: the position of any event of the aggregate, as the last of a page has it. Default: the newest. */
  readonly before?: number;
  /** How many events to return at most, from 1. */
  readonly limit: number;
}

export interface ChangesOptions<T extends AggregateType = AggregateType> {
  /** Only events with a position above this; 0 for all. */
  readonly after: number;
  /** Only events of aggregates of these types. Default: all. */
  readonly types?: readonly T[];
  /** How many events to return at most, from 1. */
  readonly limit: number;
}

export interface ChangesPage<T extends AggregateType = AggregateType> {
  /** In the order of their positions, each in its newest version. */
  readonly events: readonly RecordedEvent<T>[];
  /** Events up to this position were looked at, so the next page is the one after it. Equal to `after` where nothing follows. */
  readonly through: number;
}

export interface ListPage {
  /** Only aggregates with a greater id. Default: all. */
  readonly after?: string;
  /** How many aggregates to return at most, from 1. */
  readonly limit: number;
}

export interface KeyPage {
  /** Only keys whose value begins with this text. */
  readonly startsWith: string;
  /** Only keys with a greater value. Default: all. */
  readonly after?: string;
  /** How many to return at most, from 1. */
  readonly limit: number;
}

/** An aggregate, found by a value that it holds. */
export interface KeyHolder {
  readonly value: string;
  readonly snapshot: Snapshot;
}

/** Events to append to one aggregate, which must be among the command's reads: the version in its view is the expected one. */
export interface Change<T extends AggregateType = AggregateType> {
  readonly ref: AggregateRef<T>;
  readonly events: readonly EventsOf[T][];
}

/** Replaces or removes a record. */
export interface RecordChange {
  readonly ref: RecordRef;
  /** Undefined removes the record. */
  readonly to: StoreRecord | undefined;
}

/** All changes are written, in their order, or none is. */
export interface Decision<Value> {
  readonly changes: readonly Change[];
  readonly records?: readonly RecordChange[];
  readonly value: Value;
}

export interface Command<Value> {
  readonly actor: string;
  /** Kept with each of its events. Default: none. */
  readonly cause?: Cause;
  readonly reads: readonly Read[];
  /**
   * Decides on the store as it is just before the write. Must be pure and synchronous: other writers may wait for it, and where one was
   * first, it runs again, and only the last run counts. If that throws, nothing is written. The view's states are shared, so it must not
   * change them.
   */
  decide(view: View): Decision<Value>;
}

/** What a command came to. */
export interface CommandResult<Value> {
  readonly value: Value;
  /** The events of this command as recorded, in order; empty if it decided on no change. */
  readonly events: readonly RecordedEvent[];
}

/** All that a store holds except its records, as of one moment. It is read as it is iterated, piece by piece. */
export interface History {
  /** In the order of their positions, each in the version in which it was written. */
  events(): AsyncIterable<RecordedEvent>;
  /** Every aggregate as the projection has it, in any order. */
  aggregates(): AsyncIterable<Snapshot>;
}

/** A sentence about a difference between events and projection, or a rule of the history that does not hold. */
export type Problem = string;

/**
 * A durable store of events, with the current state of each aggregate (a projection) kept beside them.
 *
 * Every method rejects with a StoreError: `closed` after `close`, `unavailable`, `corrupt`. A mistake of the caller (a change
 * to what was not read, an event that cannot follow the state) is an Error. A damaged aggregate or record fails only the calls that
 * read it. No method blocks the event loop for another process's lock.
 */
export interface Store {
  /**
   * Reads everything in one consistent view. Must show every write that any process acknowledged before the call (with `seen`, before
   * that view was read), and must not wait for a write in progress.
   */
  read(reads: readonly Read[], options?: ReadOptions): Promise<View>;

  /**
   * Lists the aggregates of one type that have events, removed ones included, as of one moment: all of them, or a page. Must order them by
   * the bytes of their ids in UTF-8, and must show every write that any process acknowledged before the call.
   */
  list<T extends AggregateType>(type: T, page?: ListPage): Promise<readonly Snapshot<T>[]>;

  /**
   * Lists a page of the aggregates that hold a unique key of one kind, as of one moment. Must order them by the bytes of the keys' values in
   * UTF-8, and must show every write that any process acknowledged before the call. What it costs depends on the page alone.
   */
  listByKey(kind: UniqueKeyKind, page: KeyPage): Promise<readonly KeyHolder[]>;

  /**
   * Reads a page of the events of one aggregate, newest first, each in its newest version; fewer than `limit` only at the first event. Must
   * show every write that any process acknowledged before the call. What it costs depends on the page alone, not on the length of the
   * history. Must resolve to undefined where `before` is not the position of an event of this aggregate: a page token may come from
   * another store, or from before a restore. Rejects with `corrupt` where an event is missing or damaged, or of a version that this
   * program does not know.
   */
  history<T extends AggregateType>(
    ref: AggregateRef<T>,
    options: HistoryOptions,
  ): Promise<readonly RecordedEvent<T>[] | undefined>;

  /**
   * Reads a page of the events after a position. Must leave no event out, and must show every write that any process acknowledged before
   * the call. Looks at no more than some thousand events, so a page may have few events, or none, before the newest: `through` says where
   * to go on. Rejects with `corrupt` as `history` does.
   */
  changes<T extends AggregateType = AggregateType>(options: ChangesOptions<T>): Promise<ChangesPage<T>>;

  /**
   * Waits until there is an event after a position, and resolves to the position of the newest. Must resolve at once where there is one
   * already, and when a command of this store commits one; and within 250 ms when another process or node does. Changes of records alone do
   * not count. Nothing is asked of the store while nobody waits, and all who wait share what is asked.
   *
   * While the store is unavailable, it goes on waiting: a failover takes seconds, and the caller's next read says what is wrong. Must reject
   * with the reason of the signal when that aborts, and with `closed` when the store closes.
   */
  changed(after: number, options?: { readonly signal?: AbortSignal }): Promise<number>;

  /**
   * Decides and appends in one transaction: no other writer comes between. Must resolve only when events and projection are on disk.
   * Commands of one process are decided in the order of their calls, but for those that are repeated because another process was first or a
   * connection was lost. Those that wait share a commit. Must reject with what `decide` threw, and with StoreError `conflict` when another
   * process was first several times in a row, or when a unique key that the change takes belongs to another aggregate. On PostgreSQL, a key
   * that is also among the reads costs no further query.
   */
  execute<Value>(command: Command<Value>): Promise<CommandResult<Value>>;

  /**
   * Folds every event again and compares the result with the projection; checks sequences, links, positions and times, and the
   * structure of a file. Resolves to no problems for a sound store. Writes nothing to the store, and others can write meanwhile. Its
   * memory is bounded: the engine sorts the events on disk, which takes about as much room as the events. On a SQLite file it blocks the
   * event loop while it checks the structure and sorts, so call it only in a process that does not serve.
   */
  verify(): Promise<{ readonly problems: readonly Problem[]; readonly events: number; readonly aggregates: number }>;

  /**
   * Replaces the projection with one folded from the events, in one transaction. Records stay as they are. Rejects with `corrupt` where
   * the events break a rule. It is bounded and blocks as `verify` does. Other writers wait, those of this process without a limit.
   */
  rebuild(): Promise<{ readonly events: number; readonly aggregates: number }>;

  /**
   * Removes every record, in one transaction. The next read, of any process, must find none of them. Events and projection stay as they
   * are.
   */
  removeRecords(): Promise<void>;

  /**
   * Passes the history to `use`, and ends with it. Others can write meanwhile. `use` should throw nothing but a StoreError, with
   * which this rejects.
   */
  export<Value>(use: (history: History) => Promise<Value>): Promise<Value>;

  /**
   * Writes events exactly as they were recorded, with their projection, into a store without events, in one transaction. `check` gets
   * what the store would then hold. The store stays empty if `check` or the events throw, which should be a StoreError. Rejects with
   * `conflict` if the store has events, and with `corrupt` for an event that is unknown or cannot follow the one before. Other writers
   * wait, and it may block the event loop, so call it only in a process that does not serve.
   */
  import(events: AsyncIterable<RecordedEvent>, check: (history: History) => Promise<void>): Promise<void>;

  /** Waits for commands in progress, then releases everything. Idempotent. */
  close(): Promise<void>;
}

/** The versions of a store's schema before and after a migration. */
export interface Migration {
  readonly from: number;
  readonly to: number;
  /** Whether nothing is left in the store that only older versions of this program need. */
  readonly isFinished: boolean;
}

/** How events become state. An engine keeps the result, and finds aggregates by their unique keys. */
export interface Projection {
  /** Applied to everything that is read: an earlier version of this program may have written it. */
  readonly upcast: Upcast;
  evolve<T extends AggregateType>(
    type: T,
    before: { readonly state: StatesOf[T] | undefined; readonly event: EventsOf[T]; readonly origin: EventOrigin },
  ): StatesOf[T];
  uniqueKeysOf(type: AggregateType, state: State | undefined): readonly UniqueKey[];
}

/** Milliseconds since 1970 UTC. */
export type Clock = () => number;
