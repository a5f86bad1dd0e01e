import pg, { type Client, type ClientConfig, type Pool, type PoolClient } from "pg";
import { StoreError } from "../errors.ts";
import { isLost, isReadOnly } from "./errors.ts";
import type { PostgresLocation } from "./location.ts";

export interface DatabaseOptions {
  /** The most connections that one process opens. */
  readonly poolSize: number;
  /** How long the server may take for a statement, waiting for locks included, in milliseconds. */
  readonly statementTimeoutMs: number;
  /** How long to wait for a connection, in milliseconds: for each host, and for a free one of the pool. */
  readonly connectTimeoutMs: number;
}

/** Connections to the server that takes writes, whichever of the hosts that is. */
export class Database {
  readonly name: string;
  readonly #hosts: readonly ClientConfig[];
  readonly #options: DatabaseOptions;
  #pool: Promise<Pool> | undefined;
  #isClosed = false;

  constructor({ name, hosts }: PostgresLocation, options: DatabaseOptions) {
    this.name = name;
    this.#hosts = hosts.map((host) => ({
      application_name: "portcullis",
      ...host,
      keepAlive: true,
      // What is sent together is answered together: a transaction takes two ways to the server and back.
      pipeline: true,
      connectionTimeoutMillis: options.connectTimeoutMs,
      statement_timeout: options.statementTimeoutMs,
      // Of a process that was stopped in the middle: others wait for its lock.
      idle_in_transaction_session_timeout: options.statementTimeoutMs,
      // A server that was stopped says nothing at all.
      query_timeout: options.statementTimeoutMs + 1000,
    }));
    this.#options = options;
  }

  /** Runs work on a connection of its own. One that fails with the connection lost finds another next time. */
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

  async connect(): Promise<Connection> {
    if (this.#isClosed) throw new StoreError("closed", `The store ${this.name} is closed.`);
    this.#pool ??= this.#choose();
    const choosing = this.#pool;
    try {
      const pool = await choosing;
      const client = await pool.connect();
      // Without a listener, the loss of a connection that is not in use would end the process.
      client.on("error", ignore);
      return { client, release: (error) => this.#release({ client, choosing, error }) };
    } catch (error) {
      this.#forget(choosing);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const pool = await this.#pool?.catch(() => undefined);
    await pool?.end();
  }

  #release(used: { readonly client: PoolClient; readonly choosing: Promise<Pool>; readonly error: unknown }): void {
    const { client, choosing, error } = used;
    client.off("error", ignore);
    const isUnusable = error !== undefined && (isLost(error) || isReadOnly(error));
    if (isUnusable) {
      client.on("error", ignore);
      this.#forget(choosing);
    }
    client.release(error !== undefined);
  }

  /** The next connection looks for the server anew. */
  #forget(choosing: Promise<Pool>): void {
    if (this.#pool !== choosing) return;
    this.#pool = undefined;
    // Resolves when the connections in use are given back.
    choosing.then((pool) => pool.end()).catch(ignore);
  }

  async #choose(): Promise<Pool> {
    const [only, ...others] = this.#hosts;
    const config = others.length === 0 ? only : await this.#findPrimary();
    const pool = new pg.Pool({ ...config, max: this.#options.poolSize, idleTimeoutMillis: 0 });
    // A connection that is lost while it is not in use is replaced with the next use.
    pool.on("error", ignore);
    return pool;
  }

  async #findPrimary(): Promise<ClientConfig> {
    let failure: unknown;
    for (const config of this.#hosts) {
      const client = new pg.Client(config);
      client.on("error", ignore);
      try {
        await client.connect();
        if (await takesWrites(client)) return config;
        failure ??= Object.assign(new Error("no host takes writes"), { code: "25006" });
      } catch (error) {
        failure = error;
      } finally {
        client.end().catch(ignore);
      }
    }
    throw failure;
  }
}

/**
 * Does work, and once more where its connection was lost at once: one that broke since its last use says so only when it is
 * used. Where the server says nothing at all, nobody waits twice. The work must have had no effect.
 */
export async function retryIfLost<T>(work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    return await work();
  } catch (error) {
    if (!isLost(error) || performance.now() - started > atOnceMs) throw error;
    return work();
  }
}

const atOnceMs = 1000;

export interface Connection {
  readonly client: PoolClient;
  /** Gives it back; with an error, it is not used again. */
  release(error?: unknown): void;
}

async function takesWrites(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ transaction_read_only: string }>("SHOW transaction_read_only");
  return rows[0]?.transaction_read_only === "off";
}

function ignore(): void {}
