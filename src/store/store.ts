import type { AggregateType, EventOrigin, EventsOf } from "../domain/events.ts";
import type { State, StatesOf, UniqueKey } from "../domain/states.ts";
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

/** An aggregate at one moment. `version` is the sequence of its last event; 0, with no state, before its first. */
export interface Snapshot<T extends AggregateType = AggregateType> {
  readonly ref: AggregateRef<T>;
  readonly version: number;
  readonly state: StatesOf[T] | undefined;
}

/** Names a record: `record` is its kind, and within a kind `id` is its own. */
export interface RecordRef {
  readonly record: string;
  readonly id: string;
}

/**
 * A value kept beside the history, for what comes and goes: sessions, codes, tokens, keys. Nothing remembers what it was
 * before, and it is neither verified nor rebuilt.
 */
export interface StoreRecord {
  /** A JSON value. It is shared, so nobody may change it. */
  readonly value: unknown;
  /**
   * Milliseconds since 1970 UTC from which on it no longer counts; absent: it stays. The store removes it some time later, so
   * who reads it compares.
   */
  readonly expiresAt?: number;
}

/** What to read: an aggregate by its id, the one that holds a unique key, or a record. */
export type Read = AggregateRef | UniqueKey | RecordRef;

export interface ReadOptions {
  /** What else to read, by what was found first. Must be pure, and may be called more than once. */
  readonly follow?: (found: View) => readonly Read[];
  /** A view of this store that was read earlier, within the same call. The new one may be as old as that, and costs less. */
  readonly seen?: View | undefined;
}

/**
 * What one read found, all of it as of `position`. The request gate reads one, which the handler finds as the principal's `seen` and
 * gives to its own reads: so a call asks only once what is committed.
 */
export interface View {
  /** The aggregate, which must be among the reads: by its id, or by a key that it holds. Throws an Error otherwise. */
  get<T extends AggregateType>(ref: AggregateRef<T>): Snapshot<T>;
  /** The aggregate that holds the key, which must be among the reads; undefined where none does. Throws an Error otherwise. */
  find(key: UniqueKey): Snapshot | undefined;
  /** The record, which must be among the reads; undefined where there is none. Throws an Error otherwise. */
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
  readonly event: EventsOf[T];
  /** Who caused it: the id of a user, `cli` for the command line, `setup` for the first start. */
  readonly actor: string;
}

/** Events to append to one aggregate, which the command's view must be able to get: that is the version it expects. */
export interface Change<T extends AggregateType = AggregateType> {
  readonly ref: AggregateRef<T>;
  readonly events: readonly EventsOf[T][];
}

/** A record put in place of the one before it, or removed where there is none to put. */
export interface RecordChange {
  readonly ref: RecordRef;
  readonly to: StoreRecord | undefined;
}

/** All changes are written in their order, or none of them is. */
export interface Decision<Value> {
  readonly changes: readonly Change[];
  readonly records?: readonly RecordChange[];
  readonly value: Value;
}

export interface Command<Value> {
  readonly actor: string;
  readonly reads: readonly Read[];
  /**
   * Decides from the state inside the transaction. Must be pure and synchronous: it may run more than once, and others wait
   * for it. What it throws ends the command with nothing written. The view's states are shared, so it must not change them.
   */
  decide(view: View): Decision<Value>;
}

/** What a command came to. */
export interface CommandResult<Value> {
  readonly value: Value;
  /** The events of this command as recorded, in order; empty if it decided on no change. */
  readonly events: readonly RecordedEvent[];
}

/** What a store keeps but for its records: all of it as of one moment, and read piece by piece, as it is asked for. */
export interface History {
  /** In the order of their positions, each as it was written: of whatever version. */
  events(): AsyncIterable<RecordedEvent>;
  /** Every aggregate as the projection has it, in any order. */
  aggregates(): AsyncIterable<Snapshot>;
}

/** A difference between the history and what was derived from it, or a rule of the history that does not hold. */
export type Problem = string;

/**
 * A durable store of events, with the current state of each aggregate (a projection) kept beside them.
 *
 * Every method rejects with a StoreError: `closed` after `close`, `unavailable`, `corrupt`. A mistake of the caller (a change
 * to what was not read, an event that cannot follow the state) is an Error. An aggregate or a record that is damaged fails those
 * who read it, and nobody else.
 * No method blocks the event loop for another process's lock.
 */
export interface Store {
  /**
   * One consistent view of everything that is named. Must show every write that was acknowledged before the call, by any
   * process (with `seen`, before the read of that view), and must not wait for a write in progress.
   */
  read(reads: readonly Read[], options?: ReadOptions): Promise<View>;

  /** Every aggregate of one type that has events, by id, removed ones included; as of one moment. */
  list<T extends AggregateType>(type: T): Promise<readonly Snapshot<T>[]>;

  /**
   * Decides and appends as one: no other writer comes between what `decide` saw and what is written. Must resolve only when
   * the events and the projection are on disk. Commands of one process are decided in the order of their calls, and those
   * that wait share a commit. Must reject with what `decide` threw; with StoreError `conflict` when another process was
   * first several times running, or when a key that the change claims belongs to another aggregate.
   */
  execute<Value>(command: Command<Value>): Promise<CommandResult<Value>>;

  /**
   * Folds every event again and compares with the projection; checks sequences, positions and times, and the file's own
   * structure. Resolves to what is wrong, and to an empty list for a sound store. Writes nothing.
   */
  verify(): Promise<{ readonly problems: readonly Problem[]; readonly events: number; readonly aggregates: number }>;

  /** Replaces the projection by one folded from the events, in one transaction. Records stay as they are. */
  rebuild(): Promise<{ readonly events: number; readonly aggregates: number }>;

  /**
   * Gives the history, however long it is, to `use`, until that ends; others write meanwhile. Rejects with what `use` throws, a
   * StoreError.
   */
  export<Value>(use: (history: History) => Promise<Value>): Promise<Value>;

  /**
   * Writes events exactly as they were recorded, with their projection, into a store that has none, as one: `check` is given
   * what the store would then hold, and what it or the events throw, a StoreError, leaves the store empty. Rejects with
   * `conflict` where there are events, and with `corrupt` where one is not known or cannot follow those before it. Other
   * writers wait, and for a while now and then the event loop does: it is for a process that serves nobody.
   */
  import(events: AsyncIterable<RecordedEvent>, check: (history: History) => Promise<void>): Promise<void>;

  /** Lets commands in progress end, then releases everything. Idempotent. */
  close(): Promise<void>;
}

/** The versions of a store's schema before it was brought to the newest, and since. */
export interface Migration {
  readonly from: number;
  readonly to: number;
}

/** How events become state; an engine keeps the result, and finds aggregates by their keys. */
export interface Projection {
  /** For everything that is read from a store: an earlier version of this program may have written it. */
  readonly upcast: Upcast;
  evolve<T extends AggregateType>(
    type: T,
    before: { readonly state: StatesOf[T] | undefined; readonly event: EventsOf[T]; readonly origin: EventOrigin },
  ): StatesOf[T];
  uniqueKeysOf(type: AggregateType, state: State | undefined): readonly UniqueKey[];
}

/** Milliseconds since 1970 UTC. */
export type Clock = () => number;
