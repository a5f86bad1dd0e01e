import type { Socket } from "node:net";
import pg, { type ClientBase, type ClientConfig, type Pool, type PoolClient } from "pg";
import { StoreError } from "../errors.ts";
import { beginWrite, type Limits } from "./begin.ts";
import { isLost, isPoolFull, isReadOnly, isTimeout, ReadOnlyServer } from "./errors.ts";
import type { PostgresLocation } from "./location.ts";
import type { PostgresSettings } from "./settings.ts";

/** Connections to the host that takes writes, whichever that is. */
export class Database {
  readonly name: string;
  /** Of a transaction: a process that stopped in the middle of one must not keep others waiting for its lock. */
  readonly limits: Limits;
  readonly #hosts: readonly ClientConfig[];
  readonly #poolSize: number;
  /** To the host that was found last, until a sign that it may be another one now. */
  #pool: Pool | undefined;
  #choosing: Promise<Pool> | undefined;
  readonly #asked = new WeakSet<PoolClient>();
  /** The last statement that the server gave up, usually for a lock. */
  #timedOut: { readonly at: number; readonly error: unknown } | undefined;
  /** The server's own setting for this role and database. */
  #synchronousCommit = "on";
  #isClosed = false;

  constructor({ name, hosts }: PostgresLocation, settings: PostgresSettings) {
    this.name = name;
    this.limits = { statementMs: settings.statementTimeoutMs, idleMs: settings.statementTimeoutMs };
    this.#hosts = hosts.map((host) => ({
      application_name: "portcullis",
      ...host,
      keepAlive: true,
      // Statements that are sent together are answered together: a write takes one round trip, or two.
      pipeline: true,
      connectionTimeoutMillis: settings.connectTimeoutMs,
      statement_timeout: this.limits.statementMs,
      idle_in_transaction_session_timeout: this.limits.idleMs,
      // A stopped server does not answer at all.
      query_timeout: settings.statementTimeoutMs + 1000,
    }));
    this.#poolSize = settings.poolSize;
  }

  /** Runs work on a connection of its own. After a lost connection, the next call looks for the server again. */
  async use<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const connection = await this.connect();
    try {
      const result = await work(connection.client);
      connection.release();
      return result;
    } catch (error) {
      connection.release(error);
      throw error;
    }
  }

  /**
   * How a transaction that writes begins. What it commits must be on disk. Other levels of synchronous_commit stay as they are: they
   * wait for the disk, or for a replica as well.
   */
  beginWrite(limits: Limits = this.limits): string {
    const isDurable = this.#synchronousCommit !== "off";
    return isDurable ? beginWrite(limits) : `${beginWrite(limits)}; SET LOCAL synchronous_commit = on`;
  }

  async connect(): Promise<Connection> {
    if (this.#isClosed) throw new StoreError("closed", `The store ${this.name} is closed.`);
    const pool = this.#pool ?? (await this.#findPrimary());
    try {
      return await this.#connectTo(pool);
    } catch (error) {
      if (!isPoolFull(error) && !isTimeout(error)) this.#forget(pool);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#choosing?.catch(ignore);
    const pool = this.#pool;
    this.#pool = undefined;
    await pool?.end();
  }

  async #connectTo(pool: Pool): Promise<Connection> {
    const started = performance.now();
    const client = await pool.connect();
    const release = (error?: unknown) => {
      if (error !== undefined && isTimeout(error)) this.#timedOut = { at: performance.now(), error };
      if (error !== undefined && (isLost(error) || isReadOnly(error))) this.#forget(pool);
      client.release(error !== undefined);
    };
    try {
      this.#refuseSecondWait(started);
      await this.#ask(client);
    } catch (error) {
      release(error);
      throw error;
    }
    return { client, release, isCurrent: () => this.#pool === pool };
  }

  /** Whoever waited for the connection of one that got no answer would wait as long again. */
  #refuseSecondWait(started: number): void {
    const timedOut = this.#timedOut;
    if (timedOut === undefined || timedOut.at < started || performance.now() - started < atOnceMs) return;
    throw timedOut.error;
  }

  /** Asks once for each connection: an address may lead to another server than before. */
  async #ask(client: PoolClient): Promise<void> {
    if (this.#asked.has(client)) return;
    const show = async (name: string) => (await client.query<Record<string, string>>(`SHOW ${name}`)).rows[0]?.[name];
    const [isReadOnly, level] = await Promise.all([show("transaction_read_only"), show("synchronous_commit")]);
    if (isReadOnly !== "off") throw new ReadOnlyServer(await isReplica(client));
    this.#synchronousCommit = level ?? "on";
    this.#asked.add(client);
  }

  /** The next connection looks for the server again. */
  #forget(pool: Pool): void {
    if (this.#pool !== pool) return;
    this.#pool = undefined;
    // Resolves when the connections in use are given back.
    pool.end().catch(ignore);
  }

  #findPrimary(): Promise<Pool> {
    this.#choosing ??= this.#choose().finally(() => {
      this.#choosing = undefined;
    });
    return this.#choosing;
  }

  async #choose(): Promise<Pool> {
    let failure: unknown;
    for (const config of this.#hosts) {
      const pool = this.#poolOf(config);
      try {
        (await this.#connectTo(pool)).release();
        this.#pool = pool;
        return pool;
      } catch (error) {
        pool.end().catch(ignore);
        // Why a possible primary was not reached says more than that another host is not one.
        if (failure === undefined || isReadOnly(failure)) failure = error;
      }
    }
    throw failure;
  }

  #poolOf(config: ClientConfig): Pool {
    const pool = new pg.Pool({ ...config, max: this.#poolSize, idleTimeoutMillis: 0 });
    // A connection was lost: when the server is back, it may be a replica.
    const forget = () => this.#forget(pool);
    pool.on("error", forget);
    // For as long as the connection lives: a loss that nobody listens for ends the process, and the pool listens only while it is idle.
    pool.on("connect", (client) => client.on("error", forget));
    return pool;
  }
}

/**
 * Does work, and once more where its connection was lost at once, or led to a server that takes no writes: a connection shows only in
 * use what has changed. Not after a long wait, so that no one waits twice. Work that fails must have had no effect.
 */
export async function retryIfLost<T>(work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    return await work();
  } catch (error) {
    if (!isElsewhere(error, started)) throw error;
    return work();
  }
}

/** Whether the next connection may well lead to a server that answers. */
export const isElsewhere = (error: unknown, started: number): boolean =>
  (isLost(error) || isReadOnly(error)) && performance.now() - started <= atOnceMs;

/**
 * Writes what is sent to the socket at once. The driver writes each query by itself, which costs a system call each, on both sides. What
 * is sent after an await goes by itself.
 */
export function inOnePacket<T>(client: ClientBase, send: () => T): T {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
  stream.cork();
  try {
    return send();
  } finally {
    stream.uncork();
  }
}

/** A failure after more than this means that the server does not answer. */
export const atOnceMs = 1000;

export interface Connection {
  readonly client: PoolClient;
  /** Whether its pool is still in use. If not, the server may be another one now. */
  isCurrent(): boolean;
  /** Gives it back. With an error, it is not used again. */
  release(error?: unknown): void;
}

/** True also where the server cannot say: most servers that take no writes are replicas. */
async function isReplica(client: ClientBase): Promise<boolean> {
  try {
    const { rows } = await client.query<{ replica: boolean }>("SELECT pg_catalog.pg_is_in_recovery() AS replica");
    return rows[0]?.replica !== false;
  } catch {
    return true;
  }
}

function ignore(): void {}
